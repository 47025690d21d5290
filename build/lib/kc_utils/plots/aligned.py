"""The edge set of one checkpoint, run in every checkpoint."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from kc_utils.plots.curves import Curves, draw_figure
from kc_utils.plots.style import styled


@styled
def aligned_curves(aligned: pd.DataFrame, ylabel: str = "Hit@10 (share)") -> Figure:
    """Performance of frozen topologies (Init, Before, After, Last), own and random circuits.

    Columns: epoch, aligned, value; optional kind (rows), band (columns), low, high, chance.
    """
    spec = Curves("aligned_curves", ylabel, colour="aligned", rows="kind", height=2.8)
    return draw_figure(aligned, spec, ("aligned",))
