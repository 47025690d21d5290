"""How much of a run is left, in seconds: what each step took before, at the pace of this machine.

A step is a stage or a notebook. Its expected seconds come from a run that was recorded, perhaps on
another machine. The pace is how many times longer the steps that are done took than expected; the
range around the estimate is wide at first and follows the scatter of these ratios.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

#: Before anything is measured a machine may be this many times slower or faster than the recorded.
UNKNOWN = 2.0
#: Even steady ratios do not promise more than this for the steps to come.
CERTAIN = 1.2
#: Seconds as expected that a machine counts for before anything is measured.
PRIOR = 30.0
#: Shorter steps are mostly overhead and say little about the pace.
SHORT = 2.0


@dataclass(frozen=True)
class Left:
    """Seconds left, at least and at most, and the number of steps whose time nobody recorded."""

    least: float
    most: float
    unknown: int

    def words(self) -> str:
        """The range in minutes, or in hours, in words."""
        if self.most == 0:
            return f"{_steps(self.unknown)} left, not recorded" if self.unknown else "done"
        more = f", and {_steps(self.unknown)} without a record" if self.unknown else ""
        return f"{in_words(self.least, self.most)} left{more}"


class Outlook:
    """The steps of a run with the seconds that each is expected to take; None: not recorded."""

    def __init__(self, expected: Mapping[str, float | None]) -> None:
        self.expected = dict(expected)
        self.took: dict[str, float] = {}

    def done(self, step: str, seconds: float) -> None:
        """Note that a step is finished, and what it took."""
        self.took[step] = seconds

    @property
    def pace(self) -> float:
        """How many times longer steps take here than expected."""
        known = [(e, s) for e, s in self._pairs() if e]
        expected, took = sum(e for e, _ in known), sum(s for _, s in known)
        return (took + PRIOR) / (expected + PRIOR)

    @property
    def factor(self) -> float:
        """The estimate may be this many times too large or too small."""
        ratios = [(e, math.log(s / e)) for e, s in self._pairs() if e and e >= SHORT and s > 0]
        weight = sum(e for e, _ in ratios)
        if weight < PRIOR:
            return UNKNOWN
        mean = sum(e * r for e, r in ratios) / weight
        scatter = math.sqrt(sum(e * (r - mean) ** 2 for e, r in ratios) / weight)
        return min(UNKNOWN, max(CERTAIN, math.exp(scatter)))

    def left(self, running: Mapping[str, float] | None = None) -> Left:
        """What is left; ``running`` maps steps under way to the seconds since they began."""
        running = running or {}
        steps = [step for step in self.expected if step not in self.took]
        seconds = 0.0
        for step in steps:
            expected = self.expected[step]
            if expected is not None:
                seconds += max(0.0, self.pace * expected - running.get(step, 0.0))
        unknown = sum(self.expected[step] is None for step in steps)
        return Left(seconds / self.factor, seconds * self.factor, unknown)

    def share(self, running: Mapping[str, float] | None = None) -> float:
        """Share of the run that is done, 0 to 1; a step without a record counts like a mean one."""
        if not self.expected:
            return 1.0
        running = running or {}
        known = [e for e in self.expected.values() if e is not None]
        mean = sum(known) / len(known) if known and sum(known) > 0 else 1.0
        weights = {s: mean if e is None else e for s, e in self.expected.items()}
        done = sum(w for s, w in weights.items() if s in self.took)
        for step in running:  # a step that takes longer than expected is not done for that
            if step in weights and step not in self.took and self.expected[step] is not None:
                done += min(running[step] / self.pace, 0.95 * weights[step])
        return min(1.0, done / sum(weights.values())) if sum(weights.values()) else 1.0

    def _pairs(self) -> Iterable[tuple[float | None, float]]:
        return ((self.expected.get(step), seconds) for step, seconds in self.took.items())


def in_words(least: float, most: float) -> str:
    """A range of seconds in whole minutes, from two hours on in hours."""
    if most < 90:
        return "about a minute"
    unit, name, digits = (3600, "hours", 1) if least >= 7200 else (60, "minutes", 0)
    low, high = round(least / unit, digits), round(most / unit, digits)
    if low == high:
        return f"about {high:g} {name}"
    return f"{low:g} to {high:g} {name}"


def _steps(count: int) -> str:
    return f"{count} step" + "s" * (count != 1)
