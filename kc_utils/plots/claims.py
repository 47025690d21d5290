"""The ledger of claims: effects over training runs in units of their margins, and as a table."""

from __future__ import annotations

import textwrap
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter
from pandas.io.formats.style import Styler

from kc_utils.plots.canvas import legend_below
from kc_utils.plots.style import BLACK, DARK, GREY, LIGHT, LOOKS, WIDTH, looks_for, styled
from kc_utils.plots.tables import check, check_known, table

_NEEDED = ("id", "claim", "profile", "effect", "low", "high", "margin", "direction", "verdict")
_VERDICTS = LOOKS["verdict"]
_LINE = 0.3  # inches for one interval
_GAP = 0.2  # inches between two claims
_LINEAR = 2.0  # margins up to which the axis is linear
_TICKS = (-100, -10, -2, -1, 0, 1, 2, 10, 100)
_SIGNS = {"as claimed": ", as claimed", "opposite": ", opposite", "none": ""}


@styled
def evidence_forest(claims: pd.DataFrame) -> Figure:
    """Effect over training runs with its 95 % interval, in margins, a line per claim and profile.

    Columns: those of ``kc_utils.study.claims.ledger``. Dotted lines at one margin on either side of
    zero are the rule: *beyond the margin* lies outside them, *equivalent* between them across zero.
    Beyond two margins the axis is logarithmic.
    """
    claims = check(claims, _NEEDED, "evidence_forest", unique=["id", "profile"])
    check_known(claims["verdict"], _VERDICTS, "evidence_forest")
    check_known(claims["direction"], _SIGNS, "evidence_forest")
    ids, profiles = (list(dict.fromkeys(claims[c])) for c in ("id", "profile"))
    step = _LINE * len(profiles) + _GAP
    height = step * len(ids) + 1.2
    figure = Figure(figsize=(WIDTH, height))
    axis = figure.add_axes((0.36, 0.95 / height, 0.4, step * len(ids) / height))
    places = {name: (len(ids) - 1 - i) * step for i, name in enumerate(ids)}
    looks = looks_for("profile", profiles)
    for row in claims.to_dict("records"):
        offset = (len(profiles) - 1 - profiles.index(row["profile"])) * _LINE + _GAP / 2
        _interval(axis, row, places[row["id"]] + offset + _LINE / 2, looks)
    for name, low in places.items():
        claim = claims[claims["id"] == name].iloc[0]["claim"]
        text = textwrap.fill(claim, 38, max_lines=max(1, int(step / 0.155)), placeholder=" ...")
        axis.text(-0.9, low + step / 2, text, transform=axis.get_yaxis_transform(), va="center",
                  size=9, linespacing=1.15)  # fmt: skip
        axis.axhline(low, color=LIGHT, linewidth=0.6)
    _axis(axis, claims, step * len(ids))
    handles = [
        Line2D([], [], color=BLACK, marker=look.marker, linestyle="", label=look.label)
        for look in (looks[name] for name in profiles)
    ]
    handles.append(Line2D([], [], color=GREY, linestyle=":", label="one margin"))
    legend_below(figure, handles)
    return figure


def _interval(axis: Axes, row: dict, y: float, looks: dict) -> None:
    look = _VERDICTS[row["verdict"]]
    mean, low, high = (row[name] / row["margin"] for name in ("effect", "low", "high"))
    if np.isfinite([low, high]).all():
        mark = replace(look, marker=looks[row["profile"]].marker)
        axis.plot([low, high], [y, y], color=mark.colour, linewidth=2.2, solid_capstyle="butt")
        axis.plot([mean], [y], color=mark.colour, marker=mark.marker, markersize=6.5,
                  markerfacecolor="white" if mark.hollow else mark.colour)  # fmt: skip
    words = row["verdict"] + _SIGNS[row["direction"]]
    # Some of the verdicts' colours are too faint for text.
    axis.text(1.02, y, textwrap.fill(words, 24), transform=axis.get_yaxis_transform(), va="center",
              size=8.5, color=DARK, weight="bold", linespacing=0.95)  # fmt: skip


def _axis(axis: Axes, claims: pd.DataFrame, top: float) -> None:
    ends = claims[["low", "high"]].div(claims["margin"], axis=0).abs().to_numpy()
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
    axis.set_xlabel("effect with its control subtracted, in margins")


def ledger_table(claims: pd.DataFrame, caption: str | None = None) -> Styler:
    """The rows of a ledger as a table: effect with interval, control, n, margin and verdict."""
    rows = []
    for row in check(claims, _NEEDED, "ledger_table").to_dict("records"):
        measured = np.isfinite([row["low"], row["high"]]).all()
        effect = f"{row['effect']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
        beside = f"{row['own']:.2f}, {row['control_effect']:.2f}: " if measured else ""
        rows.append(
            {
                "claim": row["claim"],
                "model": row["profile"],
                "effect (95 %)": effect if measured else "-",
                "unit": row["unit"],
                "own and control": beside + row["control"],
                "n": row["n_seeds"],
                "margin": f"{row['margin']:g}",
                "verdict": row["verdict"] + _SIGNS[row["direction"]],
                "Holm": row["holm"],
                "hangs on": row["hangs_on"],
                "note": row["note"],
            }
        )
    shown = pd.DataFrame(rows)
    shown = shown.drop(columns=[c for c in ("Holm", "note") if not shown[c].astype(bool).any()])
    return table(shown, caption=caption)
