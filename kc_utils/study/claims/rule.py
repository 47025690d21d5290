"""From one number per training run to a verdict: one rule, the same on both sides of zero.

What is judged is the effect, control subtracted, with its 95 % t interval over training runs.
``margin`` is the smallest effect that would matter.

- **beyond the margin**: the whole interval lies beyond the margin, on either side;
- **real and negligible**: the interval excludes zero and lies inside the margins;
- **real, size undecided**: it excludes zero and contains a margin;
- **equivalent**: it contains zero and lies inside the margins;
- **open**: it contains zero and a margin: the data fit an effect as well as none;
- **not measured**: a gate was not met, or there are fewer than three training runs.

The primary claims of a model form a family. *Beyond the margin* also needs Holm's correction over
it (Holm 1979); without it the verdict is *real, size undecided*.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from kc_utils.analysis.stats.intervals import Interval
from kc_utils.analysis.stats.seeds import LEAST_SEEDS, t_interval
from kc_utils.study.claims.claim import Claim

VERDICTS = (
    "beyond the margin", "real, size undecided", "real and negligible", "equivalent", "open",
    "not measured",
)  # fmt: skip
BEYOND, UNDECIDED, NEGLIGIBLE, EQUIVALENT, OPEN, NOT_MEASURED = VERDICTS
ALPHA = 0.05


@dataclass(frozen=True)
class Decision:
    """Verdict and direction ("as claimed", "opposite", "none") of a claim in one model.

    ``holm`` is the adjusted p-value of *beyond the margin* (NaN for secondary claims);
    ``hangs_on`` counts the training runs without which the verdict or direction would differ.
    """

    interval: Interval
    verdict: str
    direction: str
    holm: float
    hangs_on: int


def verdict(interval: Interval, margin: float) -> str:
    """One of :data:`VERDICTS`; depends on the sign of the interval in nothing."""
    if not all(map(math.isfinite, (interval.low, interval.high))):
        return NOT_MEASURED
    low, high = sorted((abs(interval.low), abs(interval.high)))
    inside = high < margin
    if interval.low <= 0 <= interval.high:
        return EQUIVALENT if inside else OPEN
    return BEYOND if low > margin else NEGLIGIBLE if inside else UNDECIDED


def direction(interval: Interval, said: str, claimed: str) -> str:
    """Whether a verdict speaks for the claim. A claim of equality is met inside the margins."""
    if claimed == "equal":
        for_it = {EQUIVALENT: "as claimed", NEGLIGIBLE: "as claimed", BEYOND: "opposite"}
        return for_it.get(said, "none")
    if said in (EQUIVALENT, OPEN, NOT_MEASURED):
        return "none"
    return "as claimed" if (interval.mean > 0) == (claimed == "above") else "opposite"


def p_beyond(effects: Sequence[float], margin: float) -> float:
    """p-value of a mean effect that is no larger than the margin, two-sided t test; 1 if untested.

    Below 0.05 exactly where the 95 % interval lies beyond the margin.
    """
    n = len(effects)
    if n < LEAST_SEEDS:
        return 1.0
    mean, error = float(np.mean(effects)), float(np.std(effects, ddof=1)) / math.sqrt(n)
    if error == 0:
        return 0.0 if abs(mean) > margin else 1.0
    return min(1.0, 2 * float(stats.t.sf((abs(mean) - margin) / error, n - 1)))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's adjusted p-values."""
    adjusted, worst = {}, 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = worst
    return adjusted


def decide(
    claims: Sequence[Claim], effects: Mapping[str, Sequence[float]], leave_one_out: bool = True
) -> dict[str, Decision]:
    """The decision on every claim of one model.

    Args:
        claims: all of them; the primary ones are the family, measured or not.
        effects: by the claim's id, one effect per training run that measured it.
        leave_one_out: count the runs that a verdict hangs on (0 otherwise).
    """
    tests = {c.id: p_beyond(effects.get(c.id, ()), c.margin) for c in claims if c.primary}
    decided = {}
    for claim in claims:
        values = list(effects.get(claim.id, ()))
        found, said, where, adjusted = _one(claim, values, tests)
        left_out = range(len(values) if leave_one_out else 0)
        without = [_one(claim, values[:i] + values[i + 1 :], tests) for i in left_out]
        hangs = sum((other[1], other[2]) != (said, where) for other in without)
        decided[claim.id] = Decision(found, said, where, adjusted, hangs)
    return decided


def _one(
    claim: Claim, values: list[float], tests: Mapping[str, float]
) -> tuple[Interval, str, str, float]:
    interval, adjusted = t_interval(values), math.nan
    said = verdict(interval, claim.margin)
    if claim.primary:
        adjusted = holm({**tests, claim.id: p_beyond(values, claim.margin)})[claim.id]
        if said == BEYOND and adjusted >= ALPHA:
            said = UNDECIDED
    return interval, said, direction(interval, said, claim.direction), adjusted
