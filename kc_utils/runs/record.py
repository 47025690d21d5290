"""``run.json``: what it holds, checked when it is read, and where its numbers were computed."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kc_utils import ROOT, artifacts
from kc_utils.errors import KcError
from kc_utils.runs.machine import memory_bytes, processor

FILE = "run.json"
PACKAGES = ("torch", "transformers", "transformer-lens", "numpy", "pandas", "pyarrow", "papermill",
            "jupyter-book")  # fmt: skip


class _Cost(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    key: str
    seconds: Annotated[float, Field(ge=0)]
    peak_bytes: int | None = None


class _Stage(_Cost):
    wrote: dict[str, str]


class _Notebook(_Cost):
    digest: str | None = None
    results: str | None = None  # the keys of the stages that it shows, as one
    sweep: str | None = None  # digest of the stored sweep whose figures it shows


class _Record(BaseModel):
    """The shape of a record; what the configuration may hold is the configuration's matter."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    config: dict[str, Any]
    stages: dict[str, _Stage]
    notebooks: dict[str, _Notebook] = {}
    other_seconds: dict[str, Annotated[float, Field(ge=0)]] = {}
    provenance: dict[str, Any] = {}
    digest: str | None = None


def read_record(folder: Path) -> dict[str, Any]:
    """The record of a run, without its digest.

    Raises:
        KcError: it is missing, is no JSON, has another shape, or is not what was written.
    """
    path = folder / FILE
    record = artifacts.read_json(path)
    if not isinstance(record, dict):
        raise KcError(f"{path} is damaged: it holds no record of a run.")
    try:
        _Record.model_validate(record)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise KcError(f"{path} is damaged: {place}: {first['msg']}.") from None
    digest = record.pop("digest", None)
    if digest is not None and digest != _digest(record):
        raise KcError(
            f"{path} is damaged or was edited: its digest is not that of its content (whoever "
            "edits it on purpose removes the digest)."
        )
    return {"notebooks": {}, "other_seconds": {}} | record


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Store the record of a run with its digest."""
    artifacts.write_json(folder / FILE, record | {"digest": _digest(record)})


def _digest(record: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def provenance() -> dict[str, Any]:
    """Versions, git commit and machine of this process, without names or paths of the machine."""
    import torch  # not needed to read a run

    return {
        "git": commit(),
        "version": metadata.version("kc-utils"),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "processor": processor(),
        "memory_bytes": memory_bytes(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "versions": {name: metadata.version(name) for name in PACKAGES},
    }


def commit() -> str | None:
    """Short commit of the checkout that this package runs from, or None.

    An installed package has none, even if a repository encloses the folder it lies in.
    """
    ask = ["git", "rev-parse", "--show-toplevel", "HEAD"]
    try:
        said = subprocess.run(ask, cwd=ROOT, capture_output=True, text=True).stdout.split("\n")
    except OSError:  # no git
        return None
    own = len(said) > 2 and Path(said[0]).resolve() == ROOT
    return said[1][:12] if own else None
