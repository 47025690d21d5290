"""The ledger of claims: effects beside controls, verdicts by topic, and effects over seeds."""

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
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter

from kc_utils.plots.canvas import legend_below, panels
from kc_utils.plots.style import (
    BLACK,
    DARK,
    GREY,
    LIGHT,
    LOOKS,
    WIDTH,
    Look,
    label_of,
    looks_for,
    present,
    styled,
)
from kc_utils.plots.tables import check, check_known

_CLAIM = (
    "claim", "quantity", "value", "low", "high",
    "control", "control_value", "control_low", "control_high", "verdict",
)  # fmt: skip
_EVIDENCE = (
    "id", "claim", "profile", "difference", "difference_low", "difference_high", "margin",
    "direction", "verdict",
)  # fmt: skip
_VERDICTS = LOOKS["verdict"]
_BOX = {"facecolor": "white", "edgecolor": "none", "pad": 1.2}
#: One hatch for each verdict, so that bars can be told apart without their colour.
_HATCHES = ("", "\\\\\\", "xx", "///", "..", "--")
_HATCH = dict(zip(_VERDICTS, _HATCHES, strict=True))
_SHUFFLED = Look("#8A8A8A", "|", "answers shuffled: nothing to learn")
_EXPLORATORY = " [exploratory]"
_ROW = 1.0  # inches for one claim of a run
_LINE = 0.33  # inches for one interval and the one of the shuffled runs below it
_BELOW = 0.09  # inches between the two
_GAP = 0.2  # inches between two claims
_LINEAR = 2.0  # margins up to which the axis is linear
_TICKS = (-100, -10, -1, 0, 1, 10, 100)


@styled
def claims_table(claims: pd.DataFrame) -> Figure:
    """One line per claim: our number and its control, each with its 95 % interval.

    Columns: claim (short words), quantity (with unit), value, low, high, control (what it is;
    may be empty), control_value, control_low, control_high, verdict (one of
    ``kc_utils.study.claims.verdicts.VERDICTS``); optional margin (shaded on both sides of the
    control: less than that would not matter) and exploratory (marked in words). Quantities differ
    in unit, so every line has its own scale.
    """
    claims = check(claims, _CLAIM, "claims_table")
    check_known(claims["verdict"], _VERDICTS, "claims_table")
    n = len(claims)
    height = _ROW * n + 0.75
    figure = Figure(figsize=(WIDTH, height))
    top, bottom = 0.1 / height, 0.75 / height
    row = (1 - top - bottom) / n
    for i, claim in enumerate(claims.to_dict("records")):
        base = bottom + (n - 1 - i) * row
        axis = figure.add_axes((0.47, base + 0.38 * row, 0.35, 0.54 * row))
        _line(axis, claim)
        _words(figure, claim, base + 0.66 * row)
    axis.set_xlabel("effect and control, in the unit named at the left (own scale per line)")
    axis.xaxis.set_label_coords(0.3, -0.75)
    found: list[Any] = [Line2D([], [], color=GREY, linewidth=2.2, marker="|", label="control")]
    if "margin" in claims:
        found.append(Patch(facecolor=LIGHT, label="closer to the control than the margin"))
    legend_below(figure, found)
    return figure


def _line(axis: Axes, claim: dict) -> None:
    if not np.isfinite(claim["value"]):
        axis.text(0.0, 0.4, "not measured", transform=axis.transAxes, va="center", size=9)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
        return
    margin, control = claim.get("margin", np.nan), claim["control_value"]
    if np.isfinite([margin, control]).all():
        axis.axvspan(control - margin, control + margin, color=LIGHT, alpha=0.6, linewidth=0)
    looks = _VERDICTS[claim["verdict"]], Look(GREY, "|", "control")
    for y, own, look in ((1.0, "", looks[0]), (0.0, "control_", looks[1])):
        value, *ends = (claim[f"{own}{part}"] for part in ("value", "low", "high"))
        _interval(axis, y, value, ends, look, markersize=8, markeredgewidth=1.6)
    axis.set_ylim(-0.7, 1.7)
    axis.set_yticks([1.0, 0.0], ["ours", "control" if np.isfinite(control) else "no control"])
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="y", visible=False)
    axis.locator_params(axis="x", nbins=5)
    axis.margins(x=0.12)


