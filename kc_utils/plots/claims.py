"""The ledger of claims: effects over training runs, in units of the margin."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter

from kc_utils.plots.canvas import legend_below
from kc_utils.plots.style import (
    BLACK,
    DARK,
    GREY,
    LIGHT,
    LOOKS,
    WIDTH,
    Look,
    looks_for,
    present,
    styled,
)
from kc_utils.plots.tables import check, check_known

_COLUMNS = ("id", "claim", "profile", "effect", "low", "high", "margin", "direction", "verdict")
_VERDICTS = LOOKS["verdict"]
_SIGNS = {"as claimed": " (+)", "opposite": " (\N{MINUS SIGN})", "none": ""}
_LINE = 0.22  # inches for one interval
_LEAST = 0.5  # inches for one claim, whose words take up to three lines
_GAP = 0.16  # inches between two claims
_LINEAR = 2.0  # margins up to which the axis is linear
_TICKS = (-100, -10, -1, 0, 1, 10, 100)


@styled
def evidence_forest(table: pd.DataFrame) -> Figure:
    """Effects with their controls subtracted and 95 % intervals, a line per claim and profile.

    Columns: those of ``kc_utils.study.claims.ledger``. The axis counts margins, and the rule is
    drawn as lines at 0 and at one margin on either side. Beyond two margins it is logarithmic. The
    words at the right are the verdict, with (+) where it is as claimed and a minus where it is the
    opposite.
    """
    table = check(table, _COLUMNS, "evidence_forest", unique=["id", "profile"])
    check_known(table["verdict"], _VERDICTS, "evidence_forest")
    check_known(table["direction"], _SIGNS, "evidence_forest")
    claims, profiles = (list(dict.fromkeys(table[c])) for c in ("id", "profile"))
    lines = _LINE * len(profiles)
    step = max(lines, _LEAST) + _GAP
    height = step * len(claims) + 1.35
    figure = Figure(figsize=(WIDTH, height))
    axis = figure.add_axes((0.38, 1.1 / height, 0.35, step * len(claims) / height))
    places = {name: (len(claims) - 0.5 - i) * step for i, name in enumerate(claims)}
    looks = looks_for("profile", profiles)
    for row in table.to_dict("records"):
        offset = lines / 2 - (profiles.index(row["profile"]) + 0.5) * _LINE
        _effect(axis, row, places[row["id"]] + offset, looks[row["profile"]].marker)
    for name, centre in places.items():
        words = str(table.loc[table["id"] == name, "claim"].iloc[0])
        _claim(axis, words, centre, step)
        axis.axhline(centre - step / 2, color=LIGHT, linewidth=0.6)
    _axis(axis, table, step * len(claims))
    _legend(figure, table, looks)
    return figure


def in_margins(row: dict[str, Any]) -> np.ndarray:
    """Effect, low and high of a row in units of its margin."""
    return np.array([row["effect"], row["low"], row["high"]], float) / row["margin"]


def _effect(axis: Axes, row: dict[str, Any], y: float, marker: str) -> None:
    look, (mean, *ends) = _VERDICTS[row["verdict"]], in_margins(row)
    if np.isfinite(ends).all():
        _interval(axis, y, mean, ends, replace(look, marker=marker))
    words = row["verdict"] + _SIGNS[row["direction"]]
    axis.text(1.03, y, words, transform=axis.get_yaxis_transform(), va="center", size=9, color=DARK)


def _interval(axis: Axes, y: float, value: float, ends: Sequence[float], look: Look) -> None:
    """A mark at ``value`` over the line of its interval."""
    axis.plot(ends, [y, y], color=look.colour, linewidth=2.2, solid_capstyle="butt")
    inside = "white" if look.hollow else look.colour
    axis.plot([value], [y], color=look.colour, marker=look.marker, markerfacecolor=inside,
              markersize=6.5, markeredgewidth=1.5)  # fmt: skip


def _claim(axis: Axes, words: str, y: float, step: float) -> None:
    most = max(1, int(step / 0.155))
    text = textwrap.fill(words, 38, max_lines=most, placeholder=" ...")
    axis.text(-1.07, y, text, transform=axis.get_yaxis_transform(), va="center", ha="left", size=9,
              linespacing=1.15)  # fmt: skip


def _axis(axis: Axes, table: pd.DataFrame, top: float) -> None:
    ends = np.abs([in_margins(row) for row in table.to_dict("records")])
    reach = max(3.0, float(np.nanmax(ends, initial=0.0)) * 1.25)
    axis.set_xscale("symlog", linthresh=_LINEAR, linscale=1.0)
    axis.set_xlim(-reach, reach)
    axis.set_ylim(0, top)
    axis.axvline(0, color=BLACK, linewidth=0.9)
    for side in (-1, 1):
        axis.axvline(side, color=GREY, linewidth=1.2, linestyle=":")
    axis.xaxis.set_major_locator(FixedLocator([t for t in _TICKS if abs(t) < reach]))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_locator(FixedLocator([]))
    axis.set_yticks([])
    axis.spines["left"].set_visible(False)
    axis.grid(axis="y", visible=False)
    axis.set_xlabel("effect, control subtracted, in margins")


def _legend(figure: Figure, table: pd.DataFrame, looks: dict[str, Look]) -> None:
    handles = [
        Line2D([], [], color=BLACK, marker=look.marker, linestyle="", label=look.label)
        for look in looks.values()
    ]
    measured = table.loc[table["low"].notna(), "verdict"]
    handles += [
        Line2D([], [], color=look.colour, linewidth=2.2, label=look.label)
        for look in present(_VERDICTS, measured).values()
    ]
    handles.append(Line2D([], [], color=GREY, linestyle=":", label="one margin"))
    legend_below(figure, handles)
