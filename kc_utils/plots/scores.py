"""How concentrated the edge scores are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from kc_utils.errors import KcError
from kc_utils.plots.canvas import legend_below, line_handle, panels, plain_log
from kc_utils.plots.style import BLACK, BLUE, Look, looks_for, ordered, styled
from kc_utils.plots.tables import check

_POINTS = 400


@styled
def score_distribution(
    scores: pd.DataFrame, series: str = "epoch", top_n: int | None = None
) -> Figure:
    """Share of the total |score| that the k strongest edges carry, for k on a log axis.

    Columns: score (one row per edge); optional ``series`` (one curve each; the legend names a
    number as "epoch 5", a text as it is). ``top_n`` marks the size of the circuit.
    """
    scores = check(scores, ["score"], "score_distribution")
    column = series if series in scores else None
    names = ordered(series, scores[series]) if column else [None]
    looks = looks_for(series, names) if column else {None: Look(BLUE, "o", "all edges")}
    figure, axes = panels(height=3.0)
    axis = axes[0, 0]
    found = []
    for name in names:
        values = scores["score"] if name is None else scores.loc[scores[series] == name, "score"]
        look = looks[name]
        x, y = _cumulative(values.to_numpy(float))
        style = {"color": look.colour, "marker": look.marker, "linestyle": look.line}
        axis.plot(x, y, markevery=max(1, len(x) // 10), **style)
        text = f"{series} {look.label}" if isinstance(name, (int, float)) else look.label
        found.append(line_handle(replace(look, label=text)))
    if top_n is not None:
        found.append(axis.axvline(top_n, color=BLACK, linestyle="--", linewidth=1.1))
        found[-1].set_label(f"circuit: {top_n:,} edges")
    plain_log(axis, "x")
    axis.set_ylim(0, 1.02)
    axis.set_xlabel("k strongest edges (count, log scale)")
    axis.set_ylabel("share of total |score|")
    legend_below(figure, found)
    return figure


def _cumulative(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    sizes = np.sort(np.abs(scores[np.isfinite(scores)]))[::-1]
    if not sizes.sum() > 0:
        raise KcError("score_distribution needs at least one edge with a score other than 0.")
    share = np.cumsum(sizes) / sizes.sum()
    points = np.unique(np.geomspace(1, len(sizes), _POINTS).round().astype(int))
    return points, share[points - 1]
