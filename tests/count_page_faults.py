"""Prints how many pages the system hands out while a large block is made and freed again and again.

Arguments: ``first`` or ``other`` (the thread), and ``keep`` to keep memory.
"""

import resource
import sys
import threading

import torch

from kc_utils.allocator import keep_memory

#: Before the count: the allocator finds its places within about ten blocks.
WARM_UP, BLOCKS = 16, 8


def make_blocks() -> None:
    def block() -> None:
        torch.empty(10 * 2**20).fill_(1.0)

    for _ in range(WARM_UP):
        block()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(BLOCKS):
        block()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)


if __name__ == "__main__":
    torch.set_num_threads(1)
    if "keep" in sys.argv and not keep_memory():
        sys.exit("another allocator than glibc's")
    if "first" in sys.argv:
        make_blocks()
    else:
        thread = threading.Thread(target=make_blocks)
        thread.start()
        thread.join()