def _interval(
    axis: Axes, y: float, value: float, ends: Sequence[float], look: Look, **size: Any
) -> None:
    """A mark at ``value`` over the line of its interval, where they are defined."""
    if not np.isfinite(value):
        return
    width = size.pop("linewidth", 2.2)
    if np.isfinite(ends).all():
        axis.plot(ends, [y, y], color=look.colour, linewidth=width, solid_capstyle="butt")
    style = {"marker": look.marker, "markerfacecolor": "white" if look.hollow else look.colour}
    axis.plot([value], [y], color=look.colour, **style, **size)


def _words(figure: Figure, claim: dict, y: float) -> None:
    look = _VERDICTS[claim["verdict"]]
    title = textwrap.fill(_named(claim), 40, max_lines=3, placeholder=" ...")
    unit = textwrap.fill(str(claim["quantity"]), 40, max_lines=2, placeholder=" ...")
    control = claim["control"] if isinstance(claim["control"], str) else ""
    against = textwrap.fill(f"control: {control}", 40, max_lines=2, placeholder=" ...")
    lines = title + "\n" + unit + ("\n" + against if control else "")
    figure.text(0.01, y, lines, va="center", ha="left", size=9, linespacing=1.25)
    style = {"va": "center", "ha": "left", "size": 9.5, "weight": "bold"}
    figure.text(0.84, y, textwrap.fill(look.label, 13), color=_ink(look), **style)


def _named(claim: dict) -> str:
    """The words of a claim; what was thought of after the data had been seen says so."""
    return str(claim["claim"]) + (_EXPLORATORY if claim.get("exploratory") is True else "")


def _ink(look: Look) -> str:
    """The colour of a verdict's word: a hollow mark's grey is too faint for text."""
    return DARK if look.hollow else look.colour


@styled
def verdict_bars(table: pd.DataFrame) -> Figure:
    """Counts of verdicts by topic. Columns: topic, verdict; a panel for each value of profile."""
    table = check(table, ["profile", "topic", "verdict"], "verdict_bars")
    check_known(table["verdict"], _VERDICTS, "verdict_bars")
    profiles, topics = (list(dict.fromkeys(table[c])) for c in ("profile", "topic"))
    figure, axes = panels(1, len(profiles), height=0.32 * len(topics) + 0.9)
    for axis, profile in zip(axes[0], profiles, strict=True):
        here = table[table["profile"] == profile]
        counts = pd.crosstab(here["topic"], here["verdict"]).reindex(topics).fillna(0).astype(int)
        start = pd.Series(0, index=topics)
        for verdict, look in _VERDICTS.items():
            n = counts[verdict] if verdict in counts else 0 * start
            axis.barh(topics, n, left=start, height=0.7, **_bar(verdict, look))
            for topic in topics:
                if n[topic]:
                    x = start[topic] + n[topic] / 2
                    axis.text(x, topic, str(n[topic]), ha="center", va="center", size=9, bbox=_BOX)
            start = start + n
        axis.set_title(label_of("profile", profile))
        axis.set_xlabel("claims (count)")
        axis.grid(axis="y", visible=False)
    axes[0, 0].invert_yaxis()
    shown = present(_VERDICTS, table["verdict"]).items()
    legend_below(figure, [Patch(label=look.label, **_bar(name, look)) for name, look in shown])
    return figure


def _bar(verdict: str, look: Look) -> dict[str, Any]:
    faint = 0.3 if look.hollow else 0.75
    return {
        "facecolor": look.colour,
        "alpha": faint,
        "edgecolor": "white",
        "hatch": _HATCH[verdict],
    }


