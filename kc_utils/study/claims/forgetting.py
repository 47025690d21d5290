"""Measures of what happens when training goes on about other people."""

from __future__ import annotations

import pandas as pd

from kc_utils.analysis.stats.resample import NotMeasured
from kc_utils.study.claims.measured import Measured, against
from kc_utils.study.claims.tables import RunTables

NEW_PEOPLE, CONFLICT, DRIFT = "new_people", "conflicting", "drift"


def curve(run: RunTables, variant: str, ratio: float) -> pd.DataFrame:
    """Measurements of one forgetting run, by step."""
    table = run.table("forgetting")
    found = table[(table["variant"] == variant) & ((table["ratio"] - ratio).abs() < 1e-6)]
    if len(found) < 3:
        raise NotMeasured(f"forgetting '{variant}' with replay {ratio:g} was not followed")
    return found.sort_values("step").reset_index(drop=True)


def require_regime(run: RunTables, new: float, old_falls: float, ratio: float) -> None:
    """Refuse to speak of a return where nothing had to return.

    The new facts must reach accuracy ``new`` at this replay ratio, and the old ones must lose the
    share ``old_falls`` of their accuracy without replay.
    """
    reached = float(curve(run, NEW_PEOPLE, ratio)["accuracy_new"].max())
    old = curve(run, NEW_PEOPLE, 0.0)["accuracy_old"]
    fell = 1 - float(old.min()) / float(old.iloc[0]) if old.iloc[0] else 0.0
    if reached < new or fell < old_falls:
        raise NotMeasured(
            f"new facts reach accuracy {reached:.2f} ({new:g} is needed) and old ones lose "
            f"{fell:.0%} without replay ({old_falls:.0%} is needed), so nothing had to return"
        )


def forgets(run: RunTables, known: float) -> Measured:
    """Change of accuracy on old facts (%) without replay, beside full replay."""
    _require_old(run, known)
    return against(*(_change(curve(run, NEW_PEOPLE, ratio)) for ratio in (0.0, 1.0)))


def conflict(run: RunTables, known: float) -> Measured:
    """Change of accuracy on old facts (%) by conflicting facts, beside facts about other people."""
    _require_old(run, known)
    return against(*(_change(curve(run, name, 0.0)) for name in (CONFLICT, NEW_PEOPLE)))


def facts_return(run: RunTables, new: float, old_falls: float, ratio: float) -> Measured:
    """Old accuracy (%) regained since its lowest with a little replay, beside no replay."""
    require_regime(run, new, old_falls, ratio)
    rises = []
    for share in (ratio, 0.0):
        old = 100 * curve(run, NEW_PEOPLE, share)["accuracy_old"]
        rises.append(float(old.iloc[-1] - old.min()))
    return against(*rises)


def circuit_returns(
    run: RunTables, column: str, furthest: str, scale: float, new: float, old_falls: float,
    ratio: float,
) -> Measured:  # fmt: skip
    """How far the circuit comes back with a little replay, last minus ``furthest`` ("min", "max")
    after the start, beside a run that only goes on with the old texts."""
    require_regime(run, new, old_falls, ratio)
    back = []
    for variant, share in ((NEW_PEOPLE, ratio), (DRIFT, 1.0)):
        values = scale * curve(run, variant, share)[column].iloc[1:]
        back.append(float(values.iloc[-1] - values.agg(furthest)))
    return against(*back)


def replay_matters(run: RunTables, column: str, scale: float, known: float) -> Measured:
    """A measure of the circuit without replay, mean over measurements, beside full replay."""
    _require_old(run, known)
    return against(*(scale * float(curve(run, NEW_PEOPLE, ratio)[column].iloc[1:].mean())
                     for ratio in (0.0, 1.0)))  # fmt: skip


def _require_old(run: RunTables, known: float) -> None:
    right = float(curve(run, NEW_PEOPLE, 0.0)["accuracy_old"].iloc[0])
    if right < known:
        raise NotMeasured(f"accuracy on the old facts starts at {right:.2f}; {known:g} is needed")


def _change(table: pd.DataFrame) -> float:
    return 100 * float(table["accuracy_old"].iloc[-1] - table["accuracy_old"].iloc[0])
