"""The attention heads that say most about the answer, as bars."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from kc_utils.plots.canvas import legend_below, panels
from kc_utils.plots.style import GREY, LOOKS, styled
from kc_utils.plots.tables import check, check_unique

TOP_HEADS = 12


@styled
def top_heads(heads: pd.DataFrame, most: int = TOP_HEADS) -> Figure:
    """Direct logit attribution of the ``most`` heads of largest absolute value, largest on top.

    Columns: node (such as a3.h1), total (logits), role (mover, relation, mixture), in_circuit
    (bool). Heads outside of the circuit are hollow.
    """
    heads = check(heads, ["node", "total", "role", "in_circuit"], "top_heads")
    check_unique(heads, ["node"], "top_heads")
    order = heads["total"].abs().sort_values(ascending=False, kind="stable").index[:most]
    heads = heads.loc[order[::-1]].reset_index(drop=True)
    figure, axes = panels(height=0.24 * len(heads) + 0.6)
    axis = axes[0, 0]
    for place, total, role, inside in heads[["total", "role", "in_circuit"]].itertuples():
        colour = LOOKS["role"][role].colour
        face = colour if inside else "white"
        axis.barh(place, total, height=0.7, color=face, edgecolor=colour, linewidth=1.4)
        side = 1 if total >= 0 else -1
        axis.annotate(
            f"{total:+.3f}", (total, place), xytext=(3 * side, 0), textcoords="offset points",
            va="center", ha="left" if side > 0 else "right", size=9,
        )  # fmt: skip
    axis.set_yticks(range(len(heads)), heads["node"].tolist())
    axis.axvline(0.0, color=GREY, linewidth=0.8)
    axis.margins(x=0.12)
    axis.grid(axis="y", visible=False)
    axis.set_xlabel("direct logit attribution (logits)")
    found = [Patch(color=look.colour, label=look.label) for look in LOOKS["role"].values()]
    found.append(Patch(facecolor="white", edgecolor=GREY, label="hollow: not in the circuit"))
    legend_below(figure, found)
    return figure
