"""What a measure returns, and gates that several of them share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kc_utils.analysis.stats.resample import NotMeasured
from kc_utils.study.claims.tables import RunTables


@dataclass(frozen=True)
class Measured:
    """One number of a training run beside its control's, and the effect that is judged."""

    own: float
    control: float
    effect: float


def against(own: float, control: float) -> Measured:
    """Own value minus control."""
    return Measured(own, control, own - control)


def require_learned(run: RunTables, least: float) -> None:
    """Refuse a run whose final first-token accuracy on the texts it reads is below ``least``."""
    table = run.table("accuracy_read").query("band == 'all'")
    right = float(table[table["step"] == table["step"].max()]["value"].mean())
    if right < least:
        raise NotMeasured(f"final accuracy on the texts read is {right:.2f}; {least:g} is needed")


def require_known(run: RunTables, least: float) -> None:
    """Refuse to speak of known people of whose facts the base model answers less than ``least``."""
    right = float(run.table("prior_knowledge")["accuracy"].iloc[0])
    if right < least:
        raise NotMeasured(
            f"the base model answers {right:.2f} of its facts about the known people; {least:g} "
            "is needed"
        )


def require_room(level: float, floor: float, least: float, what: str) -> None:
    """Refuse a comparison at the floor: ``level`` must lie ``least`` above ``floor``."""
    if not level - floor >= least:
        raise NotMeasured(
            f"{what} is {level:.1f} against {floor:.1f} for random circuits; a difference of "
            f"{least:g} is needed for either side to be worse"
        )


def last(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the last checkpoint."""
    return table[table["step"] == table["step"].max()]


def mean(values: pd.Series | np.ndarray | Sequence[float], what: str) -> float:
    """Mean over finite values; NotMeasured if there is none."""
    array = np.asarray(values, dtype=float)
    array = array[np.isfinite(array)]
    if not len(array):
        raise NotMeasured(f"no cell has {what}")
    return float(array.mean())


def at(epoch: float, curve: pd.DataFrame, column: str = "value") -> float:
    """A curve's value at an epoch, linear between checkpoints; NaN where the epoch is NaN."""
    if math.isnan(epoch):
        return math.nan
    curve = curve.sort_values("epoch")
    return float(np.interp(epoch, curve["epoch"].astype(float), curve[column].astype(float)))
