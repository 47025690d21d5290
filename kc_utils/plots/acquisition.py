"""When people are known: a curve per group of exposures."""

from __future__ import annotations

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kc_utils.analysis.acquisition import EXPOSURES
from kc_utils.plots.canvas import (
    EPOCH,
    label_outer,
    legend_below,
    line_handle,
    mark_handle,
    split,
)
from kc_utils.plots.curves import Curves, finish
from kc_utils.plots.style import GREY, Look, looks_for, present, styled
from kc_utils.plots.tables import check

_CENSORED = Look(GREY, "o", "not known at the end (censored)", "", True)


@styled
def known_curves(shares: pd.DataFrame) -> Figure:
    """Share of people known by each epoch, a step curve per number of exposures, a panel per kind.

    Columns: epoch, exposures (group), value (share), n_people, n_censored (not known at the end:
    an open mark and their number at the end of the curve); optional kind.
    """
    needed, name = ["epoch", "exposures", "value", "n_people", "n_censored"], "known_curves"
    shares = check(shares, needed, name, unique=["epoch", "exposures", "kind"])
    ramp = looks_for("exposures", range(len(EXPOSURES)))
    looks = {
        group: Look(ramp[i].colour, ramp[i].marker, _words(group))
        for i, group in enumerate(EXPOSURES)
    }
    looks = present(looks, shares["exposures"])
    figure, axes, cells = split(shares, None, "kind", height=2.4)
    for axis, part in cells:
        for group, look in looks.items():
            _steps(axis, part[part["exposures"] == group].sort_values("epoch"), look)
    finish(axes, Curves(name, ""))
    axes[0, 0].set_ylim(0, 1.03)
    label_outer(axes, EPOCH, ["people known (share)"] * len(axes))
    found: list[Artist] = [line_handle(look) for look in looks.values()]
    if (shares["n_censored"] > 0).any():
        found.append(mark_handle(_CENSORED))
    legend_below(figure, found)
    return figure


def _words(group: str) -> str:
    return f"{group} {'biography' if group == '1' else 'biographies'}"


def _steps(axis: Axes, curve: pd.DataFrame, look: Look) -> None:
    if curve.empty:
        return
    axis.step(
        curve["epoch"], curve["value"], where="post", color=look.colour, marker=look.marker,
        markevery=max(1, len(curve) // 8),
    )  # fmt: skip
    last = curve.iloc[-1]
    if last["n_censored"]:
        at = last["epoch"], last["value"]
        axis.plot(*at, "o", color=look.colour, markerfacecolor="white", markersize=6.5, zorder=4)
        place = {"textcoords": "offset points", "xytext": (6, 0), "va": "center", "fontsize": 8}
        axis.annotate(f"{int(last['n_censored'])}", at, color=look.colour, **place)
