"""Training that is killed at any moment ends with the same bytes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    script = Path(__file__).with_name("kill_training.py")
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(script.parent.parent),
        "HF_HUB_OFFLINE": "1",
    }
    out = subprocess.run(
        [sys.executable, str(script), str(tmp_path_factory.mktemp("killed"))],
        env=environment,
        capture_output=True,
        text=True,
        timeout=1500,
    )
    assert out.returncode == 0, out.stderr[-2000:]
    return json.loads(out.stdout)


def _weights(files):
    return {name: digest for name, digest in files.items() if name.endswith("model.safetensors")}


@pytest.mark.slow
def test_a_run_killed_at_random_ends_with_the_same_bytes(killed):
    assert killed["kills"] >= 1
    assert len(_weights(killed["whole"])) == 4
    assert killed["random"] == killed["whole"]


@pytest.mark.slow
def test_a_run_killed_while_writing_or_stepping_ends_with_the_same_bytes(killed):
    assert all(run["died"] for run in killed["calls"].values())
    resumed_from = [run["resumed_from"] for run in killed["calls"].values()]
    assert resumed_from == [-1, 4, 8]
    for run in killed["calls"].values():
        assert run["files"] == killed["whole"]


@pytest.mark.slow
def test_with_decay_and_only_the_last_checkpoint_too(killed):
    assert killed["last-killed"]["died"] and killed["last-killed"]["resumed_from"] > 0
    assert killed["last-killed"]["files"] == killed["last"]
    assert len(_weights(killed["last"])) == 1


@pytest.mark.slow
def test_controls_another_seed_or_a_forgotten_state_end_elsewhere(killed):
    final = max(_weights(killed["whole"]))
    assert killed["other-seed"][final] != killed["whole"][final]
    for run in killed["forgot"].values():
        assert run["resumed_from"] > 0
        assert run["files"][final] != killed["whole"][final]
