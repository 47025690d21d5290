"""How fast this machine is: training steps and an attribution in the shape of profile tiny."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from kc_utils.cli.doctor.record import Speed
from kc_utils.runs.machine import usable_cores

BLOCKS = 2
N_PAIRS = 24
SECONDS = 2.0  # for each of the three jobs
LEAST_ROUNDS = 3


def measure(seconds: float = SECONDS) -> Speed:
    """Time the three jobs on the CPU for about ``seconds`` each.

    On one thread, CPU time counts, which other load changes little. More threads can only help:
    where they do not, because the cores are busy, the time of one thread stands for them too.
    """
    from dataclasses import replace

    from kc_utils.cli.doctor import jobs, shapes
    from kc_utils.cli.doctor.timing import threads

    shape = replace(shapes.tiny_profile(), n_pairs=N_PAIRS)
    steps = jobs.training(shape, BLOCKS)
    training = least(steps, seconds, time.perf_counter)
    with threads(1):
        one_thread = least(steps, seconds)
        attribution = least(jobs.attribution(shape), seconds)
    return Speed(min(training, one_thread), one_thread, attribution, usable_cores())


def least(
    job: Callable[[], Any], seconds: float, clock: Callable[[], float] = time.process_time
) -> float:
    """Least time of a job over several rounds, after one that is not counted."""
    job()
    taken: list[float] = []
    started = time.perf_counter()
    while len(taken) < LEAST_ROUNDS or time.perf_counter() - started < seconds:
        start = clock()
        job()
        taken.append(clock() - start)
    return round(min(taken), 5)
