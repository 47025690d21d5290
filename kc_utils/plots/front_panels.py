"""The front page's second figure: how small a circuit is, and where in the network it lies."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from kc_utils.plots.canvas import (
    EPOCH,
    OVER_SEEDS,
    interval_handle,
    legend_below,
    line_handle,
    panels,
    plain_log,
    whole_numbers,
)
from kc_utils.plots.curves import Curves, draw_curve
from kc_utils.plots.style import (
    BLACK,
    DASH_DOTTED,
    GREY,
    LOOKS,
    PURPLE,
    Look,
    label_of,
    present,
    styled,
)
from kc_utils.plots.tables import check

_SIZE, _DEPTH = "size", "depth"
_LOOKS = LOOKS["circuit"] | {
    "own": Look(BLACK, "D", "circuit"),
    "random": Look(GREY, "o", "random edges, as many", LOOKS["circuit"]["random"].line, True),
    "random_per_layer": LOOKS["circuit"]["random_per_layer"],
    "shuffled run": Look(PURPLE, "x", "runs with nothing to learn", DASH_DOTTED),
}


@styled
def size_and_depth(
    curves: pd.DataFrame, chosen: pd.DataFrame, n_layers: Mapping[str, int]
) -> Figure:
    """What a circuit of each size restores, and the layer its edges start from, beside controls.

    Args:
        curves: profile, picture ("size" or "depth"), series (own, random, random_per_layer,
            shuffled run), x (share of the edges, or epoch), value (faithfulness, or mean layer of
            the edges' writers), low, high; NaN where there are too few seeds for an interval.
        chosen: profile, share: how many of the edges the study's circuits keep, marked in the
            first picture; may be empty.
        n_layers: of each profile's model, named on the axis of its depth.
    """
    name = "size_and_depth"
    keys = ["profile", "picture", "series", "x"]
    curves = check(curves, [*keys, "value", "low", "high"], name, unique=keys)
    profiles = list(dict.fromkeys(curves["profile"]))
    figure, axes = panels(len(profiles), 2, height=2.7, sharex=False, sharey=False)
    spec = Curves(name, "", x="x", colour="series", columns=None)
    for row, profile in zip(axes, profiles, strict=True):
        here = curves[curves["profile"] == profile]
        for axis, picture in zip(row, (_SIZE, _DEPTH), strict=True):
            for series, curve in here[here["picture"] == picture].groupby("series", sort=False):
                draw_curve(axis, curve, spec, _LOOKS[str(series)])
        for share in chosen.loc[chosen["profile"] == profile, "share"]:
            row[0].axvline(share, color=GREY, linewidth=1, zorder=1)
            row[0].annotate(f"{share:.1%} of the edges", (share, 1.12), xytext=(4, 0),
                            textcoords="offset points", size=8.5, va="center")  # fmt: skip
        _titles(row, label_of("profile", profile) if len(profiles) > 1 else "")
        row[0].set_ylabel("share of the answer restored")
        row[1].set_ylabel(f"mean layer where edges\nstart, of 0 to {n_layers[profile] - 1}")
        row[1].annotate("deeper ↑", (0.02, 0.94), xycoords="axes fraction", size=8.5, va="top")
        row[1].margins(y=0.25)
        row[0].set_ylim(-0.1, 1.2)
        plain_log(row[0], "x")
        whole_numbers(row[1])
    axes[-1, 0].set_xlabel("share of the model's edges that is kept")
    axes[-1, 1].set_xlabel(EPOCH)
    found = [line_handle(look) for look in present(_LOOKS, curves["series"]).values()]
    if curves["low"].notna().any():
        found.append(interval_handle(OVER_SEEDS))
    legend_below(figure, found)
    return figure


def _titles(row: np.ndarray, profile: str) -> None:
    behind = f" ({profile})" if profile else ""
    row[0].set_title("How small is a circuit?" + behind)
    row[1].set_title("Does it grow deep to shallow?" + behind)
