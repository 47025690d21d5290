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

A claim, what was found about it, and the ledger's row that the two make.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from kc_utils.analysis.stats.intervals import Interval
from kc_utils.analysis.stats.resample import NotMeasured
from kc_utils.errors import KcError
from kc_utils.runs.folder import Run

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


NAN = Interval(math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Finding:
    """An effect beside its control.

    ``n`` counts ``units`` (people, cells, ...). ``margin`` overrides the claim's own where it
    depends on the model's size; ``note`` says what the reader should know about this number.
    ``at_most`` is the effect if everything undecided inside the run counted for the claim.
    """

    effect: Interval
    control: Interval
    n: int
    units: str
    p_value: float = math.nan
    margin: float | None = None
    note: str = ""
    at_most: float | None = None


@dataclass(frozen=True)
class Claim:
    """A claim in one sentence, what the paper reports, and how it is put to the test here."""

    id: str
    topic: str
    claim: str
    paper: str
    quantity: str
    control: str
    test: str
    direction: Direction
    margin: float
    notebook: str
    measure: Callable[[Run], Finding]


COLUMNS = (
    "id", "topic", "claim", "paper", "quantity", "value", "low", "high", "at_most", "control",
    "control_value", "control_low", "control_high", "test", "p_value", "direction", "margin",
    "verdict", "note", "notebook", "profile", "n", "units",
)  # fmt: skip


def point(value: float) -> Interval:
    """A number that is known exactly, such as "no change"."""
    return Interval(value, value, value)


def rows(run: Run, claims: Iterable[Claim]) -> pd.DataFrame:
    """One row per claim; a claim that the run cannot speak to is undecided and says why."""
    return pd.DataFrame([_row(run, claim) for claim in claims], columns=list(COLUMNS))


def _row(run: Run, claim: Claim) -> dict[str, object]:
    try:
        found = claim.measure(run)
    except NotMeasured as reason:
        found = Finding(NAN, NAN, 0, "", note=f"Cannot be judged: {reason}.")
    margin = claim.margin if found.margin is None else found.margin
    said = verdict(
        found.effect, found.control, direction=claim.direction, margin=margin, p_value=found.p_value
    )
    words = ("id", "topic", "claim", "paper", "quantity", "control", "test", "direction")
    return {name: getattr(claim, name) for name in words} | {
        "value": found.effect.mean,
        "low": found.effect.low,
        "high": found.effect.high,
        "at_most": found.effect.mean if found.at_most is None else found.at_most,
        "control_value": found.control.mean,
        "control_low": found.control.low,
        "control_high": found.control.high,
        "p_value": found.p_value,
        "margin": margin,
        "verdict": said,
        "note": found.note,
        "notebook": claim.notebook,
        "profile": run.config.profile,
        "n": found.n,
        "units": found.units,
    }
