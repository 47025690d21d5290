"""The whole study on toy models: killed runs, foreign model folders, a real machine's mistakes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pandas as pd
import pytest
from conftest import Forked, kc
from moments import Moment

from kc_utils.config import ModelConfig
from kc_utils.models.causal_lm import make_model, save_model
from kc_utils.models.tokenizers import load_tokenizer

pytestmark = pytest.mark.slow

#: A run is killed as soon as one of these appears, in this order; the cores that it may use then.
MOMENTS = {"base/training/step-*": 1, "checkpoints/step-00005*": 1, "scores/*": 1,
           "parts/circuit/*/own-*": 2, "parts/components/*/*": 1,
           "parts/forgetting/*/*": 2}  # fmt: skip


def tables(run_dir: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((run_dir / "tables").iterdir())}


def start_and_kill(run_dir: Path, moment: Moment, cores: int) -> None:
    """Start a run in a process group of its own and kill all of it at the moment."""
    process = Forked(
        "kc", "run", "--profile", "smoke", "--run-dir", run_dir, "--no-notebooks", session=True,
        env=moment.environment() | {"PYTHON_CPU_COUNT": str(cores)},
    )  # fmt: skip
    moment.reached(process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_a_run_killed_again_and_again_ends_with_the_same_tables(smoke_run, tmp_path) -> None:
    run_dir = tmp_path / "killed"
    for i, (pattern, cores) in enumerate(MOMENTS.items()):
        start_and_kill(run_dir, Moment(tmp_path / f"moment-{i}", pattern), cores)
        assert not (run_dir / "tables" / "claims.parquet").exists()
    kc("run", "--profile", "smoke", "--run-dir", run_dir, "--no-notebooks")
    expected, found = tables(smoke_run), tables(run_dir)
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []


@pytest.mark.parametrize("shape", ["gpt2", "llama"])
def test_a_model_folder_goes_through_every_stage(shape: str, smoke_run, tmp_path) -> None:
    tokenizer = load_tokenizer(smoke_run / "tokenizer")
    config = ModelConfig(
        shape=shape, n_layers=2, n_heads=4, n_kv_heads=2, d_model=32, d_mlp=64, vocab_size=600
    )
    save_model(make_model(config, tokenizer, seed=5), tokenizer, tmp_path / "model")
    settings = ["model.source=folder", f"model.path={tmp_path / 'model'}", "circuit.tasks=[city]",
                "circuit.bands=[medium]", "training.epochs=2", "world.n_people=60",
                "forgetting.replay_ratios=[0.0]", "circuit.top_n=40"]  # fmt: skip
    run_dir = tmp_path / "run"
    arguments = [part for value in settings for part in ("--set", value)]
    kc("run", "--profile", "smoke", "--run-dir", run_dir, "--no-notebooks", *arguments)
    graph = pd.read_parquet(run_dir / "tables" / "graph.parquet").iloc[0]
    assert (graph["n_layers"], graph["n_heads"]) == (2, 4)
    # q, k and v of 4 heads read from 1 and 6 writers, the MLPs 5 and 10, the logits 11.
    assert graph["n_edges"] == 4 * 3 * (1 + 6) + 5 + 10 + 11
    claims = pd.read_parquet(run_dir / "tables" / "claims.parquet")
    assert claims["effect"].notna().any()


def test_changing_the_circuit_size_keeps_the_checkpoints(own_run) -> None:
    before = {p: p.stat().st_mtime_ns for p in own_run.glob("checkpoints/*/model.safetensors")}
    smaller = ["--set", "circuit.top_n=20", "--to", "circuit", "--no-notebooks"]
    kc("run", "--profile", "smoke", "--run-dir", own_run, *smaller)
    assert before
    assert {p: p.stat().st_mtime_ns for p in before} == before
    sizes = pd.read_parquet(own_run / "tables" / "circuits.parquet")
    assert set(sizes["n"]) == {20}
