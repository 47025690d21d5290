"""A clock on which only what is told to take time takes any."""

from __future__ import annotations


class Clock:
    """Stands for the module ``time``; wall and CPU seconds go on by ``work`` and ``sleep`` only."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0

    def work(self, seconds: float) -> None:
        self.wall += seconds
        self.cpu += seconds

    def sleep(self, seconds: float) -> None:
        self.wall += seconds

    def perf_counter(self) -> float:
        return self.wall

    def process_time(self) -> float:
        return self.cpu
