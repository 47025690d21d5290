"""One writer per folder: whoever writes into a run holds its lock; readers need none.

The lock is the operating system's, on a file beside the folder, and ends with the process that
holds it, whatever kills that. The file says who it is, for the refusal that others get.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from kc_utils import artifacts
from kc_utils.errors import KcError, shown

_SHOWN = 80  # characters of the holder's command line


def lock_file(folder: Path) -> Path:
    """Where the lock of a folder lies: beside it, so that the folder holds results only."""
    return folder.with_name(f".{folder.name}.lock")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a run folder, and remove what killed writers left in it.

    Raises:
        KcError: as :func:`held`.
    """
    with held(folder):
        for left in folder.rglob(".*.partial"):  # nobody else writes
            artifacts.remove(left)
        yield


@contextmanager
def held(folder: Path, seconds: float = 0.0) -> Iterator[None]:
    """Hold the lock of ``folder``, which need not exist yet.

    Not to be taken twice by one process: the second attempt is refused like anybody else's, after
    ``seconds``.

    Raises:
        KcError: another process holds it, named with its process number and command; or nothing can
            be written beside the folder.
    """
    path = lock_file(folder)
    _check_place(folder, path)
    lock = FileLock(path, timeout=seconds)
    try:
        lock.acquire()
    except Timeout:
        raise KcError(
            f"{folder} is being written by {_holder(path)}; wait for its end or choose another "
            "folder."
        ) from None
    try:
        holder = f"process {os.getpid()} ({_command()})"  # words of a command need not be UTF-8
        path.write_text(holder, encoding="utf-8", errors="backslashreplace")
        yield
    finally:
        # Removed while it is held: whoever opened it in the meantime sees that it has no name any
        # more and tries again (filelock checks this).
        path.unlink(missing_ok=True)
        lock.release()


def _check_place(folder: Path, path: Path) -> None:
    """KcError where the lock cannot be made at ``path``: waiting for its holder would be no use."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        there = next(parent for parent in path.parents if parent.exists())
        # Virtual file systems say of new names that they are not found.
        why = "" if isinstance(error, FileNotFoundError) else f" ({error.strerror})"
        raise KcError(
            f"The folder {shown(str(folder))} is not possible: nothing can be written into "
            f"{shown(str(there))}{why}; choose another folder."
        ) from None


def _command() -> str:
    words = [Path(sys.argv[0]).name, *sys.argv[1:]]
    return " ".join(words)[:_SHOWN]


def _holder(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8") or "another process"
    except OSError:
        return "another process"
