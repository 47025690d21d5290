"""The ledger of claims as a forest plot: effect, control, verdict.

How many claims of each topic came out how: one stacked bar per topic, a panel per profile.
"""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from kc_utils.errors import KcError
from kc_utils.plots.canvas import legend_below, panels
from kc_utils.plots.style import GREY, LOOKS, WIDTH, Look, styled
from kc_utils.plots.tables import check

COLUMNS = (
    "claim", "quantity", "value", "low", "high",
    "control", "control_value", "control_low", "control_high", "verdict",
)  # fmt: skip


@styled
def claims_table(claims: pd.DataFrame) -> Figure:
    """One line per claim: our number and its control, each with its 95 % interval.

    Columns: claim (short words), quantity (with unit), value, low, high, control (what it is;
    may be empty), control_value, control_low, control_high, verdict (holds, does not hold,
    undecided). Quantities differ in unit, so every line has its own scale.
    """
    claims = check(claims, COLUMNS, "claims_table")
    unknown = sorted(set(claims["verdict"]) - set(LOOKS["verdict"]))
    if unknown:
        allowed = ", ".join(LOOKS["verdict"])
        raise KcError(f"claims_table got the verdict {unknown}; allowed are {allowed}.")
    n = len(claims)
    figure = Figure(figsize=(WIDTH, 0.92 * n + 0.75))
    top, bottom = 0.1 / (0.92 * n + 0.75), 0.75 / (0.92 * n + 0.75)
    row = (1 - top - bottom) / n
    for i, claim in enumerate(claims.to_dict("records")):
        base = bottom + (n - 1 - i) * row
        axis = figure.add_axes((0.445, base + 0.38 * row, 0.37, 0.54 * row))
        _line(axis, claim)
        _words(figure, claim, base + 0.66 * row)
    axis.set_xlabel("effect and control, in the unit named at the left (own scale per line)")
    axis.xaxis.set_label_coords(0.3, -0.75)
    _legend(figure)
    return figure


def _line(axis: Axes, claim: dict) -> None:
    if not np.isfinite(claim["value"]):
        axis.text(0.0, 0.4, "not measured", transform=axis.transAxes, va="center", size=9)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
        return
    look = LOOKS["verdict"][claim["verdict"]]
    _interval(axis, 1.0, claim["value"], claim["low"], claim["high"], look)
    control = [claim[f"control_{part}"] for part in ("value", "low", "high")]
    _interval(axis, 0.0, *control, Look(GREY, "|", "control"))
    axis.set_ylim(-0.7, 1.7)
    has_control = np.isfinite(claim["control_value"])
    axis.set_yticks([1.0, 0.0], ["ours", "control" if has_control else "no control"])
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="y", visible=False)
    axis.locator_params(axis="x", nbins=5)
    axis.margins(x=0.12)


def _interval(axis: Axes, y: float, value: float, low: float, high: float, look: Look) -> None:
    if not np.isfinite(value):
        return
    if np.isfinite(low) and np.isfinite(high):
        axis.plot([low, high], [y, y], color=look.colour, linewidth=2.2, solid_capstyle="butt")
    face = "white" if look.hollow else look.colour
    axis.plot(
        [value], [y], marker=look.marker, color=look.colour, markerfacecolor=face,
        markersize=8, markeredgewidth=1.6,
    )  # fmt: skip


def _words(figure: Figure, claim: dict, y: float) -> None:
    look = LOOKS["verdict"][claim["verdict"]]
    title = textwrap.fill(str(claim["claim"]), 38, max_lines=2, placeholder=" ...")
    unit = textwrap.fill(str(claim["quantity"]), 40, max_lines=1, placeholder=" ...")
    control = claim["control"] if isinstance(claim["control"], str) else ""
    against = textwrap.fill(f"control: {control}", 40, max_lines=1, placeholder=" ...")
    lines = title + "\n" + unit + ("\n" + against if control else "")
    figure.text(0.01, y, lines, va="center", ha="left", size=9, linespacing=1.25)
    verdict = textwrap.fill(look.label, 14)
    style = {"va": "center", "ha": "left", "size": 9.5, "weight": "bold"}
    figure.text(0.84, y, verdict, color=look.colour if look.marker != "D" else "#444444", **style)


def _legend(figure: Figure) -> None:
    found = [
        Line2D(
            [], [], marker=look.marker, color=look.colour, linestyle="", label=look.label,
            markerfacecolor="white" if look.hollow else look.colour, markersize=7,
        )
        for look in LOOKS["verdict"].values()
    ]  # fmt: skip
    found.append(Line2D([], [], color=GREY, linewidth=2.2, marker="|", label="control"))
    legend_below(figure, found)


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
