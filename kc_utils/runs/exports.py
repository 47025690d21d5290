"""What exports share: a folder replaced as a whole, a record, no paths of the machine, a limit."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from kc_utils import artifacts
from kc_utils.errors import KcError
from kc_utils.runs.folder import resolve

#: Tables that are kept with the source may hold this much together.
MOST_BYTES = 5_000_000


def replace_folder(out: Path, fill: Callable[[Path], None]) -> None:
    """Fill a folder beside ``out``, then rename it into place; on failure ``out`` is as before."""
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    old = out.with_name(f".{out.name}.{os.getpid()}.old")
    artifacts.remove(partial)
    partial.mkdir(parents=True)
    try:
        fill(partial)
        if out.exists():
            out.replace(old)
        partial.replace(out)
    finally:
        artifacts.remove(partial)
        if old.exists() and not out.exists():
            old.replace(out)
        artifacts.remove(old)


def check_size(what: str, sizes: Mapping[str, int], most: int = MOST_BYTES) -> None:
    """Refuse tables that are larger than ``most`` bytes together, naming the largest.

    Raises:
        KcError: if they are.
    """
    total = sum(sizes.values())
    if total > most:
        largest = max(sizes, key=lambda name: sizes[name])
        raise KcError(
            f"The tables of {what} hold {total:,} bytes, most of them in {largest!r}; "
            f"at most {most:,} are allowed."
        )


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


def open_record(
    folder: str | Path, record: str, needed: set[str], what: str, made_by: str
) -> tuple[Path, dict[str, Any]]:
    """Find an export and read its record; relative paths are tried from here, then the project.

    Args:
        record: name of the record's file.
        needed: keys that the record must have.
        what: what the folder should hold, for the message.
        made_by: the command that makes one.

    Raises:
        KcError: if the folder holds none, or its record is damaged.
    """
    path = resolve(folder)
    if not (path / record).is_file():
        raise KcError(f"{folder} holds no {what} (no {record}); '{made_by}' makes one.")
    content = artifacts.read_json(path / record)
    missing = needed - set(content) if isinstance(content, dict) else needed
    if missing:
        raise KcError(f"{path / record} is damaged: it has no {', '.join(sorted(missing))}.")
    return path, content
