"""Ratios of running times that a busy machine changes little.

The two sides take turns, so that other load hits both alike. Beside wall time the process's own
CPU time is taken, which waiting for a core does not change.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch

from kc_utils.errors import KcError


@dataclass(frozen=True)
class Rounds:
    """How often to measure: at least ``least`` and at most ``most`` rounds, and within these
    bounds for about ``seconds``."""

    least: int = 3
    most: int = 15
    seconds: float = 45.0

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.most:
            raise KcError(
                f"least={self.least} and most={self.most} rounds were asked for; allowed is "
                "1 <= least <= most."
            )


@dataclass(frozen=True)
class Ratio:
    """Wall and CPU seconds of both sides, one value per round."""

    wall: tuple[float, ...]
    floor_wall: tuple[float, ...]
    cpu: tuple[float, ...]
    floor_cpu: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median over rounds of the ratio of wall times."""
        return median(a / b for a, b in zip(self.wall, self.floor_wall, strict=True))

    @property
    def of_least(self) -> float:
        """Least wall time over the least wall time of the floor."""
        return min(self.wall) / min(self.floor_wall)

    @property
    def of_cpu(self) -> float:
        """Median over rounds of the ratio of CPU times."""
        return median(a / b for a, b in zip(self.cpu, self.floor_cpu, strict=True))


def compare(ours: Callable[[], Any], floor: Callable[[], Any], rounds: Rounds) -> Ratio:
    """Time ``ours`` and ``floor`` in turns, after one round of each that is not counted."""
    ours()
    floor()
    taken: tuple[list[tuple[float, float]], list[tuple[float, float]]] = ([], [])
    started = time.perf_counter()
    while (n := len(taken[0])) < rounds.most:
        if n >= rounds.least and time.perf_counter() - started > rounds.seconds:
            break
        sides = ((0, ours), (1, floor))
        # who goes first alternates: the second finds the caches as the first left them
        for i, side in sides if n % 2 else sides[::-1]:
            taken[i].append(timed(side))
    (wall, cpu), (floor_wall, floor_cpu) = (zip(*side, strict=True) for side in taken)
    return Ratio(tuple(wall), tuple(floor_wall), tuple(cpu), tuple(floor_cpu))


def timed(function: Callable[[], Any]) -> tuple[float, float]:
    """Wall and CPU seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - cpu


def least(
    job: Callable[[], Any],
    seconds: float,
    clock: Callable[[], float] = time.process_time,
    at_least: int = 3,
) -> float:
    """Least time of a job over ``at_least`` rounds or more, for about ``seconds``; the first round
    is not counted."""
    job()
    taken: list[float] = []
    started = time.perf_counter()
    while len(taken) < at_least or time.perf_counter() - started < seconds:
        start = clock()
        job()
        taken.append(clock() - start)
    return round(min(taken), 5)


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Let torch compute on ``n`` threads inside."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
