"""``kc benchmark``: what the command stores, judges by, and refuses."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmark_models import model, tokenizer
from typer.testing import CliRunner

from kc_utils.benchmark import ground_truth, tasks
from kc_utils.book.benchmark_tables import BenchmarkTables
from kc_utils.circuits.circuit_size import SHARES
from kc_utils.cli import benchmark, judged_tasks
from kc_utils.cli.app import app
from kc_utils.errors import KcError
from kc_utils.models.tokenizers import save_tokenizer

pytestmark = pytest.mark.slow


def kc(*words: str | Path) -> str:
    """What the command line says: its output, or its sentence."""
    result = CliRunner().invoke(app, ["benchmark", *map(str, words)], catch_exceptions=True)
    return str(result.exception) if isinstance(result.exception, KcError) else result.output


@pytest.fixture(scope="module")
def stored_model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("stored") / "model"
    model().save_pretrained(folder)
    save_tokenizer(tokenizer(), folder)
    return folder


def test_the_command_judges_a_model_on_made_and_on_given_tasks(
    tmp_path: Path, stored_model: Path
) -> None:
    tasks.write_rows(tmp_path / "mine.jsonl", tasks.addition(12, 3))
    words = ["--model", stored_model, "--pairs", 6, "--method", "eap", "--draws", 1]
    output = kc(*words, "--task", "ioi", "--task", tmp_path / "mine.jsonl", "--polish", 6,
                "--out", tmp_path / "out")  # fmt: skip
    assert "areas" in output and "polish" in output
    stored = BenchmarkTables.open(tmp_path / "out")
    assert set(stored.table("areas")["task"]) == {"ioi", "mine"}
    assert stored.table("areas")["cpr_low"].isna().all(), "one draw says nothing of its spread"
    assert stored.record["model"]["name"] == "model"
    counts = stored.table("pairs")[["discovery", "held_out", "left_out"]]
    assert counts.sum(axis=1).tolist() == [12, 12] and (counts["held_out"] > 2).all()
    polished = stored.table("polish").set_index(["task", "circuit"])["n_edges"]
    for task in ("ioi", "mine"):
        assert polished[task, "polished"] <= polished[task, "cut"]
    made = tasks.read_rows(tmp_path / "out" / "ioi.jsonl")
    assert made == [*tasks.ioi(6, 0), *tasks.ioi(6, 1)]


def test_areas_are_means_over_draws_with_an_interval(tmp_path: Path, stored_model: Path) -> None:
    words = ["--model", stored_model, "--method", "eap", "--task", "addition"]
    kc(*words, "--pairs", 8, "--draws", 3, "--out", tmp_path / "three")
    stored = BenchmarkTables.open(tmp_path / "three")
    each, areas = stored.table("draws"), stored.table("areas")
    assert len(each) == 3 * len(areas) and (areas["draws"] == 3).all()
    for row in areas.itertuples():
        own = each[(each["method"] == row.method) & (each["cut"] == row.cut)]["cmd"]
        assert row.cmd == pytest.approx(own.mean())
        half = 4.3026527 * own.std() / 3**0.5  # Student's t for two degrees of freedom
        assert (row.cmd_low, row.cmd_high) == pytest.approx((own.mean() - half, own.mean() + half))
    curves = stored.table("curves")
    assert len(curves) == len(areas) * len(SHARES)
    assert curves[curves["share"] == 1]["faithfulness"].to_numpy() == pytest.approx(1, abs=1e-4)
    kc(*words, "--pairs", 8, "--draws", 1, "--seed", 1, "--out", tmp_path / "second")
    second = BenchmarkTables.open(tmp_path / "second").table("areas")["cmd"]
    assert second.to_numpy() == pytest.approx(each[each["draw"] == 1]["cmd"].to_numpy())
    assert each[each["draw"] == 0]["cmd"].to_numpy() != pytest.approx(second.to_numpy())


def test_one_that_was_killed_goes_on_and_ends_the_same(
    tmp_path: Path, stored_model: Path, monkeypatch
) -> None:
    words = ["--model", stored_model, "--method", "eap", "--task", "addition", "--polish", 4,
             "--pairs", 6, "--draws", 2]  # fmt: skip
    kc(*words, "--out", tmp_path / "whole")
    judge, begun = judged_tasks.areas_by_method.faithfulness_by_size, []

    def killed_at(call: int):
        def judged(*arguments):
            begun.append(arguments)
            if len(begun) == call:
                raise KeyboardInterrupt
            return judge(*arguments)

        return judged

    monkeypatch.setattr(judged_tasks.areas_by_method, "faithfulness_by_size", killed_at(2))
    kc(*words, "--out", tmp_path / "killed")
    left = tmp_path / ".killed.draws"
    assert len(list(left.glob("*.parquet"))) == 2 and not (tmp_path / "killed").exists()
    kc(*words, "--out", tmp_path / "killed")
    assert len(begun) == 3, "the first draw is not computed again"
    assert not left.exists()
    for name in ("areas", "draws", "curves", "pairs", "polish"):
        files = [tmp_path / folder / f"{name}.parquet" for folder in ("whole", "killed")]
        assert files[0].read_bytes() == files[1].read_bytes(), name
    begun.clear()
    kc(*words, "--out", tmp_path / "other")
    kc(*words, "--steps", 2, "--out", tmp_path / "other")
    assert len(begun) == 4, "control: killed once more, other settings take nothing over"


def test_a_circuit_larger_than_the_graph_is_refused_before_it_is_looked_for(
    stored_model: Path, monkeypatch
) -> None:
    monkeypatch.setattr(judged_tasks.areas_by_method, "faithfulness_by_size",
                        lambda *_: pytest.fail("it computes"))  # fmt: skip
    words = ["--model", stored_model, "--task", "ioi", "--pairs", 4, "--method", "eap"]
    assert "--polish 9999 is not possible; allowed are whole numbers from 1 to" in kc(
        *words, "--polish", 9999
    )


def test_draws_of_a_file_share_no_row(tmp_path: Path) -> None:
    path, rows = tmp_path / "mine.jsonl", tasks.addition(13, 3)
    tasks.write_rows(path, rows)
    asked = judged_tasks.Asked(50, 3, 5, 0, "logit_diff", None, None)
    draws = judged_tasks.draws_of(str(path), asked)
    assert [row for halves in draws for half in halves for row in half] == rows[:12]
    with pytest.raises(KcError, match="holds 13 rows; two halves of 7 draws need at least 14"):
        judged_tasks.draws_of(str(path), replace(asked, draws=7))


def test_another_metric_judges_and_scores(tmp_path: Path, stored_model: Path) -> None:
    words = ["--model", stored_model, "--task", "ioi", "--pairs", 6, "--draws", 1]
    found = {}
    for metric in ("logit_diff", "kl"):
        kc(*words, "--method", "eap-ig", "--metric", metric, "--out", tmp_path / metric)
        stored = BenchmarkTables.open(tmp_path / metric)
        assert stored.record["settings"]["metric"] == metric
        found[metric] = stored.table("curves")
    assert (found["kl"]["faithfulness"] <= 1 + 1e-6).all(), "KL to the model is never below 0"
    assert not np.allclose(found["kl"]["faithfulness"], found["logit_diff"]["faithfulness"])
    said = kc(*words, "--method", "eap", "--metric", "kl")
    assert "eap scores every edge 0 by --metric kl" in said and "clean-corrupted" in said
    assert benchmark._gradient_methods(None, "kl") == [
        "eap-ig", "eap-ig-activations", "clean-corrupted"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--task", "ioi"], "--task has no effect without --model"),
        (["--polish", "0"], "--polish has no effect without --model; leave it out."),
        (["--seed", "0"], "--seed has no effect without --model"),
        (["--pairs", "24"], "--pairs has no effect without --model"),
        (["--draws", "3"], "--draws has no effect without --model"),
        (["--metric", "logit_diff"], "--metric has no effect without --model"),
        (["--metric", "accuracy"], "--metric 'accuracy' is not one of logit_diff, prob_diff, kl"),
        (["--draws", "0"], "--draws 0 is not possible; allowed are whole numbers from 1"),
        (["--batch-size", "2"], "--batch-size has no effect without --model"),
        (["--model", "x", "--task", "ioi", "--seeds", "3"], "--seeds has no effect with --model"),
        (["--keep"], "--keep stores what takes long"),
        (["--model", "nowhere"], "--model needs a --task"),
        (["--model", "nowhere", "--task", "ioi"], "nowhere"),
        (["--model", "nowhere", "--task", "mcqa"], "'mcqa' is not a task"),
        (["--model", "nowhere", "--task", "none.jsonl"], "There is no file"),
        (["--model", "x", "--task", "ioi", "--counterfactual", "abc"], "is for rows of a file"),
        (["--method", "magic"], "is not one of eap"),
        (["--model", "x", "--task", "ioi", "--method", "exact"], "is not one of eap"),
        (["--pairs", "0"], "--pairs 0 is not possible; allowed are whole numbers from 1"),
        (["--model", "x", "--task", "ioi", "--polish", "0"], "--polish 0 is not possible"),
        (["--model", "x", "--task", "ioi", "--task", "ioi"], "Two of --task are called 'ioi'"),
        (["--model", "x", "--task", "a/t.jsonl", "--task", "b/t.jsonl"], "are called 't'"),
        (["--model", "x", "--task", "addition", "--seed", "-1"], "--seed -1 is not possible"),
    ],
)
def test_a_mistake_is_said_in_one_sentence(words: list[str], said: str) -> None:
    output = kc(*words)
    assert said in output and "Traceback" not in output


@pytest.mark.parametrize("words", [[], ["--model", "nowhere", "--task", "ioi"]])
def test_a_folder_that_cannot_be_written_is_refused_before_anything_else(
    tmp_path: Path, words: list[str], monkeypatch
) -> None:
    monkeypatch.setattr(ground_truth, "cases", lambda: pytest.fail("it computes"))
    (tmp_path / "file").touch()
    assert "/file' is no folder; choose another" in kc(*words, "--out", tmp_path / "file" / "x")
    if words:
        assert "holds no benchmark; choose another --out" in kc(*words, "--out", tmp_path)
    (tmp_path / "file").unlink()
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    assert "you may not write into" in kc(*words, "--out", tmp_path / "new")
    assert not list(tmp_path.iterdir())
