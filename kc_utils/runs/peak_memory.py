"""Peak memory of a step of a run: this process and all it started, looked at twice a second.

After five seconds, what was started is searched for every five seconds only. What is summed is
resident memory. Pages that processes share, such as the code of PyTorch, count in each of them, so
the sum is a little more than what the step really needs.
"""

from __future__ import annotations

import threading

import psutil

SECONDS = 0.5
#: Finding processes takes longer than asking those that are known: so many looks find at the start,
#: when a notebook's kernel is coming up, and then every so many.
_SEARCH_EVERY = 10


class PeakMemory:
    """``with PeakMemory() as peak: ...``, and afterwards ``peak.bytes``.

    In a worker of a sweep it is the memory of that worker. With ``forks``, where processes share
    most of what they hold, a page that n of them share counts 1/n in each (on Linux).
    """

    def __init__(self, *, forks: bool = False) -> None:
        self.bytes = 0
        self._forks = forks and psutil.LINUX
        self._processes: list[psutil.Process] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._find()
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()
        self._find()
        self._look()

    def _watch(self) -> None:
        looks = 0
        while not self._over.wait(SECONDS):
            looks += 1
            if looks <= _SEARCH_EVERY or looks % _SEARCH_EVERY == 0:
                self._find()
            self._look()

    def _find(self) -> None:
        here = psutil.Process()
        self._processes = [here, *here.children(recursive=True)]

    def _look(self) -> None:
        total = 0
        for process in self._processes:
            try:
                total += (
                    process.memory_full_info().pss if self._forks else process.memory_info().rss
                )
            except psutil.Error:  # it has just ended, or belongs to somebody else
                continue
        self.bytes = max(self.bytes, total)
