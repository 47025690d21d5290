"""Small multiples of a summary: the median over cells, shaded from the smallest to the largest."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from kc_utils.plots.canvas import EPOCH, chance_line, label_outer, legend_below, panels
from kc_utils.plots.curves import Curves, draw, finish, handles
from kc_utils.plots.style import styled
from kc_utils.plots.tables import check

OVER_CELLS = "range over cells"


def spread_over(frame: pd.DataFrame, keys: list[str], value: str = "value") -> pd.DataFrame:
    """Median of ``value`` over all rows of the same ``keys``; ``low`` and ``high`` are its range.

    Other columns are dropped, but for ``chance``, of which the mean is kept. Rows without a value
    don't count.
    """
    found = {"value": (value, "median"), "low": (value, "min"), "high": (value, "max")}
    if "chance" in frame:
        found["chance"] = ("chance", "mean")
    groups = frame.dropna(subset=[value]).groupby(keys, sort=False, observed=True)
    return groups.agg(**found).reset_index()


@styled
def spread_curves(
    curves: pd.DataFrame,
    panel: str,
    titles: Mapping[str, str],
    ylabel: str,
    *,
    colour: str | None = None,
    line: str | None = None,
    x: str = "epoch",
    xlabel: str = EPOCH,
    chance_label: str = "",
    levels: tuple[float, ...] = (),
    cut: tuple[float, float] | None = None,
) -> Figure:
    """One row of panels that share their axes, with the median over cells in each.

    A cell is a relation, type and band, or what else the table has rows of: all columns that are
    not named are summed up. The shading spans all cells, so it is no interval.

    Args:
        curves: columns ``x``, ``panel``, value; optional ``colour`` and ``line`` (a curve for each
            of their values), chance (drawn as a dotted line, mean of the panel).
        panel: column whose values have a panel each.
        titles: title of each value of ``panel``, in the order of the panels.
        ylabel: quantity and unit.
        colour: column that sets the colour.
        line: column that sets the line style.
        x: column of the horizontal axis; ``share`` is drawn on a log scale.
        xlabel: its label.
        chance_label: what the dotted line is.
        levels: more dotted lines, without an entry in the legend.
        cut: lowest and highest value that the axes show.
    """
    name = "spread_curves"
    channels = [c for c in (panel, colour, line) if c]
    curves = check(curves, [*channels, x, "value"], name)
    shown = spread_over(curves, [*channels, x])
    spec = Curves(
        name, ylabel, x=x, xlabel=xlabel, colour=colour, line=line, log_x=x == "share",
        chance_label=chance_label, interval=OVER_CELLS,
    )  # fmt: skip
    here = {value: title for value, title in titles.items() if value in set(shown[panel])}
    figure, axes = panels(1, len(here), height=2.2)
    for axis, (value, title) in zip(axes[0], here.items(), strict=True):
        draw(axis, shown[shown[panel] == value], spec, shown)
        for level in levels:
            chance_line(axis, level)
        axis.set_title(title)
    finish(axes, spec)
    if cut:
        low, high = axes[0, 0].get_ylim()
        axes[0, 0].set_ylim(max(low, cut[0]), min(high, cut[1]))
    label_outer(axes, xlabel, [ylabel])
    legend_below(figure, handles(shown, spec))
    return figure
