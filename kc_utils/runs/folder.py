"""The run folder: one configuration, and everything that was computed from it.

Layout::

    run.json                 configuration, versions, device, stages with keys and seconds
    data/ tokenizer/ base/   what training starts from
    checkpoints/ scores/     model checkpoints, edge scores
    tables/ figures/         tidy tables (parquet), figures (SVG, HTML)
    parts/                   finished pieces of a stage that was interrupted
    notebooks/ book/         executed notebooks, built book

A stage is *done* when its record in ``run.json`` carries the key that follows from the current
configuration. Every file that a stage wrote is recorded with its SHA-256; a file that is missing
or differs is refused by name when it is read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from kc_utils import ROOT, artifacts, config
from kc_utils.config import Config, profiles
from kc_utils.errors import KcError, in_shell, typed_path
from kc_utils.runs.inside import refuse_inside_run, run_around
from kc_utils.runs.lock import locked
from kc_utils.runs.record import provenance, read_record, write_record


class Run:
    """A run folder. ``Run.open`` reads an existing one, ``Run.create`` makes or updates one."""

    def __init__(self, path: Path, record: dict[str, Any]) -> None:
        self.path = path
        self.record = record
        try:
            self.config: Config = config.build(record["config"])
        except KcError as error:
            raise KcError(f"{path / 'run.json'} holds what this version refuses: {error}") from None

    @classmethod
    def open(cls, run_dir: str | Path, start: str | None = None) -> Run:
        """Open an existing run; see :func:`resolve` for relative paths.

        Where there is none, ``start`` is named as the command that makes it.
        """
        path = resolve(run_dir)
        if not (path / "run.json").is_file():
            named = str(run_dir) or "''"
            raise KcError(f"{named} holds no run (no run.json); {_instead(run_dir, path, start)}.")
        return cls(path, read_record(path))

    @classmethod
    def create(cls, run_dir: str | Path, settings: Config) -> Run:
        """Make a run folder, or give an existing one of the same profile a new configuration."""
        run = cls.draft(run_dir, settings)
        run.save()
        return run

    @classmethod
    def draft(cls, run_dir: str | Path, settings: Config) -> Run:
        """The run that ``create`` makes, with its checks, before anything is written."""
        path = resolve(run_dir)
        refuse_inside_run(path, "--run-dir")
        if (path / "run.json").is_file():
            record = read_record(path)  # its configuration may be one of an earlier version
            profile = record["config"].get("profile")
            if profile != settings.profile:
                raise KcError(
                    f"{run_dir} holds a run of profile {profile!r}, not {settings.profile!r}; "
                    "choose another --run-dir."
                )
        elif path.exists() and (path.is_file() or any(path.iterdir())):
            raise KcError(f"{run_dir} is not empty and holds no run; choose another --run-dir.")
        else:
            record = {"stages": {}, "notebooks": {}, "other_seconds": {}}
        record["config"] = settings.model_dump(mode="json")
        record.setdefault("provenance", provenance())
        return cls(path, record)

    @classmethod
    def open_or_create(cls, run_dir: str | Path, profile: str) -> Run:
        """What a notebook opened by hand does: continue the run, or start one from a profile."""
        path = resolve(run_dir)
        settings = profiles.load(profile)  # refused before anything is written, used or not
        if not (path / "run.json").is_file():
            with locked(path):
                if not (path / "run.json").is_file():
                    return cls.create(path, settings)
        return cls.open(path)

    def refresh(self) -> None:
        """Read again what was recorded since this run was opened.

        Raises:
            KcError: its configuration is another one now.
        """
        record = read_record(self.path)
        if record["config"] != self.record["config"]:
            raise KcError(
                f"The configuration of {self.path} was changed by another process; open it again."
            )
        self.record = record

    def save(self) -> None:
        """Write run.json."""
        write_record(self.path, self.record)

    @property
    def name(self) -> str:
        """Folder name of the run."""
        return self.path.name

    def command(self, run_dir: str | Path | None = None) -> str:
        """The ``kc run`` that goes on with this run, its folder as it was typed."""
        return profiles.command(self.config, run_dir or self.path)

    def table_path(self, name: str) -> Path:
        """Where the table ``name`` is stored."""
        return self.path / "tables" / f"{name}.parquet"

    def write_table(self, name: str, frame: pd.DataFrame) -> None:
        """Store a tidy table."""
        artifacts.write_parquet(self.table_path(name), frame.reset_index(drop=True))

    def table(self, name: str) -> pd.DataFrame:
        """Read a recorded table, refusing a missing or damaged one by name."""
        return self.read(self.table_path(name))

    def read(self, path: Path) -> pd.DataFrame:
        """Read a recorded parquet file after checking its digest."""
        self.verify(path)
        return artifacts.read_parquet(path)

    def verify(self, path: Path) -> Path:
        """Check a file, or every file below a folder, against the digests in run.json."""
        relative = path.relative_to(self.path).as_posix()
        for stage, record in self.record["stages"].items():
            for name, digest in record["wrote"].items():
                if name == relative or name.startswith(relative + "/"):
                    self._check(name, digest, stage)
        if not path.exists():
            raise KcError(f"{path} is missing; '{self.command()}' computes it.")
        return path

    def _check(self, file: str, digest: str, stage: str) -> None:
        """KcError for a file that is missing, or not what the stage wrote."""
        path = self.path / file
        if not path.is_file():
            wrong = f"{path} of stage {stage!r} is missing"
        elif artifacts.sha256(path) != digest:
            wrong = f"{path} is damaged: its digest is not the one that run {self.name!r} recorded"
        else:
            return
        raise KcError(f"{wrong}; '{self.command()} --from {stage}' recomputes it.")

    def verify_stage(self, name: str) -> None:
        """Check every file that a stage wrote."""
        for file, digest in self.record["stages"][name]["wrote"].items():
            self._check(file, digest, name)

    def gone(self, name: str) -> list[str]:
        """The files that a stage wrote and that are not there any more, relative to the run."""
        wrote = self.record["stages"][name]["wrote"]
        return [file for file in wrote if not (self.path / file).is_file()]

    def record_stage(
        self,
        name: str,
        key: str,
        seconds: float,
        wrote: Iterable[Path],
        peak_bytes: int | None = None,
    ) -> None:
        """Note that a stage is done: its key, what it cost, the digest of every file it wrote."""
        files = [f for path in wrote for f in artifacts.files_below(path)]
        self.record["provenance"] = provenance()
        self.record["stages"][name] = {
            "key": key,
            "seconds": round(seconds, 2),
            **({} if peak_bytes is None else {"peak_bytes": peak_bytes}),
            "wrote": {f.relative_to(self.path).as_posix(): artifacts.sha256(f) for f in files},
        }
        self.save()

    def seconds(self) -> dict[str, float]:
        """Seconds per stage, executed notebook and other step, in the order they were recorded."""
        record = self.record
        rows = {name: stage["seconds"] for name, stage in record["stages"].items()}
        rows |= {f"notebook {n}": book["seconds"] for n, book in record["notebooks"].items()}
        return rows | record["other_seconds"]


def _instead(run_dir: str | Path, path: Path, start: str | None) -> str:
    """What to do about a folder without a run, at ``path``."""
    if (around := run_around(path)) is not None:
        return f"it lies in that of the run {str(around)!r}"
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        return "it holds something else, and a new run needs a new or empty folder"
    start = start or f"kc run --profile tiny --run-dir {in_shell(run_dir)}"
    return f"start one with '{start}'"


def resolve(run_dir: str | Path) -> Path:
    """Absolute path of a folder that was named relative to where the user stands.

    Inside the project that is its root, wherever there: a notebook runs in the folder it lies in.
    """
    path = typed_path(run_dir)
    if path.is_absolute() or path.exists():
        return path.resolve()
    here = Path.cwd()
    return ((ROOT if here.is_relative_to(ROOT) else here) / path).resolve()


def key_of(*parts: Any) -> str:
    """Short digest of JSON values: equal values, equal key."""
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
