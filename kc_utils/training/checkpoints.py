"""Checkpoint folders of a training run: written whole, verified, and resumable.

``out_dir/step-000123/`` is a Hugging Face folder (safetensors weights, configuration, tokenizer)
with ``checkpoint.json`` (step, epoch, SHA-256 of every file). The newest one also holds
``resume/``: optimiser moments and random states as safetensors, the rest of the state as JSON.
A folder is filled under a temporary name and then renamed, so a folder with its final name is
complete. Nothing is pickled.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kc_utils import artifacts
from kc_utils.errors import KcError
from kc_utils.models import write_model

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
