"""Peak memory of a step of a run: this process and all it started, looked at twice a second.

What is summed is resident memory. Pages that processes share, such as the code of PyTorch, count
in each of them, so the sum is a little more than what the step really needs.
"""

from __future__ import annotations

import threading

import psutil

SECONDS = 0.5


class PeakMemory:
    """``with PeakMemory() as peak: ...``, and afterwards ``peak.bytes``.

    In a worker of a sweep it is the memory of that worker.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._over.wait(SECONDS):
            self._look()

    def _look(self) -> None:
        here = psutil.Process()
        total = 0
        for process in (here, *here.children(recursive=True)):
            try:
                total += process.memory_info().rss
            except psutil.Error:  # it has just ended, or belongs to somebody else
                continue
        self.bytes = max(self.bytes, total)
