"""From an interval to a verdict: one rule, the same for every claim.

What is judged is the difference d of an effect and its control, with a 95 % interval. ``margin`` is
the smallest difference that would matter, fixed before any run (:mod:`.margins`). With the claimed
direction turned upwards:

- **holds**: the whole interval lies beyond the margin;
- **real, perhaps too small**: the whole interval lies beyond zero, but not beyond the margin;
- **no effect**: the whole interval lies inside the margin, on either side of zero;
- **opposite**: the whole interval lies on the other side of zero, and not inside the margin, so it
  may be too small to matter, like a real effect;
- **open**: everything else: the data fit an effect as well as none;
- **not measured**: there is no number, or no interval.

A claim of equality (direction "equal") holds when the whole interval lies inside the margin, and is
"opposite" when the whole interval lies beyond it on one side. A large p-value decides nothing.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np

from kc_utils.analysis.stats.intervals import Interval
from kc_utils.errors import KcError

Direction = Literal["above", "below", "equal"]
Verdict = Literal[
    "holds", "real, perhaps too small", "no effect", "opposite", "open", "not measured"
]
VERDICTS: tuple[str, ...] = get_args(Verdict)
HOLDS, SMALLER, NO_EFFECT, OPPOSITE, OPEN, NOT_MEASURED = VERDICTS
#: Verdicts that rule something out or in; the others leave the question where it was.
DECIDED = (HOLDS, SMALLER, NO_EFFECT, OPPOSITE)


def verdict(difference: Interval, *, direction: Direction, margin: float) -> str:
    """One of :data:`VERDICTS` for ``difference`` = effect - control, by the rule of this module.

    Raises:
        KcError: ``margin`` is not positive, or ``direction`` is unknown.
    """
    if not margin > 0:
        raise KcError(f"margin={margin} of a claim must be above 0.")
    if direction not in get_args(Direction):
        raise KcError(f"direction={direction!r} must be 'above', 'below' or 'equal'.")
    if not all(map(math.isfinite, (difference.mean, difference.low, difference.high))):
        return NOT_MEASURED
    low, high = difference.low, difference.high
    if direction == "below":
        low, high = -high, -low
    inside = -margin < low and high < margin
    if direction == "equal":
        return HOLDS if inside else OPPOSITE if low > margin or high < -margin else OPEN
    if low > 0:
        return HOLDS if low > margin else SMALLER
    if inside:
        return NO_EFFECT
    return OPPOSITE if high < 0 else OPEN


def difference(effect: Interval, control: Interval) -> Interval:
    """Effect minus control, with an interval from theirs.

    Distances from the means to the ends are added in quadrature (MOVER: Zou and Donner 2008, for
    independent estimates), so a control that is known exactly leaves the effect's own interval.
    """
    mean = effect.mean - control.mean
    below = np.hypot(effect.mean - effect.low, control.high - control.mean)
    above = np.hypot(effect.high - effect.mean, control.mean - control.low)
    return Interval(mean, mean - float(below), mean + float(above))
