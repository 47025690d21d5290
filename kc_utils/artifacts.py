"""Files of a run that are either whole or absent: written aside, renamed, checked when read."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError

from kc_utils.errors import KcError

logger = logging.getLogger(__name__)

_SEAL = ".sha256"


def sha256(path: Path) -> str:
    """Hex digest of a file, read in blocks."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Call ``write`` on a temporary name beside ``path``, then rename it into place.

    It is on the disk before it gets its name, so that a machine that stops leaves no empty file
    under it. A process killed while writing leaves a ``.partial`` file that the next start ignores;
    a write that fails leaves nothing.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with naming(path, partial):
            write(partial)
            sync(partial)
            partial.replace(path)
    except BaseException:
        remove(partial)
        raise


def write_or_say(path: Path, write: Callable[[Path], None]) -> None:
    """As :func:`write_atomically`, for functions that users call: what fails is a sentence.

    Raises:
        KcError: the file cannot be written; it says which and why.
    """
    try:
        write_atomically(path, write)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0].rstrip(".")
        raise KcError(f"{path} cannot be written: {reason}.") from None


@contextmanager
def naming(path: Path, aside: Path | None = None) -> Iterator[None]:
    """Give errors of the machine that name no file, as those of a full disk, the name ``path``.

    So do errors that name ``aside``, where ``path`` is prepared, which nobody has asked for.
    """
    try:
        yield
    except OSError as error:
        unasked = aside is not None and str(error.filename or "").startswith(str(aside))
        if error.errno is not None and (error.filename is None or unasked):
            error.filename = str(path)
        raise


def sync(path: Path) -> None:
    """Wait until a file, or every file below a folder, is on the disk."""
    for file in [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]:
        with file.open("rb+") as handle:
            os.fsync(handle.fileno())


def write_json(path: Path, value: Any) -> None:
    """Store ``value`` as indented JSON, keys in their order."""
    text = json.dumps(value, indent=1) + "\n"
    write_atomically(path, lambda p: p.write_text(text, encoding="utf-8"))


def read_json(path: Path) -> Any:
    """Load JSON, naming the file when it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise KcError(f"{path} is missing.") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise KcError(f"{path} is damaged: not valid JSON ({error}).") from None


def write_parquet(path: Path, frame: pd.DataFrame) -> None:
    """Store a table; the same rows give the same bytes (no index, no timestamps)."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    write_atomically(path, lambda p: pq.write_table(table, p, compression="zstd"))


def read_parquet(path: Path) -> pd.DataFrame:
    """Load a table, naming the file when it is missing or damaged."""
    if not path.is_file():
        raise KcError(f"{path} is missing.")
    try:
        return pq.read_table(path).to_pandas()
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise KcError(f"{path} is damaged: {reason}.") from None


def write_piece(path: Path, frame: pd.DataFrame) -> None:
    """Store a table that a later start of an interrupted stage will rely on, with its digest."""
    write_parquet(path, frame)
    seal(path)


def piece(path: Path, compute: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """The table that an earlier start stored in ``path``, or what ``compute()`` gives, stored."""
    if not intact(path):
        write_piece(path, compute())
    return read_parquet(path)


def seal(path: Path) -> None:
    """Store the digest of a finished file beside it; :func:`intact` compares them."""
    write_atomically(_seal(path), lambda p: p.write_text(sha256(path), encoding="utf-8"))


def intact(*paths: Path) -> bool:
    """Whether sealed files are all there as they were written; damaged ones are removed, and said
    to be. One without a seal was not finished, so it goes as well.
    """
    return all([_intact(path) for path in paths])  # a list: every damaged one is to be named


def _intact(path: Path) -> bool:
    if not path.is_file():
        return False
    seal = _seal(path)
    if seal.is_file() and seal.read_bytes() == sha256(path).encode():
        return True
    if seal.is_file():
        logger.warning("%s is damaged: it is computed again.", path)
    remove(path)
    remove(seal)
    return False


def seals(folder: Path) -> list[Path]:
    """The digests of sealed files in ``folder``, however deep."""
    return list(folder.rglob(f"*{_SEAL}"))


def unseal(folder: Path) -> None:
    """Remove the digests of sealed files: what lies there has been recorded."""
    for path in seals(folder):
        remove(path)


def _seal(path: Path) -> Path:
    return path.with_name(f"{path.name}{_SEAL}")


def remove(path: Path) -> None:
    """Delete a file or a folder if it is there; of a symbolic link the link, not what it names."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif path.is_symlink() or path.exists():  # where nothing can be written, unlink would say so
        path.unlink(missing_ok=True)


def files_below(path: Path) -> list[Path]:
    """All finished files of a file or folder, sorted; partial ones are left out."""
    if path.is_file():
        return [path]
    found = (p for p in path.rglob("*") if p.is_file() and not p.name.endswith(".partial"))
    return sorted(found)
