"""Keeping memory that the next training step, or the next run of a circuit, needs again.

By default glibc gives large blocks back to the system as soon as they are free, and the system
hands them out again page by page: a fifth of a training step on a CPU.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

#: Blocks below this size come from memory that is kept, and no more than that much of it is idle.
LARGEST_BLOCK, LARGEST_REST = 2**28, 2**30
#: The same for a process whose work is done by other threads than its first: they have memory of
#: their own, which is always given back, unless all threads share one.
ENVIRONMENT = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(LARGEST_BLOCK),
    "MALLOC_TRIM_THRESHOLD_": str(LARGEST_REST),
}
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)


def keep_memory() -> bool:
    """Keep freed memory inside from now on; False where that is not possible, without glibc."""
    library = _glibc()
    if library is None:
        return False
    library.mallopt(_MMAP_THRESHOLD, LARGEST_BLOCK)
    library.mallopt(_TRIM_THRESHOLD, LARGEST_REST)
    return True


@contextmanager
def kept_memory() -> Iterator[bool]:
    """Keep freed memory inside, and give it back at the end.

    Yields whether that is possible. How the allocator treats large blocks, the process remembers
    afterwards.
    """
    kept = keep_memory()
    try:
        yield kept
    finally:
        if kept and (library := _glibc()) is not None:
            library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
