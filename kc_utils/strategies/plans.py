"""What is read in each step: the plans of the strategies, all with one budget.

Every step of every strategy holds the same number of blocks. Every strategy but ``plain`` replays
the same number of blocks of base texts in all; strategies differ in when, in what the other blocks
say (names or facts), and in what is trained.
"""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

import numpy as np

from kc_utils.config import StrategyConfig
from kc_utils.errors import KcError
from kc_utils.strategies.shift import detect_shift
from kc_utils.world import stream

STRATEGIES = (
    "plain",
    "replay",
    "names first",
    "phase",
    "phase random",
    "circuit",
    "random parts",
)
TEXTS = ("base", "names", "facts")
"""Kinds of texts: replayed base texts, texts that teach new names, biographies."""


@runtime_checkable
class Plan(Protocol):
    """Decides what a step reads; a plan may look at what was measured before."""

    def counts(self, index: int) -> dict[str, int]:
        """Blocks of each kind of text in the step ``index`` (from 0)."""

    def observe(self, step: int, entropy: float) -> None:
        """Hear the circuit entropy (nats) after ``step`` steps."""


class FixedPlan:
    """Replay spread evenly over all steps; names fill the first steps, facts the others."""

    def __init__(self, settings: StrategyConfig, *, replay: bool, name_steps: int = 0) -> None:
        total = replay_budget(settings) if replay else 0
        self._replayed = evenly(total, settings.steps)
        self._name_steps, self._batch_size = name_steps, settings.batch_size

    def counts(self, index: int) -> dict[str, int]:
        replayed = int(self._replayed[index])
        new = "names" if index < self._name_steps else "facts"
        return {"base": replayed, new: self._batch_size - replayed}

    def observe(self, step: int, entropy: float) -> None:
        """Nothing: the plan is fixed."""


class SwitchPlan:
    """No replay before the switch; afterwards the whole budget of replay, spread evenly.

    The budget is that of the strategy ``replay``: a switch halfway doubles the share of replayed
    blocks, an earlier one raises it less, a later one more, and the total is always the same.

    The switch comes at the first measurement at which the shift is detected
    (:func:`~kc_utils.strategies.shift.detect_shift`), or after ``at`` steps for the control. If
    nothing is detected it comes when ``switch_by`` of the steps are done, and ``detected`` stays
    false. It takes effect one step later, because the blocks of the next step are drawn before the
    measurement, and never so late that the budget of replay does not fit.
    """

    def __init__(self, settings: StrategyConfig, seed: int, at: int | None = None) -> None:
        self._settings, self._seed = settings, seed
        self._budget = replay_budget(settings)
        self._latest = settings.steps - math.ceil(self._budget / settings.batch_size)
        self._seen: list[tuple[int, float]] = []
        self._replayed: np.ndarray | None = None
        self._drawn = 0
        self.switch: int | None = None
        """Index of the first step with replay."""
        self.detected = False
        if at is not None:
            self._turn(min(at + 1, self._latest))

    def counts(self, index: int) -> dict[str, int]:
        self._drawn = max(self._drawn, index + 1)
        if self.switch is None and index >= self._latest:
            self._turn(index)
        after = self.switch is not None and index >= self.switch
        replayed = int(self._replayed[index - self.switch]) if after else 0
        return {"base": replayed, "facts": self._settings.batch_size - replayed}

    def observe(self, step: int, entropy: float) -> None:
        if self.switch is not None:
            return
        self._seen.append((step, entropy))
        self.detected = detect_shift(*np.transpose(self._seen), seed=self._seed)
        if self.detected or step >= self._settings.switch_by * self._settings.steps:
            self._turn(min(step + 1, self._latest))

    def _turn(self, index: int) -> None:
        if self._drawn > index + 1:
            raise KcError(
                f"Step {self._drawn} was drawn before the switch at step {index} was decided; "
                "batches must be drawn at most one step ahead."
            )
        self.switch = index
        self._replayed = evenly(self._budget, self._settings.steps - index)


def make_plan(strategy: str, settings: StrategyConfig, seed: int) -> FixedPlan | SwitchPlan:
    """The plan of one of :data:`STRATEGIES`.

    Raises:
        KcError: there is no such strategy.
    """
    if strategy not in STRATEGIES:
        raise KcError(f"There is no strategy {strategy!r}; allowed are {', '.join(STRATEGIES)}.")
    if strategy == "phase":
        return SwitchPlan(settings, seed)
    if strategy == "phase random":
        return SwitchPlan(settings, seed, at=random_switch(settings, seed))
    names = round(settings.names_share * settings.steps) if strategy == "names first" else 0
    return FixedPlan(settings, replay=strategy != "plain", name_steps=names)


def random_switch(settings: StrategyConfig, seed: int) -> int:
    """A step at which the shift could have been seen, drawn uniformly."""
    last = int(settings.switch_by * settings.steps)
    steps = range(settings.detect_every, last + 1, settings.detect_every)
    return int(stream(seed, "strategy: phase random").choice(steps or [last]))


def replay_budget(settings: StrategyConfig) -> int:
    """Blocks of base texts that a strategy with replay reads in all."""
    return round(settings.replay * settings.steps * settings.batch_size)


def evenly(total: int, n: int) -> np.ndarray:
    """``total`` split into ``n`` whole numbers that differ by at most 1; int64 [n]."""
    return np.diff(np.arange(n + 1) * total // n)
