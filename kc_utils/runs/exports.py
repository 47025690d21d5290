"""Tables kept apart from their run: written as a whole, with a record, read when unchanged."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from kc_utils import ROOT, artifacts
from kc_utils.errors import KcError, shown
from kc_utils.runs.folder import resolve
from kc_utils.runs.inside import refuse_inside_run

#: Tables that are kept with the source may hold this much together.
MOST_BYTES = 5_000_000


def check_place(out: Path) -> None:
    """Refuse a folder that can be neither written nor made, or that is not for this.

    Raises:
        KcError: a part of its path is a file, may not be written by this user, or holds a run.
    """
    refuse_inside_run(out, "--out")
    there = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
    if not there.is_dir():
        raise KcError(
            f"{shown(str(out))} is not possible: {shown(str(there))} is no folder; choose another "
            "--out."
        )
    if not os.access(there, os.W_OK | os.X_OK):
        raise KcError(
            f"{shown(str(out))} is not possible: you may not write into {shown(str(there))}; "
            "choose another --out."
        )


def check_size(what: str, sizes: Mapping[str, int], most: int | None = None) -> None:
    """Refuse tables of more than ``most`` bytes together (MOST_BYTES), naming the largest.

    Raises:
        KcError: if they are.
    """
    total, most = sum(sizes.values()), MOST_BYTES if most is None else most
    if total > most:
        largest = max(sizes, key=lambda name: sizes[name])
        raise KcError(
            f"The tables of {what} hold {total:,} bytes, most of them in {largest!r}; "
            f"at most {most:,} are allowed."
        )


def write_tables(folder: Path, tables: Mapping[str, pd.DataFrame], what: str) -> dict[str, str]:
    """Write each table of an export and return the digests of their files, for its record.

    Raises:
        KcError: the tables of ``what`` are too large, as :func:`check_size`.
    """
    files = {name: folder / f"{name}.parquet" for name in tables}
    for name, path in files.items():
        artifacts.write_parquet(path, tables[name])
    check_size(what, {name: path.stat().st_size for name, path in files.items()})
    return {name: artifacts.sha256(path) for name, path in files.items()}


def portable(value: Any) -> Any:
    """The same configuration with the last part only of every absolute path in it."""
    if isinstance(value, dict):
        return {key: portable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [portable(item) for item in value]
    if isinstance(value, str) and (value.startswith("~") or Path(value).is_absolute()):
        return Path(value).name
    return value


def read_exported(path: Path, digest: str, record: str) -> pd.DataFrame:
    """Read a table of an export whose ``record`` holds this digest of it.

    Raises:
        KcError: if the file is missing, or was changed since.
    """
    if path.is_file() and artifacts.sha256(path) != digest:
        raise KcError(f"{path} is damaged: its digest is not the one in {record}.")
    return artifacts.read_parquet(path)


@dataclass(frozen=True)
class StoredTables:
    """A folder of tables that a command wrote, with a record of where they come from.

    A kind of export says how its record is called (``RECORD``), which keys that needs beside
    ``tables`` (``NEEDED``), what it holds (``WHAT``) and which command makes one (``MADE_BY``,
    with ``{folder}``).
    """

    RECORD: ClassVar[str]
    NEEDED: ClassVar[frozenset[str]]
    WHAT: ClassVar[str]
    MADE_BY: ClassVar[str]

    path: Path
    record: dict[str, Any]

    @classmethod
    def open(cls, folder: str | Path) -> StoredTables:
        """Open an export; relative paths are tried from here, then from the project root.

        Raises:
            KcError: if the folder holds none, or its record is damaged.
        """
        path = resolve(folder)
        if not path.exists():
            path = (ROOT / folder).resolve()  # the stored tables, from wherever one stands
        if not (path / cls.RECORD).is_file():
            made_by = cls.MADE_BY.format(folder=folder)
            raise KcError(f"{folder} holds no {cls.WHAT} (no {cls.RECORD}); '{made_by}' makes one.")
        record = artifacts.read_json(path / cls.RECORD)
        needed = cls.NEEDED | {"tables"}
        missing = needed - set(record) if isinstance(record, dict) else needed
        if missing:
            names = ", ".join(sorted(missing))
            raise KcError(f"{path / cls.RECORD} is damaged: it has no {names}.")
        tables = record["tables"]
        if not isinstance(tables, dict) or not all(isinstance(d, str) for d in tables.values()):
            raise KcError(f"{path / cls.RECORD} is damaged: its tables are no digests by name.")
        return cls(path, record)

    @classmethod
    def refuse_other(cls, out: Path, option: str = "--out") -> None:
        """Refuse to write an export where something else is.

        Raises:
            KcError: ``out`` is a file, or a folder that is not empty and no export of this kind.
        """
        there = out.exists() and not (out / cls.RECORD).is_file()
        if there and (out.is_file() or any(out.iterdir())):
            raise KcError(
                f"{shown(str(out))} is not empty and holds no {cls.WHAT}; choose another {option}."
            )

    @property
    def names(self) -> list[str]:
        """The tables of this export."""
        return list(self.record["tables"])

    def has(self, name: str) -> bool:
        """Whether the export holds this table."""
        return name in self.record["tables"]

    def table(self, name: str) -> pd.DataFrame:
        """Read a table after checking its digest.

        Raises:
            KcError: if the export does not hold it, or the file is missing or was changed since.
        """
        if not self.has(name):
            raise KcError(
                f"{self.path.name} holds no table {name!r}; it has {', '.join(self.names)}."
            )
        return read_exported(self.folder / f"{name}.parquet", self.record["tables"][name],
                             self.RECORD)  # fmt: skip

    @property
    def folder(self) -> Path:
        """Where the files of the tables are."""
        return self.path
