"""Two processes of ``accelerate launch`` end with the weights of one that accumulates."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import train_launched
from conftest import environment
from safetensors.torch import load_file
from torch import Tensor

from kc_utils.config import TrainingConfig
from kc_utils.errors import KcError
from kc_utils.training import packing, pretraining
from kc_utils.training.pretraining import read_result, shared

pytestmark = pytest.mark.slow
TESTS = Path(__file__).parent
#: Sums in another order move weights by less; another order of data, or half of each gradient, by
#: hundreds of times more.
TOLERANCE = 1e-5
LAUNCH = ("--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no",
          "--dynamo_backend", "no", "--main_process_port", "0")  # fmt: skip


def weights(out: Path) -> dict[str, Tensor]:
    return load_file(read_result(out).final / "model.safetensors")


def apart(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    """The largest difference of two weights of the same name."""
    assert a.keys() == b.keys()
    return max(float((a[name] - b[name]).abs().max()) for name in a)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained here, in one process."""
    out = tmp_path_factory.mktemp("one") / "out"
    train_launched.run(out)
    return out


def test_two_processes_end_with_the_weights_of_one(one: Path, tmp_path: Path) -> None:
    program = [sys.executable, "-m", "accelerate.commands.launch", *LAUNCH]
    done = subprocess.run(
        [*program, str(TESTS / "train_launched.py"), str(tmp_path / "two")],
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        env=environment() | {"PYTHONPATH": str(TESTS.parent)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    alone, together = read_result(one), read_result(tmp_path / "two")
    assert len(alone.losses) == len(together.losses) == 6
    assert together.checkpoints["step"].tolist() == alone.checkpoints["step"].tolist() == [0, 3, 6]
    columns = ["loss", "grad_norm", "learning_rate"]
    difference = (alone.losses[columns] - together.losses[columns]).abs()
    assert difference.to_numpy().max() < 1e-3
    start, end = load_file(Path(alone.checkpoints["path"][0]) / "model.safetensors"), weights(one)
    assert apart(start, end) > 100 * TOLERANCE, "there is something to compare"
    assert apart(end, weights(tmp_path / "two")) < TOLERANCE


@pytest.mark.parametrize("control", ["another order of the data", "half of every gradient"])
def test_controls_end_elsewhere(
    control: str, one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if control.startswith("half"):
        monkeypatch.setattr(packing.StepDataset, "__getitem__", without_half())
    train_launched.run(tmp_path / "other", seed=int(control.startswith("another")))
    assert apart(weights(one), weights(tmp_path / "other")) > 100 * TOLERANCE


def without_half():
    """Micro-batches of which every second one counts for nothing.

    As in a process that never hears of the gradients of another one.
    """
    whole = packing.StepDataset.__getitem__

    def half(self: packing.StepDataset, index: int) -> dict[str, torch.Tensor]:
        batch = whole(self, index)
        if index % 2:
            batch["labels"][:] = packing.IGNORED
        return batch

    return half


def test_processes_that_do_not_divide_the_accumulation_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pretraining, "n_processes", lambda: 2)
    assert shared(TrainingConfig(accumulation=6)).accumulation == 3
    for odd in (1, 3):
        with pytest.raises(KcError, match=f"2 processes cannot share the {odd} forward passes"):
            shared(TrainingConfig(accumulation=odd))
