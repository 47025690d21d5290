"""The folder of a study: what it is of, finished parts, and the tables when all is done."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from kc_utils import artifacts
from kc_utils.errors import KcError, cut
from kc_utils.runs.exports import StoredTables
from kc_utils.runs.folder import key_of
from kc_utils.runs.lock import lock_file

RECORD = "study.json"
VERSION = 2  # of what the numbers mean: raise it when a study must be computed again


@dataclass(frozen=True)
class Study(StoredTables):
    """A finished study, or its tables as they are kept with the book."""

    RECORD = RECORD
    NEEDED = frozenset({"of"})
    WHAT = "finished study"
    MADE_BY = "kc facts --model DIR --facts FILE.jsonl --out {folder}"

    @classmethod
    def open(cls, folder: str | Path) -> Study:
        """Open one; KcError also for one that is not finished or of another version."""
        study = super().open(folder)
        of = study.record["of"]
        if not isinstance(of, dict) or of.get("version") != VERSION:
            made_by = cls.MADE_BY.format(folder="OTHER")
            raise KcError(
                f"{folder} holds a study of another version of kc, with other tables; '{made_by}' "
                "computes it again."
            )
        if not study.names:
            made_by = cls.MADE_BY.format(folder=folder)
            raise KcError(f"{folder} holds an unfinished study; '{made_by}' goes on with it.")
        return study

    @property
    def folder(self) -> Path:
        """Where the files of the tables are."""
        inside = self.path / "tables"
        return inside if inside.is_dir() else self.path

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """All tables by name."""
        return {name: self.table(name) for name in self.names}


class _Cost(BaseModel):
    parts: dict[str, float]
    peak_memory_mib: int


class _Record(BaseModel):
    """The form of study.json; what else it holds is kept."""

    model_config = ConfigDict(strict=True)

    key: str
    of: dict[str, Any]
    tables: dict[Annotated[str, StringConstraints(pattern=r"^\w+$")], str]
    cost: _Cost | None = None


class StudyFolder:
    """A folder that holds one study: of certain facts, models and settings.

    ``of``: everything that the numbers depend on. A folder that holds the study of something else
    is refused. Parts that a killed start has finished are used again.
    """

    def __init__(self, path: Path, of: dict[str, Any]) -> None:
        self.path, self.of, self.key = path, of, key_of(of)
        record = _read(path / RECORD) if (path / RECORD).is_file() else None
        if record is None and path.exists() and (path.is_file() or any(path.iterdir())):
            raise KcError(f"{path} is not empty and holds no study of facts; choose another --out.")
        if record is not None and record["key"] != self.key:
            raise KcError(f"{path} holds a study of {_other(record['of'], of)}; choose "
                          "another --out.")  # fmt: skip
        self.record: dict[str, Any] = record or {"key": self.key, "of": of, "tables": {}}
        self._noted = time.process_time()

    @property
    def done(self) -> bool:
        """Whether all tables and figures are there, unchanged."""
        tables: dict[str, str] = self.record["tables"]
        for name, digest in tables.items():
            file = self.table_path(name)
            if not file.is_file() or artifacts.sha256(file) != digest:
                raise KcError(f"{file} is missing or damaged; remove {self.path} and start again.")
        return bool(tables)

    def open(self) -> None:
        """Make the folder and say in it what it is of; until now the model was asked the facts."""
        self.note_cost("answers")

    def note_cost(self, part: str) -> None:
        """Count the processor seconds since the last note for ``part``; store most memory held.

        What earlier starts of the study took stays in.
        """
        now = time.process_time()
        cost = self.record.setdefault("cost", {"parts": {}, "peak_memory_mib": 0})
        spent = cost["parts"].get(part, 0.0) + now - self._noted
        self._noted = now
        cost["parts"][part] = round(spent, 2)
        cost["cpu_seconds"] = round(sum(cost["parts"].values()), 1)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        cost["peak_memory_mib"] = max(cost["peak_memory_mib"], peak)
        artifacts.write_json(self.path / RECORD, self.record)

    def table_path(self, name: str) -> Path:
        return self.path / "tables" / f"{name}.parquet"

    def table(self, name: str) -> pd.DataFrame:
        """Read a finished table."""
        return artifacts.read_parquet(self.table_path(name))

    def piece(self, name: str, compute: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """What ``compute()`` returns, from ``parts/`` if an earlier start came that far."""
        path = self.path / "parts" / f"{name}.parquet"
        if not artifacts.intact(path):
            artifacts.write_piece(path, compute())
            self.note_cost(name.split("-")[0])
        return artifacts.read_parquet(path)

    def finish(self, tables: dict[str, pd.DataFrame], provenance: dict[str, Any]) -> None:
        """Write the tables, then the record that says that they are complete."""
        for name, frame in tables.items():
            artifacts.write_parquet(self.table_path(name), frame.reset_index(drop=True))
        digests = {name: artifacts.sha256(self.table_path(name)) for name in tables}
        self.record |= provenance | {"tables": digests}
        self.note_cost("tables")
        self.tidy()

    def tidy(self) -> None:
        """Remove what a finished study does not need: parts, and the digests of scores."""
        artifacts.unseal(self.path / "scores")
        artifacts.remove(self.path / "parts")

    @property
    def untidy(self) -> bool:
        """Whether a start that was killed after the record was written left its parts or lock."""
        left = (self.path / "parts").exists() or lock_file(self.path).exists()
        return left or bool(artifacts.seals(self.path / "scores"))


def _read(path: Path) -> dict[str, Any]:
    """The record; KcError if it has not the form of one."""
    record = artifacts.read_json(path)
    try:
        _Record.model_validate(record)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"])) or "no record"
        raise KcError(
            f"{path} is damaged ({cut(where)}); remove {path.parent} and start again."
        ) from None
    return record


def _other(held: dict[str, Any], asked: dict[str, Any]) -> str:
    """In which respect two studies differ."""
    names = {"facts": "other facts", "models": "other models", "settings": "other settings"}
    return next((text for key, text in names.items() if held.get(key) != asked[key]), "an older kc")
