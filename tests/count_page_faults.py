"""Makes and frees a large block again and again.

Arguments: ``first`` or ``other`` (the thread), and ``keep`` to keep memory. Prints how many pages
the system handed out for it, how many the process held then, and how many in the end.
"""

import ctypes
import resource
import sys
import threading
from contextlib import nullcontext
from pathlib import Path

import torch

from kc_utils.kernels.kept_memory import kept_memory

#: Before the count: the allocator finds its places within about ten blocks.
WARM_UP, BLOCKS = 16, 8


def want_small_pages() -> None:
    """Some systems hand out pages of 2 MiB, in which there is little to count."""
    disable = 41  # PR_SET_THP_DISABLE of Linux
    ctypes.CDLL(None).prctl(disable, 1, 0, 0, 0)


def make_blocks() -> None:
    def block() -> None:
        torch.empty(10 * 2**20).fill_(1.0)

    for _ in range(WARM_UP):
        block()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(BLOCKS):
        block()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, held())


def held() -> int:
    """Pages of memory that the process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1])


if __name__ == "__main__":
    torch.set_num_threads(1)
    want_small_pages()
    with kept_memory() if "keep" in sys.argv else nullcontext():
        if "first" in sys.argv:
            make_blocks()
        else:
            thread = threading.Thread(target=make_blocks)
            thread.start()
            thread.join()
    print(held())
