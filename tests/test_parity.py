"""``kc parity``: golden folders pass, and every kind of tampering is seen."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_models import GOLDEN, SETS

from kc_utils.cli.golden import find_sets
from kc_utils.cli.parity import Agreement, check_parity
from kc_utils.errors import KcError

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a golden set that a test may change."""
    return Path(shutil.copytree(GOLDEN / "llama_tiny", tmp_path / "llama_tiny"))


def wrong(results: list[Agreement]) -> set[str]:
    return {result.quantity for result in results if not result.ok}


def change_json(path: Path, change: Callable[[Any], Any]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_golden_folders_agree() -> None:
    results = check_parity(GOLDEN)
    assert wrong(results) == set()
    assert max(result.error for result in results) < 5e-6
    for name in SETS:
        assert sum(r.quantity.startswith(f"{name}: scores_") for r in results) == 3
    assert len({result.quantity for result in results}) == len(results) > 40


def test_in_double_precision_the_error_is_what_float32_norms_leave() -> None:
    results = check_parity(GOLDEN, double=True)
    assert wrong(results) == set()
    scores = {r.quantity: r.error for r in results if "scores_" in r.quantity}
    assert max(error for name, error in scores.items() if name.startswith("gpt2")) < 1e-12
    assert max(error for name, error in scores.items() if name.startswith("llama")) < 3e-7


def test_an_error_of_the_sixth_digit_is_seen_in_double_precision_only(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN / "gpt2_tiny", tmp_path / "gpt2_tiny"))
    path = folder / "scores_eap.npz"
    scores = np.load(path, allow_pickle=False)["scores"].copy()
    scores.flat[np.argmax(np.abs(scores))] *= 1 + 2e-6
    np.savez(path, scores=scores)
    assert wrong(check_parity(folder)) == set()
    assert wrong(check_parity(folder, double=True)) == {"scores_eap.npz"}


def test_a_changed_score_is_seen(folder: Path) -> None:
    path = folder / "scores_eap.npz"
    scores = np.load(path, allow_pickle=False)["scores"].copy()
    scores.flat[np.argsort(-np.abs(scores).ravel())[40]] *= 1.01
    np.savez(path, scores=scores)
    assert wrong(check_parity(folder)) == {"scores_eap.npz"}


def test_missing_scores_in_an_array_are_seen(folder: Path) -> None:
    path = folder / "scores_eapig_0_to_m_minus_1.npz"
    scores = np.load(path, allow_pickle=False)["scores"]
    np.savez(path, scores=scores[:-1])
    assert wrong(check_parity(folder)) == {path.name}
    np.savez(path, scores=np.where(scores == scores.max(), np.nan, scores))
    assert wrong(check_parity(folder)) == {path.name}


def test_a_changed_mask_and_name_are_seen(folder: Path) -> None:
    mask = np.load(folder / "real_edges.npy", allow_pickle=False)
    mask[0, 0] = not mask[0, 0]
    np.save(folder / "real_edges.npy", mask)
    change_json(folder / "nodes.json", lambda nodes: nodes["rows"].reverse())
    assert wrong(check_parity(folder)) == {"real edges", "row names"}


def test_changed_circuits_are_seen(folder: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        entry = content["circuits"][2]
        entry["edges"][0] = "input->logits" if "input->logits" not in entry["edges"] else "m0->m3"
        entry["n_nodes_after_prune"] += 1
        hits = entry["patching"]["hit_per_pair"]
        hits[0], hits[1] = 1 - hits[0], 1 - hits[1]
        content["circuits"][1]["zero"]["logit_diff_per_pair"][3] += 0.02
        content["circuits"][3]["patching"]["faithfulness"] += 0.001
        content["baseline"]["corrupted_hit_at_10"] = 1.0
        content["n_real_edges"] += 1

    change_json(folder / "circuits.json", change)
    assert wrong(check_parity(folder)) == {
        "circuit edges",
        "number of circuit nodes",
        "patching: Hit@10 per pair",
        "zero: logit differences",
        "faithfulness",
        "baseline Hit@10",
        "number of real edges",
    }


def test_a_tie_is_not_compared(folder: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["circuits"][2]["patching"]["hit_per_pair"][5] = None

    change_json(folder / "circuits.json", change)
    assert wrong(check_parity(folder)) == set()


def test_another_rotary_base_is_not_the_same_model(folder: Path) -> None:
    def change(config: dict[str, Any]) -> None:
        config["rope_theta"] = config["rope_parameters"]["rope_theta"] = 100.0

    change_json(folder / "model" / "config.json", change)
    assert {"scores_eap.npz", "baseline logit differences"} <= wrong(check_parity(folder))
    change_json(folder / "model" / "config.json", lambda config: config.update(rope_theta=9000.0))
    with pytest.raises(KcError, match="rotary base"):
        check_parity(folder)


@pytest.mark.parametrize(
    "name",
    ["pairs.jsonl", "scores_eap.npz", "real_edges.npy", "nodes.json", "circuits.json", "model"],
)
def test_missing_files_are_named(folder: Path, name: str) -> None:
    path = folder / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(KcError, match=name):
        check_parity(folder)


@pytest.mark.parametrize(
    "name",
    [
        "pairs.jsonl",
        "scores_eapig_1_to_m.npz",
        "real_edges.npy",
        "nodes.json",
        "circuits.json",
        "model/config.json",
        "model/model.safetensors",
        "model/tokenizer.json",
    ],
)
@pytest.mark.parametrize("half", [True, False])
def test_damaged_files_are_named(folder: Path, name: str, half: bool) -> None:
    path = folder / name
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] if half else b"[]")
    with pytest.raises(KcError) as error:
        check_parity(folder)
    assert name.split("/")[0] in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("field", ["clean_ids", "right_id"])
def test_impossible_pairs_are_named(folder: Path, field: str) -> None:
    lines = (folder / "pairs.jsonl").read_text().splitlines()
    pair = json.loads(lines[1])
    for value in ("x", 10**6):
        pair[field] = [value, *pair[field][1:]] if field == "clean_ids" else value
        (folder / "pairs.jsonl").write_text("\n".join([lines[0], json.dumps(pair), *lines[2:]]))
        with pytest.raises(KcError, match=r"pairs\.jsonl"):
            check_parity(folder)


def test_folders_without_sets(tmp_path: Path) -> None:
    with pytest.raises(KcError, match="no folder"):
        check_parity(tmp_path / "absent")
    with pytest.raises(KcError, match="Neither"):
        check_parity(tmp_path)
    assert [path.name for path in find_sets(GOLDEN)] == list(SETS)
