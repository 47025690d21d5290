"""One rule from numbers to a verdict, the same for every claim.

An effect and its control are each a value with a 95 % interval. ``margin`` is the smallest
distance from the control that would matter, in the unit of the effect, and is fixed before any
run. With the claimed direction turned upwards:

- **holds**: the effect is at least ``margin`` above the control's value, its whole interval lies
  above the control's interval, and p < 0.05 where there is a p-value;
- **does not hold**: the whole interval lies less than ``margin`` above the control's value, on
  either side of it: the data rule out an effect that would matter;
- **undecided**: everything else, and whenever one of the numbers is missing.

A claim of equality (direction "equal") holds when the whole interval lies within ``margin`` of the
control's value, does not hold when the whole interval lies beyond it on one side, and is undecided
otherwise. A large p-value alone never decides anything.
"""

from __future__ import annotations

import math
from typing import Literal

from kc_utils.errors import KcError
from kc_utils.stats import Interval

Direction = Literal["above", "below", "equal"]
Verdict = Literal["holds", "does not hold", "undecided"]
ALPHA = 0.05


def verdict(
    effect: Interval,
    control: Interval,
    *,
    direction: Direction,
    margin: float,
    p_value: float = math.nan,
) -> Verdict:
    """Apply the rule of this module; ``p_value`` NaN means that there is no test.

    Raises:
        KcError: if ``margin`` is not positive or ``direction`` is unknown.
    """
    if not margin > 0:
        raise KcError(f"margin={margin} of a claim must be above 0.")
    if direction not in ("above", "below", "equal"):
        raise KcError(f"direction={direction!r} must be 'above', 'below' or 'equal'.")
    numbers = (effect.mean, effect.low, effect.high, control.mean, control.low, control.high)
    if not all(math.isfinite(number) for number in numbers):
        return "undecided"
    if direction == "equal":
        return _equality(effect, control.mean, margin)
    if direction == "below":
        effect, control = _turned(effect), _turned(control)
    needed = control.mean + margin
    if effect.high < needed:
        return "does not hold"
    beyond = effect.mean >= needed and effect.low > control.high
    return "holds" if beyond and not p_value >= ALPHA else "undecided"


def _equality(effect: Interval, target: float, margin: float) -> Verdict:
    if effect.low >= target - margin and effect.high <= target + margin:
        return "holds"
    outside = effect.low > target + margin or effect.high < target - margin
    return "does not hold" if outside else "undecided"


def _turned(interval: Interval) -> Interval:
    return Interval(-interval.mean, -interval.high, -interval.low)
