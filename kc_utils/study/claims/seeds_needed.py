"""How many seeds would decide an open claim, if their mean and spread stayed as they are.

A plan, never a verdict: mean and spread of a few seeds are rough, and a number of seeds that is
chosen after a look at the result would make the intervals too narrow. It tells a claim that
needs a few seeds more from one whose difference lies on the border between two verdicts.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from kc_utils.analysis.stats.intervals import Interval
from kc_utils.analysis.stats.seeds import LEAST_SEEDS, half_width
from kc_utils.study.claims.verdicts import DECIDED, Direction, verdict

#: Nobody will train so many models; beyond it the number is not told.
MOST = 100


def seeds_needed(
    differences: ArrayLike, *, direction: Direction, margin: float
) -> tuple[float, str]:
    """The fewest seeds whose t interval, with this mean and spread, gets a verdict; and which one.

    Args:
        differences: effect minus control, a number per seed.
        direction: that of the claim.
        margin: the smallest difference that would matter.

    Returns:
        Seeds and verdict; (NaN, "") with fewer than three differences, or if :data:`MOST` seeds
        would decide nothing.
    """
    values = np.asarray(differences, dtype=float)
    if len(values) < LEAST_SEEDS:
        return math.nan, ""
    mean, spread = float(values.mean()), float(values.std(ddof=1))
    for n in range(LEAST_SEEDS, MOST + 1):
        half = float(half_width(spread, n))
        said = verdict(Interval(mean, mean - half, mean + half), direction=direction, margin=margin)
        if said in DECIDED:
            return float(n), said
    return math.nan, ""
