"""Which circuits have a decided onset or knee: what every claim about the two phases goes by."""

from __future__ import annotations

import pandas as pd

from kc_utils.analysis.stats.bends import MIN_POINTS
from kc_utils.analysis.stats.resample import NotMeasured
from kc_utils.config import CELL
from kc_utils.runs.folder import Run

KEPT, ALL = "entropy_kept", "entropy"


def bends_of(run: Run, quantity: str) -> pd.DataFrame:
    """The rows of table ``shift`` about one quantity, a cell each.

    Raises:
        NotMeasured: there are too few checkpoints to fit two bends.
    """
    table = run.table("shift")
    table = table[table["quantity"] == quantity].reset_index(drop=True)
    if table.empty:
        raise NotMeasured(f"onset and knee need at least {MIN_POINTS} checkpoints")
    return table


def decided_knees(
    run: Run, quantity: str = KEPT, among: pd.MultiIndex | None = None
) -> tuple[pd.DataFrame, str]:
    """Cells with a decided knee, and a sentence that says how many they are.

    Args:
        run: has the table ``shift``.
        quantity: whose curve turns.
        among: cells (task, kind, band) to be asked about; all when None.

    Returns:
        Columns task, kind, band, onset and knee (epochs; onset NaN where it is undecided), and
        the sentence.

    Raises:
        NotMeasured: fewer than half of the cells have a knee.
    """
    bends = bends_of(run, quantity)[[*CELL, "onset", "knee"]]
    if among is not None:
        bends = bends[pd.MultiIndex.from_frame(bends[CELL]).isin(among)]
    found = bends.dropna(subset=["knee"]).reset_index(drop=True)
    name = quantity.removesuffix("_kept").replace("_", " ")
    said = f"{len(found)} of {len(bends)} circuits have a decided knee of {name}"
    if 2 * len(found) < len(bends):
        raise NotMeasured(said)
    return found, f"{said}."
