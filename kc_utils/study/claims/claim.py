"""A claim, what was found about it, and the ledger's row that the two make."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from kc_utils.analysis.stats.intervals import Interval
from kc_utils.analysis.stats.resample import NotMeasured
from kc_utils.runs.folder import Run
from kc_utils.study.claims.margins import margin_of
from kc_utils.study.claims.verdicts import Direction, difference, verdict

PAPER, ELSEWHERE, BOOK = "the paper", "another paper", "this book"
Claimant = Literal["the paper", "another paper", "this book"]


@dataclass(frozen=True)
class Finding:
    """An effect beside its control.

    ``n`` counts ``units`` (people, cells, ...); ``note`` says what the reader should know about
    this number; ``p_value`` is told beside the interval and decides nothing.
    """

    effect: Interval
    control: Interval
    n: int
    units: str
    p_value: float = math.nan
    note: str = ""


@dataclass(frozen=True)
class Claim:
    """A claim in one sentence, who makes it, what was reported, and how it is put to the test here.

    ``main`` marks the dozen that a reader should see first. ``exploratory`` marks what was thought
    of after the data of the sweep had been seen. The margin is in ``margins.toml``, under ``id``.
    """

    id: str
    topic: str
    claim: str
    claimed_by: Claimant
    paper: str
    quantity: str
    control: str
    test: str
    direction: Direction
    notebook: str
    measure: Callable[[Run], Finding]
    main: bool = False
    exploratory: bool = False


#: What a row repeats of its claim.
WORDS = (
    "id", "topic", "claim", "claimed_by", "paper", "quantity", "control", "test", "direction",
    "notebook", "main", "exploratory",
)  # fmt: skip
COLUMNS = (
    "id", "topic", "claim", "claimed_by", "paper", "quantity", "value", "low", "high", "control",
    "control_value", "control_low", "control_high", "difference", "difference_low",
    "difference_high", "test", "p_value", "direction", "margin", "margin_reason", "verdict",
    "note", "notebook", "main", "exploratory", "profile", "n", "units",
)  # fmt: skip
NAN = Interval(math.nan, math.nan, math.nan)


def point(value: float) -> Interval:
    """A number that is known exactly, such as "no change"."""
    return Interval(value, value, value)


def resampling(run: Run) -> dict[str, int]:
    """``n`` bootstrap samples and ``seed`` of a run, as arguments of what resamples."""
    return {"n": run.config.analysis.bootstrap, "seed": run.config.seed}


def rows(run: Run, claims: Iterable[Claim]) -> pd.DataFrame:
    """One row per claim; one that the run cannot speak to is "not measured" and says why."""
    return pd.DataFrame([_row(run, claim) for claim in claims], columns=list(COLUMNS))


def _row(run: Run, claim: Claim) -> dict[str, object]:
    try:
        found = claim.measure(run)
    except NotMeasured as reason:
        found = Finding(NAN, NAN, 0, "", note=f"Not measured: {reason}.")
    fixed, gap = margin_of(claim.id), difference(found.effect, found.control)
    sides = {"": found.effect, "control_": found.control, "difference_": gap}
    ends = {f"{name}{end}": getattr(side, end) for name, side in sides.items()
            for end in ("low", "high")}  # fmt: skip
    return {name: getattr(claim, name) for name in WORDS} | ends | {
        "value": found.effect.mean,
        "control_value": found.control.mean,
        "difference": gap.mean,
        "p_value": found.p_value,
        "margin": fixed.margin,
        "margin_reason": fixed.reason,
        "verdict": verdict(gap, direction=claim.direction, margin=fixed.margin),
        "note": found.note,
        "profile": run.config.profile,
        "n": found.n,
        "units": found.units,
    }  # fmt: skip
