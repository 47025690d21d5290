"""State that a killed run needs to go on with the same bits, without pickle.

``resume/`` of the newest checkpoint: ``optimizer.safetensors`` (moments, step counts),
``random.safetensors`` (torch's generators), ``optimizer.json`` (groups, learning-rate schedule),
``trainer_state.json`` (Trainer's own, with the loss of every step) and ``settings.json`` (what
the weights depend on). After the last step only the last two are kept: nothing is left to resume.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel, TrainerState

from kc_utils.errors import KcError
from kc_utils.models import load_model
from kc_utils.training.checkpoints import RESUME, Checkpoint, write_json

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
