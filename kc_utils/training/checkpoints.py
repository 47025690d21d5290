"""Checkpoint folders of a training run: written whole, verified, and resumable.

``out_dir/step-000123/`` is a Hugging Face folder (safetensors weights, configuration, tokenizer)
with ``checkpoint.json`` (step, epoch, SHA-256 of every file). A folder is filled under a temporary
name and then renamed, so a folder with its final name is complete. Nothing is pickled.

The newest one also holds ``resume/``, with which a killed run goes on with the same bits:
``optimizer.safetensors`` (moments, step counts), ``random.safetensors`` (torch's generators),
``optimizer.json`` (groups, learning-rate schedule), ``trainer_state.json`` (Trainer's own, with the
loss of every step) and ``settings.json`` (what the weights depend on). After the last step only the
last two are kept: nothing is left to resume.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerState

from kc_utils import artifacts
from kc_utils.errors import KcError
from kc_utils.models.causal_lm import load_model, write_model

RESUME = "resume"
TEMPORARY = ".tmp-"


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint: optimiser ``step``, ``epoch`` (with fraction) and its folder."""

    step: int
    epoch: float
    path: Path

    @property
    def resumable(self) -> bool:
        """True when training can go on from here (or has ended here)."""
        return (self.path / RESUME).is_dir()


def list_checkpoints(out_dir: str | Path) -> list[Checkpoint]:
    """Complete checkpoints in ``out_dir`` by step; empty when there is none.

    Raises:
        KcError: a checkpoint's ``checkpoint.json`` is missing or damaged.
    """
    folders = sorted(Path(out_dir).glob("step-*"))
    return [Checkpoint(d["step"], d["epoch"], f) for f in folders for d in [_description(f)]]


def _description(folder: Path) -> dict:
    try:
        return json.loads((folder / "checkpoint.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise KcError(
            f"The checkpoint {str(folder)!r} is damaged: no readable checkpoint.json; "
            f"remove {str(folder.parent)!r} and train again."
        ) from None


def write_checkpoint(
    out_dir: Path,
    step: int,
    epoch: float,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    write_resume: Callable[[Path], None],
) -> Checkpoint:
    """Write one checkpoint; ``write_resume`` fills its ``resume/`` folder."""
    final = out_dir / f"step-{step:06d}"
    temporary = out_dir / f"{TEMPORARY}{final.name}"
    shutil.rmtree(temporary, ignore_errors=True)
    write_model(model, tokenizer, temporary)
    (temporary / RESUME).mkdir()
    write_resume(temporary / RESUME)
    description = {"step": step, "epoch": epoch, "sha256": _hashes(temporary)}
    write_json(temporary / "checkpoint.json", description)
    artifacts.sync(temporary)
    os.replace(temporary, final)
    return Checkpoint(step, epoch, final)


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(f.relative_to(folder).as_posix()): artifacts.sha256(f) for f in files}


