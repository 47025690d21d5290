"""The ledger over seeds as one forest plot: every claim in units of its own margin."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter

from kc_utils.plots.canvas import legend_below
from kc_utils.plots.style import BLACK, GREY, LIGHT, LOOKS, WIDTH, looks_for, styled
from kc_utils.plots.tables import check, check_unique

COLUMNS = (
    "id", "claim", "profile", "difference", "difference_low", "difference_high", "margin",
    "direction", "verdict",
)  # fmt: skip
_LINE = 0.27  # inches for one interval
_GAP = 0.2  # inches between two claims
_LINEAR = 2.0  # margins up to which the axis is linear
_TICKS = (-100, -10, -1, 0, 1, 10, 100)


@styled
def evidence_forest(table: pd.DataFrame) -> Figure:
    """Effect minus control over seeds, with its 95 % interval, one line per claim and profile.

    Columns: those of ``kc_utils.study.claims.over_seeds``. The axis counts margins in the claimed
    direction: a claim holds when its interval clears 0 and its mean reaches 1, and a claim of
    equality when the interval stays between the two grey marks at -1 and 1. Beyond two margins
    the axis is logarithmic.
    """
    table = check(table, COLUMNS, "evidence_forest")
    check_unique(table, ["id", "profile"], "evidence_forest")
    claims, profiles = list(dict.fromkeys(table["id"])), list(dict.fromkeys(table["profile"]))
    step = _LINE * len(profiles) + _GAP
    height = step * len(claims) + 1.25
    figure = Figure(figsize=(WIDTH, height))
    axis = figure.add_axes((0.44, 0.95 / height, 0.36, step * len(claims) / height))
    places = {name: (len(claims) - 1 - i) * step for i, name in enumerate(claims)}
    for row in table.to_dict("records"):
        offset = (len(profiles) - 1 - profiles.index(row["profile"])) * _LINE + _GAP / 2
        _line(axis, row, places[row["id"]] + offset + _LINE / 2, looks_for("profile", profiles))
    for name, low in places.items():
        _words(axis, table[table["id"] == name].iloc[0], low + step / 2, step)
        axis.axhline(low, color=LIGHT, linewidth=0.6)
    _axis(axis, table, step * len(claims))
    _legend(figure, profiles, looks_for("profile", profiles))
    return figure


def in_margins(row: dict) -> np.ndarray:
    """Difference, low and high in units of the margin, positive in the claimed direction."""
    numbers = np.array([row["difference"], row["difference_low"], row["difference_high"]], float)
    scaled = numbers / row["margin"]
    return -scaled[[0, 2, 1]] if row["direction"] == "below" else scaled


def _line(axis: Axes, row: dict, y: float, looks: dict) -> None:
    look, (mean, low, high) = LOOKS["verdict"][row["verdict"]], in_margins(row)
    marker = looks[row["profile"]].marker
    if row["direction"] == "equal":
        axis.plot([-1, -1, np.nan, 1, 1], [y - 0.09, y + 0.09, np.nan, y - 0.09, y + 0.09],
                  color=GREY, linewidth=1.4)  # fmt: skip
    if not np.isfinite(mean):
        axis.text(0, y, "not measured", ha="center", va="center", size=9, color="#555555")
        return
    if np.isfinite(low) and np.isfinite(high):
        axis.plot([low, high], [y, y], color=look.colour, linewidth=2.2, solid_capstyle="butt")
    face = "white" if look.hollow else look.colour
    axis.plot([mean], [y], marker=marker, color=look.colour, markerfacecolor=face, markersize=6.5,
              markeredgewidth=1.5)  # fmt: skip
    said = row["verdict"]
    colour = look.colour if not look.hollow else "#444444"
    axis.text(1.02, y, said, transform=axis.get_yaxis_transform(), va="center", size=9,
              color=colour, weight="bold")  # fmt: skip


def _words(axis: Axes, row: pd.Series, y: float, step: float) -> None:
    lines = max(1, int(step / 0.155))
    text = textwrap.fill(str(row["claim"]), 44, max_lines=lines, placeholder=" ...")
    axis.text(-1.2, y, text, transform=axis.get_yaxis_transform(), va="center", ha="left", size=9,
              linespacing=1.15)  # fmt: skip


def _axis(axis: Axes, table: pd.DataFrame, top: float) -> None:
    ends = np.array([in_margins(row) for row in table.to_dict("records")]).ravel()
    reach = max(3.0, float(np.nanmax(np.abs(ends), initial=0.0)) * 1.25)
    axis.set_xscale("symlog", linthresh=_LINEAR, linscale=1.0)
    axis.set_xlim(-reach, reach)
    axis.set_ylim(0, top)
    axis.axvline(0, color=BLACK, linewidth=0.9)
    axis.axvline(1, color=GREY, linewidth=1.2, linestyle=":")
    axis.xaxis.set_major_locator(FixedLocator([t for t in _TICKS if abs(t) < reach]))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_locator(FixedLocator([]))
    axis.set_yticks([])
    axis.spines["left"].set_visible(False)
    axis.grid(axis="y", visible=False)
    axis.set_xlabel("effect minus control, in margins (right: as claimed)")
    axis.xaxis.label.set_x(0.1)


def _legend(figure: Figure, profiles: list[str], looks: dict) -> None:
    handles = [
        Line2D([], [], color=BLACK, marker=looks[name].marker, linestyle="", label=name)
        for name in profiles
    ]
    handles += [
        Line2D([], [], color=look.colour, linewidth=2.4, label=look.label)
        for look in LOOKS["verdict"].values()
    ]
    handles.append(Line2D([], [], color=GREY, linestyle=":", label="one margin"))
    legend_below(figure, handles)
