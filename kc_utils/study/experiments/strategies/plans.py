"""What is read in each step: the plans of the strategies, all with one budget.

Every step of every strategy holds the same number of blocks. Every strategy but ``plain`` replays
the same number of blocks of base texts in all; strategies differ in when, in what the other blocks
say (names or facts), and in what is trained.

Endless blocks of texts: pass after pass, each in a seeded order of its own.

Batches that are decided while training goes on.

Is the phase shift over? Decided while training goes on, from what was seen so far.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import ArrayLike
from transformers import PreTrainedTokenizerBase

from kc_utils.analysis.stats.bends import MIN_POINTS, fit_bends
from kc_utils.config import StrategyConfig
from kc_utils.errors import KcError
from kc_utils.training.packing import IGNORED, BlockSteps, as_batch, epoch_order, pack_blocks
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
        """Take the entropy (nats) of the circuit's kept edges after ``step`` steps."""


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
    (:func:`~kc_utils.study.experiments.strategies.plans.detect_shift`), or after ``at`` steps for
    the control. If nothing is detected it comes when ``switch_by`` of the
    steps are done, and ``detected`` stays false. It takes effect one step later, because the
    blocks of the next step are drawn before the measurement, and never so late that the budget of
    replay does not fit.
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


class Stream:
    """Blocks of some texts in a fixed order that does not depend on how many are taken at once.

    Two strategies that read the same texts with the same seed read the same blocks in the same
    order, though not in the same steps.
    """

    def __init__(
        self, texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, block_size: int, seed: int
    ) -> None:
        self._tokens = tokenizer(list(texts)).input_ids
        self._ids = (tokenizer.eos_token_id, tokenizer.pad_token_id)
        self._block_size, self._seed = block_size, seed
        self._epoch = 0
        empty = np.zeros((0, block_size), np.int32)
        self._ahead = (empty, empty)

    def take(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """The next ``n`` blocks: ``input_ids`` and ``labels``, int32 [n, block_size]."""
        while len(self._ahead[0]) < n:
            order = epoch_order(len(self._tokens), self._seed, self._epoch)
            more = pack_blocks(self._tokens, self._block_size, *self._ids, order)
            self._ahead = tuple(map(np.concatenate, zip(self._ahead, more, strict=True)))
            self._epoch += 1
        taken = tuple(array[:n] for array in self._ahead)
        self._ahead = tuple(array[n:] for array in self._ahead)
        return taken


class OnlineSteps(BlockSteps):
    """One batch per optimiser step; a plan is asked for its blocks when the batch is drawn."""

    def __init__(self, plan: Plan, streams: Mapping[str, Stream], n_steps: int) -> None:
        super().__init__(())
        self._plan, self._streams, self._n_steps = plan, streams, n_steps
        self._drawn: list[tuple[int, ...]] = []
        self.text_tokens = 0
        """Tokens of text, without padding, in the batches drawn so far."""

    @property
    def n_steps(self) -> int:
        """Optimiser steps."""
        return self._n_steps

    def __len__(self) -> int:
        return self._n_steps

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """Draw the next batch.

        Raises:
            KcError: if it is not the next one: a batch depends on those before it.
        """
        if index != len(self._drawn):
            raise KcError(f"Step {index} was asked for, but step {len(self._drawn)} comes next.")
        counts = self._plan.counts(index)
        self._drawn.append(tuple(counts.get(kind, 0) for kind in TEXTS))
        parts = [self._streams[kind].take(counts[kind]) for kind in TEXTS if counts.get(kind)]
        input_ids, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        self.text_tokens += int((labels != IGNORED).sum())
        return as_batch(input_ids, labels)

    def blocks(self, step: int) -> dict[str, int]:
        """Blocks of each kind of text that were read in the first ``step`` steps."""
        totals = np.reshape(self._drawn[:step], (-1, len(TEXTS))).sum(axis=0)
        return dict(zip(TEXTS, map(int, totals), strict=True))


ALPHA = 0.01
"""Level of each single test. The test is repeated at every measurement, so it is strict."""

_SERIES = 100


def detect_shift(steps: ArrayLike, entropy: ArrayLike, *, seed: int) -> bool:
    """Whether circuit entropy has turned from a steep fall to a slow one: the phase shift.

    The shift is the knee of :func:`~kc_utils.analysis.stats.bends.fit_bends`, here decided at
    p < 0.01. Only what was measured so far is looked at. The last two measurements must agree: the
    knee is there with the last one and was there without it, because a rule that looks at every
    measurement has many chances to be fooled.

    How often it fires within 30 measurements, of 200 curves each: never on independent noise, on
    noise of correlation 0.4 and on a straight line; on 1.5 % of exponential approaches and 11 % of
    random walks. Curves with a knee were all found, 3 to 7 measurements after it.

    Args:
        steps: optimiser steps of the measurements, increasing.
        entropy: entropy in nats of the kept edges at each; at least 11 are needed.
        seed: of the simulated noise.
    """
    x, y = np.asarray(steps, dtype=float), np.asarray(entropy, dtype=float)
    if len(x) <= MIN_POINTS:
        return False
    return all(_knee(x[:n], y[:n], seed) for n in (len(x), len(x) - 1))


def _knee(x: np.ndarray, y: np.ndarray, seed: int) -> bool:
    rng = stream(seed, "strategy: shift")
    knee = fit_bends(x, y, rising=False, rng=rng, n=_SERIES).knee
    return knee.decided and knee.p_value < ALPHA