@styled
def evidence_forest(table: pd.DataFrame) -> Figure:
    """Effect minus control over seeds, with its 95 % interval, one line per claim and profile.

    Columns: those of ``kc_utils.study.claims.over_seeds``. The axis counts margins in the claimed
    direction, and the rule is drawn as lines at 0 and at one margin on either side: a claim holds
    when its whole interval lies right of 1, and there is no effect when it lies between -1 and 1.
    A claim of equality holds when its interval stays between its two grey marks. Where the table
    has the columns shuffled, shuffled_low and shuffled_high, runs with shuffled answers stand
    below in grey. Beyond two margins the axis is logarithmic.
    """
    table = check(table, _EVIDENCE, "evidence_forest", unique=["id", "profile"])
    check_known(table["verdict"], _VERDICTS, "evidence_forest")
    claims, profiles = (list(dict.fromkeys(table[c])) for c in ("id", "profile"))
    step = _LINE * len(profiles) + _GAP
    height = step * len(claims) + 1.2
    figure = Figure(figsize=(WIDTH, height))
    axis = figure.add_axes((0.42, 0.95 / height, 0.36, step * len(claims) / height))
    places = {name: (len(claims) - 1 - i) * step for i, name in enumerate(claims)}
    looks = looks_for("profile", profiles)
    for row in table.to_dict("records"):
        offset = (len(profiles) - 1 - profiles.index(row["profile"])) * _LINE + _GAP / 2
        _evidence(axis, row, places[row["id"]] + offset + _LINE / 2, looks)
    for name, low in places.items():
        _claim(axis, table[table["id"] == name].iloc[0].to_dict(), low + step / 2, step)
        axis.axhline(low, color=LIGHT, linewidth=0.6)
    _axis(axis, table, step * len(claims))
    _legend(figure, table, profiles, looks)
    return figure


def in_margins(row: dict, name: str = "difference") -> np.ndarray:
    """``name``, its low and high in units of the margin, positive in the claimed direction."""
    numbers = np.array([row.get(f"{name}{end}", np.nan) for end in ("", "_low", "_high")], float)
    scaled = numbers / row["margin"]
    return -scaled[[0, 2, 1]] if row["direction"] == "below" else scaled


def _evidence(axis: Axes, row: dict, y: float, looks: dict) -> None:
    look, (mean, *ends) = _VERDICTS[row["verdict"]], in_margins(row)
    shuffled, *beside = in_margins(row, "shuffled")
    _interval(axis, y - _BELOW, shuffled, beside, _SHUFFLED, linewidth=1.2, markersize=6)
    if row["direction"] == "equal":
        axis.plot([-1, -1, np.nan, 1, 1], [y - 0.09, y + 0.09, np.nan, y - 0.09, y + 0.09],
                  color=GREY, linewidth=2.4)  # fmt: skip
    if np.isfinite(mean):
        marked = replace(look, marker=looks[row["profile"]].marker)
        _interval(axis, y, mean, ends, marked, markersize=6.5, markeredgewidth=1.5)
    style = {"va": "center", "size": 9, "color": _ink(look), "weight": "bold", "linespacing": 0.95}
    words = textwrap.fill(row["verdict"], 18)
    axis.text(1.02, y, words, transform=axis.get_yaxis_transform(), **style)


def _claim(axis: Axes, row: dict, y: float, step: float) -> None:
    lines = max(1, int(step / 0.155))
    text = textwrap.fill(_named(row), 40, max_lines=lines, placeholder=" ...")
    axis.text(-1.16, y, text, transform=axis.get_yaxis_transform(), va="center", ha="left", size=9,
              linespacing=1.15)  # fmt: skip


def _axis(axis: Axes, table: pd.DataFrame, top: float) -> None:
    rows = table.to_dict("records")
    ends = np.array([in_margins(row, name) for row in rows for name in ("difference", "shuffled")])
    reach = max(3.0, float(np.nanmax(np.abs(ends), initial=0.0)) * 1.25)
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
    axis.set_xlabel("effect minus control, in margins (right: as claimed)")
    axis.xaxis.label.set_x(0.1)


def _legend(figure: Figure, table: pd.DataFrame, profiles: list[str], looks: dict) -> None:
    handles = [
        Line2D([], [], color=BLACK, marker=look.marker, linestyle="", label=look.label)
        for look in (looks[name] for name in profiles)
    ]
    handles.append(Line2D([], [], color=GREY, linestyle=":", label="one margin"))
    if "shuffled" in table and table["shuffled"].notna().any():
        style = {"color": _SHUFFLED.colour, "linewidth": 1.2, "marker": _SHUFFLED.marker}
        handles.append(Line2D([], [], **style, label=_SHUFFLED.label))
    legend_below(figure, handles)
