"""Hit@10 and rank of the right answer when only the circuit runs."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from kc_utils.errors import KcError
from kc_utils.plots.curves import Curves, draw_figure
from kc_utils.plots.style import styled

RANK = "rank (1 = best, log scale)"


@styled
def hit_curves(
    evaluation: pd.DataFrame,
    panel: str = "band",
    chance: float | None = None,
    ylabel: str = "Hit@10 (share)",
) -> Figure:
    """Share of queries whose right first token is among the circuit's ten best.

    Columns: epoch, kind, band, value (share); optional circuit (own, random), low, high, chance.
    ``panel`` = "band" draws kinds in each band's panel, "kind" draws bands in each kind's panel.
    """
    colour = _other(panel)
    spec = Curves("hit_curves", ylabel, colour=colour, columns=panel, line="circuit", chance=chance)
    return draw_figure(evaluation, spec, ("kind", "band"))


@styled
def rank_curves(evaluation: pd.DataFrame, panel: str = "band") -> Figure:
    """Rank of the right first token in the circuit's output, on a log axis with 1 at the top.

    Columns: epoch, kind, band, value (rank, at least 1); optional circuit, low, high, chance.
    """
    colour = _other(panel)
    spec = Curves("rank_curves", RANK, colour=colour, columns=panel, line="circuit", log_y=True)
    figure = draw_figure(evaluation, spec, ("kind", "band"))
    figure.axes[0].invert_yaxis()
    return figure


def _other(panel: str) -> str:
    if panel not in ("band", "kind"):
        raise KcError(f"panel is {panel!r}; allowed are 'band' and 'kind'.")
    return "kind" if panel == "band" else "band"
