"""Circuits over training beside what controls and noise give."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kc_utils.analysis.stats.seeds import seed_means
from kc_utils.plots.canvas import (
    chance_handle,
    interval_handle,
    label_outer,
    legend_below,
    line_handle,
    panels,
)
from kc_utils.plots.curves import Curves, draw_curve, finish
from kc_utils.plots.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, Look, ordered, styled
from kc_utils.plots.tables import check

_LOOKS = {
    "own": Look(BLACK, "o", "discovered circuit"),
    "shuffled labels": Look(PURPLE, "s", "answers shuffled", (0, (5, 1.5))),
    "untrained": Look(ORANGE, "^", "untrained, resampled", (0, (1.5, 1.2))),
    "random": Look(GREY, "x", "random scores", (0, (5, 1.5, 1.5, 1.5))),
}
_LABELS = {"entropy": "circuit entropy (nats)", "source": "centre of mass (layer)"}
_NEIGHBOUR = Look(BLUE, "o", "checkpoint before, same people")
_FLOOR = Look(GREEN, "D", "same checkpoint, two samples of people", "", True)


@styled
def control_curves(curves: pd.DataFrame, quantity: str = "entropy") -> Figure:
    """A quantity of the circuits over training, own and of every control; means over cells.

    Columns: epoch, control (own, shuffled labels, untrained, random) and ``quantity``: entropy
    (nats) or source (mean layer of the edges' writers); optional task, kind, band (averaged) and
    profile (one panel each), seed (mean over seeds with a 95 % t interval).
    """
    name = "control_curves"
    curves = check(curves, ["epoch", "control", quantity], name)
    profiles = ordered("profile", curves["profile"]) if "profile" in curves else [None]
    figure, axes = panels(1, len(profiles), height=2.8)
    spec = Curves(name, "", from_zero=False)
    present = [control for control in _LOOKS if control in set(curves["control"])]
    for axis, profile in zip(axes[0], profiles, strict=True):
        part = _of(curves, profile)
        for control in present:
            line = seed_means(part[part["control"] == control], ["epoch"], quantity)
            draw_curve(axis, line, spec, _LOOKS[control])
        axis.set_title(profile or "")
    finish(axes, spec)
    label_outer(axes, spec.xlabel, [_LABELS.get(quantity, quantity)])
    found: list[Artist] = [line_handle(_LOOKS[control]) for control in present]
    legend_below(figure, found + _interval(curves))
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
    profiles = ordered("profile", curves["profile"]) if "profile" in curves else [None]
    figure, axes = panels(len(profiles), len(kinds), height=2.8)
    for row, profile in zip(axes, profiles, strict=True):
        part, level = (_of(t, profile) for t in (curves, floor))
        for axis, what in zip(row, kinds, strict=True):
            _neighbours(axis, part, level, what)
            axis.set_title(f"{what}s, {profile}" if profile else f"{what}s")
    spec = Curves(name, "")
    finish(axes, spec)
    label_outer(axes, spec.xlabel, ["Jaccard similarity (share)"] * len(profiles))
    found: list[Artist] = [line_handle(_NEIGHBOUR), _floor_handle()]
    if any(f"random_{what}_jaccard" in curves for what in kinds):
        found.append(chance_handle("random circuits of the same size"))
    legend_below(figure, found + _interval(curves))
    return figure


def _of(frame: pd.DataFrame, profile: str | None) -> pd.DataFrame:
    return frame if profile is None else frame[frame["profile"] == profile]


def _neighbours(axis: Axes, curves: pd.DataFrame, floor: pd.DataFrame, what: str) -> None:
    following = curves.dropna(subset=[f"{what}_jaccard_previous"])
    line = seed_means(following, ["epoch"], f"{what}_jaccard_previous")
    draw_curve(axis, line, Curves("consistency", ""), _NEIGHBOUR)
    level = _spread(floor, f"{what}_jaccard")
    bars = np.abs(level[["low", "high"]].T.to_numpy() - level["value"].to_numpy())
    style = {"color": _FLOOR.colour, "marker": _FLOOR.marker, "markerfacecolor": "white"}
    axis.errorbar(level["epoch"], level["value"], bars, linestyle="", zorder=3, **style)
    if f"random_{what}_jaccard" in curves:
        chance = curves.groupby("epoch")[f"random_{what}_jaccard"].mean()
        axis.plot(chance.index, chance, color=GREY, linestyle=":", linewidth=1.4, zorder=1.2)


def _spread(floor: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean of the noise floor per epoch, and its interval over seeds or range over draws."""
    found = seed_means(floor, ["epoch"], column)
    if found["low"].notna().any():
        return found
    bounds = floor.groupby("epoch")[column].quantile([0.025, 0.975]).unstack()
    return found.assign(low=bounds[0.025].to_numpy(), high=bounds[0.975].to_numpy())


def _interval(frame: pd.DataFrame) -> list[Artist]:
    several = "seed" in frame and frame["seed"].nunique() > 1
    return [interval_handle("95 % interval over seeds")] if several else []


def _floor_handle() -> Line2D:
    style = {"marker": _FLOOR.marker, "markerfacecolor": "white", "linestyle": ""}
    return Line2D([], [], color=_FLOOR.colour, label=_FLOOR.label, **style)
