"""Circuits over training beside what controls and noise give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kc_utils.analysis.stats.seeds import LEAST_SEEDS, seed_means
from kc_utils.plots.canvas import (
    EPOCH,
    OVER_SEEDS,
    chance_curve,
    chance_handle,
    interval_handle,
    label_outer,
    legend_below,
    line_handle,
    mark_handle,
    panels,
    seed_handles,
    split,
)
from kc_utils.plots.curves import Curves, draw_curve, draw_means, finish
from kc_utils.plots.style import (
    BLACK,
    BLUE,
    DASH_DOTTED,
    DOTTED,
    GREEN,
    GREY,
    LONG_DASHED,
    LOOKS,
    ORANGE,
    PURPLE,
    SKY,
    Look,
    label_of,
    present,
    styled,
)
from kc_utils.plots.tables import check, groups
from kc_utils.plots.topology import LABELS, RANDOM_CIRCUITS

_CONTROLS = {
    "own": Look(BLACK, "o", "discovered circuit"),
    "shuffled labels": Look(PURPLE, "s", "answers shuffled", LONG_DASHED),
    "untrained": Look(ORANGE, "^", "untrained, resampled", DOTTED),
    "random": Look(GREY, "x", "random scores", DASH_DOTTED),
}
_LABELS = LABELS | {"source": "centre of mass (layer)"}
_NEIGHBOUR = Look(BLUE, "o", "checkpoint before, same people")
_FLOOR = Look(GREEN, "D", "same checkpoint, two samples of people", "", True)
SIGNATURE = {"accuracy": "accuracy (share)", "entropy": "entropy / maximum (share)"}
_SERIES = LOOKS["kind"] | {
    "own": Look(BLACK, "D", "circuit"),
    "shuffled labels": Look(PURPLE, "^", "control: other people's answers", LONG_DASHED),
    "untrained": Look(ORANGE, "v", "control: untrained model", DOTTED),
    "shuffled run": Look(GREY, "x", "control: runs with nothing to learn", DASH_DOTTED),
}
_BENDS = {"onset": (SKY, (0, (2, 1.5))), "knee": (GREEN, (0, (6, 2)))}


@styled
def control_curves(curves: pd.DataFrame, quantity: str = "entropy") -> Figure:
    """A quantity of the circuits over training, own and of every control; means over cells.

    Columns: epoch, control (own, shuffled labels, untrained, random) and ``quantity``:
    entropy_kept or entropy (nats), or source (mean layer of the edges' writers); optional task,
    kind, band (averaged) and profile (one panel each), seed (mean with a 95 % t interval).
    """
    name = "control_curves"
    curves = check(curves, ["epoch", "control", quantity], name)
    figure, axes, cells = split(curves, None, "profile", height=2.3)
    spec = Curves(name, "", colour="control", from_zero=False)
    looks = present(_CONTROLS, curves["control"])
    for axis, part in cells:
        draw_means(axis, part, spec, looks, quantity)
    finish(axes, spec)
    label_outer(axes, EPOCH, [_LABELS.get(quantity, quantity)])
    found: list[Artist] = [line_handle(look) for look in looks.values()]
    legend_below(figure, found + seed_handles(curves))
    return figure


@styled
def consistency(curves: pd.DataFrame, floor: pd.DataFrame) -> Figure:
    """Overlap with the checkpoint before, beside the overlap of two samples of people.

    Columns of ``curves``: epoch, edge_jaccard_previous (share); optional node_jaccard_previous (a
    panel of its own), random_edge_jaccard, random_node_jaccard (two random circuits), task, kind,
    band (averaged), profile (one row each), seed (mean with a 95 % t interval). ``floor``: epoch,
    edge_jaccard, node_jaccard; optional task, kind, band, draw, profile, seed. With one seed the
    floor's bars span the middle 95 % of the draws and cells.
    """
    name = "consistency"
    curves = check(curves, ["epoch", "edge_jaccard_previous"], name)
    floor = check(floor, ["epoch", "edge_jaccard", "node_jaccard"], name)
    kinds = [w for w in ("edge", "node") if f"{w}_jaccard_previous" in curves]
    rows = [*groups(curves, "profile")]
    figure, axes = panels(len(rows), len(kinds), height=2.3)
    for row, (profile, part) in zip(axes, rows, strict=True):
        level = floor if profile is None else floor[floor["profile"] == profile]
        for axis, what in zip(row, kinds, strict=True):
            _neighbours(axis, part, level, what)
            named = f", {label_of('profile', profile)}" if profile else ""
            axis.set_title(f"{what}s{named}")
    finish(axes, Curves(name, ""))
    label_outer(axes, EPOCH, ["Jaccard similarity (share)"] * len(rows))
    found: list[Artist] = [line_handle(_NEIGHBOUR), mark_handle(_FLOOR)]
    if any(f"random_{what}_jaccard" in curves for what in kinds):
        found.append(chance_handle(RANDOM_CIRCUITS))
    legend_below(figure, found + seed_handles(curves))
    return figure


def _neighbours(axis: Axes, curves: pd.DataFrame, floor: pd.DataFrame, what: str) -> None:
    quantity, spec = f"{what}_jaccard_previous", Curves("consistency", "", colour=None)
    draw_means(axis, curves.dropna(subset=[quantity]), spec, {what: _NEIGHBOUR}, quantity)
    level = _spread(floor, f"{what}_jaccard")
    bars = np.abs(level[["low", "high"]].T.to_numpy() - level["value"].to_numpy())
    style = {"color": _FLOOR.colour, "marker": _FLOOR.marker, "markerfacecolor": "white"}
    axis.errorbar(level["epoch"], level["value"], bars, linestyle="", zorder=3, **style)
    chance_curve(axis, curves, f"random_{what}_jaccard")


def _spread(floor: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean of the noise floor per epoch, and its interval over seeds or range over draws."""
    found = seed_means(floor, ["epoch"], column)
    if found["low"].notna().any():
        return found
    bounds = floor.groupby("epoch")[column].quantile([0.025, 0.975]).unstack()
    return found.assign(low=bounds[0.025].to_numpy(), high=bounds[0.975].to_numpy())


@styled
def signature(curves: pd.DataFrame, bends: pd.DataFrame) -> Figure:
    """Accuracy by type of knowledge above circuit entropy and its controls, a column per profile.

    Args:
        curves: profile, quantity (a key of ``SIGNATURE``), series (K_rel, K_compl, own, shuffled
            labels, untrained, shuffled run), epoch, value, low, high, n_seeds; low and high are
            NaN where there are too few seeds for an interval.
        bends: profile, bend (onset or knee of the circuit's entropy), value, low, high: epoch,
            mean over seeds, and the earliest and latest seed. Drawn through both rows, so that
            the reader sees where accuracy is then. May be empty.
    """
    name = "signature"
    keys = ["profile", "quantity", "series", "epoch"]
    curves = check(curves, [*keys, "value", "low", "high", "n_seeds"], name, unique=keys)
    profiles = list(dict.fromkeys(curves["profile"]))
    figure, axes = panels(len(SIGNATURE), len(profiles), height=2.3, sharex="col", sharey=False)
    for i, (quantity, label) in enumerate(SIGNATURE.items()):
        spec = Curves(name, label, colour="series", columns=None, from_zero=quantity == "accuracy")
        for axis, profile in zip(axes[i], profiles, strict=True):
            here = curves[(curves["profile"] == profile) & (curves["quantity"] == quantity)]
            for series, curve in here.groupby("series", sort=False):
                draw_curve(axis, curve, spec, _SERIES[str(series)])
            for bend in bends[bends["profile"] == profile].to_dict("records"):
                axis.axvline(bend["value"], **_bend_style(bend["bend"]))
                colour, _ = _BENDS[bend["bend"]]
                ends = bend["low"], bend["high"]
                axis.axvspan(*ends, color=colour, alpha=0.13, linewidth=0, zorder=1)
        finish(axes[i : i + 1], spec)
        shown = curves[curves["quantity"] == quantity]
        for axis in axes[i]:
            axis.set_ylim(_in_view(shown))
    for axis, profile in zip(axes[0], profiles, strict=True):
        own = (curves["profile"] == profile) & (curves["series"] != "shuffled run")
        n = int(curves.loc[own, "n_seeds"].max())
        axis.set_title(f"{label_of('profile', profile)}, {n} {'seed' if n == 1 else 'seeds'}")
    epochs = "epoch" if len(profiles) > 2 else "epoch of training on new biographies"
    label_outer(axes, epochs, list(SIGNATURE.values()))
    handles = [line_handle(look) for look in present(_SERIES, curves["series"]).values()]
    for bend in (b for b in _BENDS if b in set(bends["bend"])):
        handles.append(Line2D([], [], **_bend_style(bend), label=f"{bend} (shaded: all seeds)"))
    if curves["n_seeds"].max() >= LEAST_SEEDS:
        handles.append(interval_handle(OVER_SEEDS))
    legend_below(figure, handles)
    return figure


def _in_view(curves: pd.DataFrame) -> tuple[float, float]:
    """Limits that hold every mean and every interval that is drawn."""
    drawn = curves[curves["series"] != "shuffled run"]
    shown = pd.concat([curves["value"], drawn["low"], drawn["high"]]).dropna()
    room = 0.05 * (shown.max() - shown.min())
    return shown.min() - room, shown.max() + room


def _bend_style(bend: str) -> dict[str, Any]:
    colour, line = _BENDS[bend]
    return {"color": colour, "linestyle": line, "linewidth": 1.5, "zorder": 1.6}
