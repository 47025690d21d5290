"""The book's figure in one glance: facts arrive above, circuits concentrate below, over seeds."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kc_utils.analysis.stats.seeds import LEAST_SEEDS
from kc_utils.plots.canvas import interval_handle, label_outer, legend_below, line_handle, panels
from kc_utils.plots.curves import Curves, draw_curve, finish
from kc_utils.plots.style import BLACK, GREEN, LOOKS, ORANGE, PURPLE, Look, styled
from kc_utils.plots.tables import check, check_unique

ROWS = {"accuracy": "accuracy", "entropy": "entropy (nats)"}
_LOOKS = LOOKS["kind"] | {
    "own": Look(BLACK, "D", "circuit"),
    "shuffled labels": Look(PURPLE, "^", "control: answers shuffled", (0, (5, 1.5))),
    "untrained": Look(ORANGE, "v", "control: untrained model", (0, (1.5, 1.2))),
}
_BEND = {"color": GREEN, "linestyle": (0, (6, 2)), "linewidth": 1.5, "zorder": 1.6}


@styled
def signature(curves: pd.DataFrame, bends: pd.DataFrame) -> Figure:
    """Accuracy by type of knowledge above circuit entropy and its controls, a column per profile.

    Args:
        curves: profile, quantity (a key of ``ROWS``), series (K_rel, K_compl, own, shuffled
            labels, untrained), epoch, value, low, high, n_seeds; low and high are NaN where there
            are too few seeds for an interval.
        bends: profile, quantity, value, low, high: epoch of the fitted bend, mean over seeds, and
            the earliest and latest seed. May be empty.
    """
    name = "signature"
    curves = check(
        curves,
        ["profile", "quantity", "series", "epoch", "value", "low", "high", "n_seeds"],
        name,
    )
    check_unique(curves, ["profile", "quantity", "series", "epoch"], name)
    profiles = list(dict.fromkeys(curves["profile"]))
    figure, axes = panels(len(ROWS), len(profiles), height=2.3, sharex="col", sharey="row")
    for i, (quantity, label) in enumerate(ROWS.items()):
        spec = Curves(name, label, colour="series", columns=None, from_zero=quantity == "accuracy")
        for axis, profile in zip(axes[i], profiles, strict=True):
            here = curves[(curves["profile"] == profile) & (curves["quantity"] == quantity)]
            for series, curve in here.groupby("series", sort=False):
                draw_curve(axis, curve, spec, _LOOKS[str(series)])
            _mark(axis, bends[(bends["profile"] == profile) & (bends["quantity"] == quantity)])
        finish(axes[i : i + 1], spec)
    for axis, profile in zip(axes[0], profiles, strict=True):
        n = int(curves.loc[curves["profile"] == profile, "n_seeds"].max())
        axis.set_title(f"{profile}, {n} {'seed' if n == 1 else 'seeds'}")
    label_outer(axes, "epoch of training on new biographies", list(ROWS.values()))
    handles = [line_handle(look) for key, look in _LOOKS.items() if key in set(curves["series"])]
    if len(bends):
        handles.append(Line2D([], [], **_BEND, label="fitted bend (shaded: all seeds)"))
    if curves["n_seeds"].max() >= LEAST_SEEDS:
        handles.append(interval_handle("95 % interval over seeds"))
    legend_below(figure, handles)
    return figure


def _mark(axis: Axes, bends: pd.DataFrame) -> None:
    for bend in bends.to_dict("records"):
        axis.axvline(bend["value"], **_BEND)
        axis.axvspan(bend["low"], bend["high"], color=GREEN, alpha=0.13, linewidth=0, zorder=1)
