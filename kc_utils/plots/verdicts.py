"""How many claims of each topic came out how: one stacked bar per topic, a panel per profile."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from kc_utils.plots.canvas import legend_below, panels
from kc_utils.plots.style import LOOKS, styled
from kc_utils.plots.tables import check

_BOX = {"facecolor": "white", "edgecolor": "none", "pad": 1.2}
_HATCH = {"holds": "", "does not hold": "///", "undecided": ".."}


@styled
def verdict_bars(table: pd.DataFrame) -> Figure:
    """Counts of verdicts by topic. Columns: topic, verdict; a panel for each value of profile."""
    table = check(table, ["profile", "topic", "verdict"], "verdict_bars")
    profiles, topics = (list(dict.fromkeys(table[c])) for c in ("profile", "topic"))
    figure, axes = panels(1, len(profiles), height=0.32 * len(topics) + 0.9)
    for axis, profile in zip(axes[0], profiles, strict=True):
        here = table[table["profile"] == profile]
        counts = pd.crosstab(here["topic"], here["verdict"]).reindex(topics).fillna(0).astype(int)
        start = pd.Series(0, index=topics)
        for verdict, look in LOOKS["verdict"].items():
            n = counts[verdict] if verdict in counts else 0 * start
            axis.barh(topics, n, left=start, color=look.colour, alpha=0.75, height=0.7,
                      hatch=_HATCH[verdict], edgecolor="white")  # fmt: skip
            for topic in topics:
                if n[topic]:
                    x = start[topic] + n[topic] / 2
                    axis.text(x, topic, str(n[topic]), ha="center", va="center", size=9, bbox=_BOX)
            start = start + n
        axis.set_title(profile)
        axis.set_xlabel("claims (count)")
        axis.grid(axis="y", visible=False)
    axes[0, 0].invert_yaxis()
    legend_below(
        figure,
        [
            Patch(facecolor=look.colour, alpha=0.75, hatch=_HATCH[name], edgecolor="white",
                  label=look.label)
            for name, look in LOOKS["verdict"].items()
        ],
    )  # fmt: skip
    return figure
