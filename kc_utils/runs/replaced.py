"""A folder that is replaced as a whole: what was there stays until what follows is complete."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kc_utils import artifacts
from kc_utils.runs.lock import held

#: Another writer of the same folder renames it within moments, once it has begun.
SECONDS_TO_WAIT = 10.0


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """An empty folder beside ``out`` to be filled, which takes its place at the end of the block.

    ``out`` is locked meanwhile, and is as before if the block fails. A process that was killed here
    has left something beside ``out``, which is put back or removed first.

    Raises:
        KcError: another process replaces ``out``, or nothing can be written beside it.
    """
    with held(out, SECONDS_TO_WAIT):
        _recover(out)
        partial, old = _beside(out, "partial"), _beside(out, "old")
        try:
            with artifacts.naming(out, partial):
                partial.mkdir(parents=True)
                yield partial
            if out.exists():
                out.rename(old)
            partial.rename(out)
        finally:
            artifacts.remove(partial)
            if old.exists() and not out.exists():
                old.rename(out)
            artifacts.remove(old)


def replace_folder(out: Path, fill: Callable[[Path], None]) -> None:
    """Let ``fill`` write what :func:`replacing` puts in place of ``out``."""
    with replacing(out) as folder:
        fill(folder)


def _beside(out: Path, end: str) -> Path:
    return out.with_name(f".{out.name}.{os.getpid()}.{end}")


def _recover(out: Path) -> None:
    """Undo what writers left who were killed: nobody else writes here now."""
    left = re.compile(rf"\.{re.escape(out.name)}\.\d+\.(partial|old)")
    for path in sorted(out.parent.iterdir()):
        if not (found := left.fullmatch(path.name)):
            continue
        if found[1] == "old" and not out.exists():  # killed between the two renamings
            path.rename(out)
        else:
            artifacts.remove(path)