def write_json(file: Path, values: object) -> None:
    """Write JSON with sorted keys; floats keep every bit."""
    file.write_text(json.dumps(values, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def clean(out_dir: Path, keep: str) -> None:
    """Remove leftovers of a killed run and what newer checkpoints replace.

    Temporary folders go; ``resume/`` stays in the newest checkpoint only; with
    ``keep="last"`` so does the checkpoint itself.
    """
    for folder in out_dir.glob(f"{TEMPORARY}*"):
        shutil.rmtree(folder)
    for folder in sorted(out_dir.glob("step-*"))[:-1]:
        if keep == "last":
            _remove(folder, out_dir / f"{TEMPORARY}{folder.name}")
        elif (folder / RESUME).is_dir():
            _remove(folder / RESUME, out_dir / f"{TEMPORARY}{folder.name}-{RESUME}")


def _remove(folder: Path, doomed: Path) -> None:
    """Rename, then remove: a kill in between leaves no half folder under its real name."""
    os.replace(folder, doomed)
    shutil.rmtree(doomed)


def verify(checkpoint: Checkpoint, *, hashes: bool = True) -> None:
    """Check the files of a checkpoint; ``hashes=False`` only looks whether weights are whole.

    Raises:
        KcError: a file is missing, cut short or changed; the sentence names the checkpoint.
    """
    expected = _description(checkpoint.path).get("sha256", {})
    for name, digest in expected.items():
        file = checkpoint.path / name
        if not file.is_file() and name.startswith(f"{RESUME}/") and not checkpoint.resumable:
            continue
        problem = _problem(file, digest if hashes else None)
        if problem:
            raise KcError(
                f"The checkpoint {str(checkpoint.path)!r} is damaged: {name} {problem}; "
                f"remove {str(checkpoint.path.parent)!r} and train again."
            )


def _problem(file: Path, digest: str | None) -> str | None:
    if not file.is_file():
        return "is missing"
    try:
        if file.suffix == ".safetensors":
            with safe_open(file, framework="pt"):
                pass
    except (SafetensorError, OSError) as error:
        return f"is not readable ({error})"
    if digest is not None and artifacts.sha256(file) != digest:
        return "has changed since it was written"
    return None


LOSS_COLUMNS = ("step", "loss", "grad_norm", "learning_rate")


def save_progress(folder: Path, trainer_state: TrainerState, settings: dict[str, Any]) -> None:
    """Write the Trainer's state and the settings of the run."""
    trainer_state.save_to_json(str(folder / "trainer_state.json"))
    write_json(folder / "settings.json", settings)


def save_optimizer(folder: Path, optimizer: Any, scheduler: Any) -> None:
    """Write moments as safetensors; groups and schedule as JSON."""
    values = optimizer.state_dict()
    tensors = {
        f"{index}.{name}": tensor.detach().cpu().contiguous()
        for index, moments in values["state"].items()
        for name, tensor in moments.items()
    }
    save_file(tensors, folder / "optimizer.safetensors")
    schedule = {k: v for k, v in scheduler.state_dict().items() if k != "lr_lambdas"}
    write_json(folder / "optimizer.json", {"groups": values["param_groups"], "schedule": schedule})


def load_optimizer(optimizer: Any, scheduler: Any, folder: Path) -> None:
    """Restore what :func:`save_optimizer` wrote."""
    values = json.loads((folder / "optimizer.json").read_text(encoding="utf-8"))
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in load_file(folder / "optimizer.safetensors").items():
        index, _, name = key.partition(".")
        moments.setdefault(int(index), {})[name] = tensor
    groups = [group | {"betas": tuple(group["betas"])} for group in values["groups"]]
    optimizer.load_state_dict({"state": moments, "param_groups": groups})
    scheduler.load_state_dict(
        values["schedule"] | {"lr_lambdas": [None] * len(scheduler.lr_lambdas)}
    )


def save_random(folder: Path) -> None:
    """Write the states of torch's generators (the only ones that training draws from)."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states |= {f"cuda.{i}": s for i, s in enumerate(torch.cuda.get_rng_state_all())}
    save_file(states, folder / "random.safetensors")


def load_random(folder: Path) -> None:
    """Restore what :func:`save_random` wrote; devices that are gone are left out."""
    for name, value in load_file(folder / "random.safetensors").items():
        if name == "cpu":
            torch.set_rng_state(value)
        elif int(name.partition(".")[2]) < torch.cuda.device_count():
            torch.cuda.set_rng_state(value, int(name.partition(".")[2]))


def load_weights(model: PreTrainedModel, folder: Path) -> None:
    """Put the weights stored in ``folder`` into ``model``, bit by bit.

    Raises:
        KcError: they are damaged or belong to another architecture.
    """
    stored = load_model(folder, dtype=model.dtype)
    try:
        model.load_state_dict(stored.state_dict())
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise KcError(f"The weights in {str(folder)!r} belong to another model: {reason}") from None


def check_settings(checkpoint: Checkpoint, settings: dict[str, Any]) -> None:
    """Refuse to continue a run with other data, settings, seed or starting weights.

    Raises:
        KcError: names the first setting that differs.
    """
    file = checkpoint.path / RESUME / "settings.json"
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise KcError(
            f"{str(file)!r} is damaged; remove {str(checkpoint.path.parent)!r}."
        ) from None
    for key in sorted({*stored, *settings}):
        if stored.get(key) != settings.get(key):
            was, now = (str(v.get(key))[:16] for v in (stored, settings))
            raise KcError(
                f"{str(checkpoint.path.parent)!r} holds a run with {key}={was}, not {now}; "
                f"remove it or use another folder."
            )


def read_losses(checkpoint: Checkpoint) -> pd.DataFrame:
    """One row per optimiser step: step, loss, grad_norm, learning_rate.

    Raises:
        KcError: the state of the run is missing or damaged.
    """
    file = checkpoint.path / RESUME / "trainer_state.json"
    try:
        history = json.loads(file.read_text(encoding="utf-8"))["log_history"]
    except (OSError, ValueError, KeyError):
        raise KcError(
            f"{str(file)!r} is damaged; remove {str(checkpoint.path.parent)!r}."
        ) from None
    rows = [[entry.get(c) for c in LOSS_COLUMNS] for entry in history if "loss" in entry]
    return pd.DataFrame(rows, columns=list(LOSS_COLUMNS))


def weights_hash(model: nn.Module) -> str:
    """SHA-256 of all parameters, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.named_parameters()):
        raw = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        digest.update(name.encode())
        digest.update(raw.numpy().data)
    return digest.hexdigest()
