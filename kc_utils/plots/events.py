"""Curves of many cells and seeds on one clock: time from onset, in units of onset to knee."""

from __future__ import annotations

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kc_utils.analysis.events import CELL, QUANTITIES
from kc_utils.analysis.stats.aligned_time import align, aligned_means
from kc_utils.errors import KcError
from kc_utils.plots.canvas import label_outer, legend_below, line_handle, panels, seed_handles
from kc_utils.plots.curves import Curves, draw_curve, finish
from kc_utils.plots.style import DARK, looks_for, styled
from kc_utils.plots.tables import check
from kc_utils.plots.topology import BENDS, LABELS

_TIME = "time (onset 0, knee 1)"


@styled
def event_curves(curves: pd.DataFrame) -> Figure:
    """A panel per quantity and a line per profile; vertical lines are onset (0) and knee (1).

    Columns, from :func:`kc_utils.analysis.events.with_bends`: task, kind, band, quantity
    (entropy_kept, accuracy, edge_jaccard), epoch, value, onset, knee; optional profile, seed. A
    seed's cells are averaged first; three seeds or more have a 95 % t interval. Times that fewer
    than half of a profile's curves reach are left out.
    """
    name, needed = "event_curves", [*CELL, "quantity", "epoch", "value", "onset", "knee"]
    curves = check(curves, needed, name)
    curves = curves.assign(**{c: 0 for c in ("profile", "seed") if c not in curves})
    shown = [q for q in QUANTITIES if q in set(curves["quantity"])]
    means = _means(curves)
    if means.empty:
        raise KcError(f"{name} needs cells with an onset and a knee; the table has none.")
    looks = looks_for("profile", means["profile"])
    figure, axes = panels(1, len(shown), height=2.9, sharey=False)
    spec = Curves(name, "", x="time", from_zero=False)
    for axis, quantity in zip(axes[0], shown, strict=True):
        for profile, look in looks.items():
            part = means[(means["profile"] == profile) & (means["quantity"] == quantity)]
            draw_curve(axis, part, spec, look)
        for at, line in enumerate(BENDS.values()):
            axis.axvline(at, color=DARK, linestyle=line, linewidth=1.1, zorder=1.2)
        axis.set_title(LABELS[quantity].replace(" (", "\n("))
    finish(axes, spec)
    label_outer(axes, _TIME, [""])
    found: list[Artist] = [line_handle(look) for look in looks.values() if len(looks) > 1]
    found += [Line2D([], [], color=DARK, linestyle=s, label=b) for b, s in BENDS.items()]
    legend_below(figure, found + seed_handles(curves))
    return figure


def _means(curves: pd.DataFrame) -> pd.DataFrame:
    keys = ["profile", "quantity"]
    aligned = align(curves, curve=["profile", "seed", *CELL, "quantity"])
    if aligned.empty:
        return aligned
    means = aligned_means(aligned, keys)
    most = means.groupby(keys)["n_curves"].transform("max")
    return means[2 * means["n_curves"] >= most]
