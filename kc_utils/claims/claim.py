"""A claim, what was found about it, and the ledger's row that the two make."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pandas as pd

from kc_utils.claims.verdict import Direction, verdict
from kc_utils.runs import Run
from kc_utils.stats import Interval

NAN = Interval(math.nan, math.nan, math.nan)


class NotMeasured(Exception):
    """The run cannot speak to a claim; the message says what is missing."""


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
