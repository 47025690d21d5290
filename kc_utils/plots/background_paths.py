"""Figures of the background chapters on patching and integrated gradients: values along paths."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from kc_utils.plots.canvas import legend_below, line_handle, panels, plain_log
from kc_utils.plots.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILLION, Look, styled
from kc_utils.plots.tables import check, check_unique

RULES = {
    "k = 1..m": Look(BLUE, "o", "k = 1..m"),
    "k = 0..m-1": Look(ORANGE, "s", "k = 0..m-1", (0, (5, 1.5))),
    "midpoint": Look(GREEN, "^", "midpoint", (0, (1.5, 1.2))),
}
CURVE = Look(BLACK, "", "value")
TANGENT = Look(VERMILLION, "", "tangent at the clean end (EAP)", (0, (5, 1.5)))
CHORD = Look(BLUE, "", "straight line between the ends", (0, (1.5, 1.2)))


@styled
def path_panels(path: pd.DataFrame, xlabel: str, ylabel: str) -> Figure:
    """A value along a path with its tangent at the end, and beside it the slope with its area.

    Columns: share (0 = start, 1 = end, the clean run), value, slope (change of the value over the
    whole way). The area under the slope is the change from start to end.
    """
    path = check(path, ["share", "value", "slope"], "path_panels").sort_values("share")
    figure, axes = panels(1, 2, sharey=False)
    left, right = axes[0]
    share, value, slope = (path[c].to_numpy(float) for c in ("share", "value", "slope"))
    left.plot(share, value, color=CURVE.colour)
    left.plot([0, 1], [value[-1] - slope[-1], value[-1]], color=TANGENT.colour,
              linestyle=TANGENT.line)  # fmt: skip
    left.plot([0, 1], [value[0], value[-1]], color=CHORD.colour, linestyle=CHORD.line)
    left.set(xlabel=xlabel, ylabel=ylabel)
    right.fill_between(share, slope, color=GREY, alpha=0.3, linewidth=0)
    right.plot(share, slope, color=CURVE.colour)
    right.axhline(0, color=BLACK, linewidth=0.8)
    right.axhline(slope[-1], color=TANGENT.colour, linestyle=TANGENT.line)
    right.set(xlabel=xlabel, ylabel="slope (its area is the change)")
    words = (CURVE, TANGENT, CHORD)
    legend_below(figure, [line_handle(look) for look in words])
    return figure


@styled
def response_curves(curves: pd.DataFrame) -> Figure:
    """Effect of an edge against the share of its writer's change that it carries.

    Columns: edge (one panel each), share (0 = clean, 1 = patched), effect (logits), tangent (what a
    gradient at the clean run expects at this share).
    """
    name = "response_curves"
    curves = check(curves, ["edge", "share", "effect", "tangent"], name)
    check_unique(curves, ["edge", "share"], name)
    edges = list(dict.fromkeys(curves["edge"]))
    figure, axes = panels(1, len(edges), sharey=False)
    for axis, edge in zip(axes[0], edges, strict=True):
        part = curves[curves["edge"] == edge]
        axis.plot(part["share"], part["effect"], color=BLACK)
        axis.plot(part["share"], part["tangent"], color=TANGENT.colour, linestyle=TANGENT.line)
        ends = part.iloc[-1]
        axis.plot(1, ends["effect"], color=BLUE, marker="o", markersize=7)
        axis.plot(1, ends["tangent"], color=TANGENT.colour, marker="X", markersize=7)
        axis.axhline(0, color=GREY, linewidth=0.8)
        axis.set(title=edge, xlabel="share of the writer's change")
    axes[0, 0].set_ylabel("effect (logits)")
    dot, cross = Look(BLUE, "o", "exact effect", ""), Look(VERMILLION, "X", "EAP's score", "")
    legend_below(figure, [line_handle(look) for look in (dot, cross, TANGENT)])
    return figure


@styled
def step_errors(errors: pd.DataFrame, ylabel: str) -> Figure:
    """Error against the number of steps, both on log scales, one line per rule.

    Columns: rule, steps, error (not negative; zeros are left out). Optional: panel (columns).
    """
    name = "step_errors"
    errors = check(errors, ["rule", "steps", "error"], name)
    column = "panel" if "panel" in errors else None
    check_unique(errors, [*filter(None, [column]), "rule", "steps"], name)
    titles = list(dict.fromkeys(errors["panel"])) if column else [None]
    figure, axes = panels(1, len(titles), sharey=False)
    for axis, title in zip(axes[0], titles, strict=True):
        shown = errors if title is None else errors[errors["panel"] == title]
        for rule, part in shown.groupby("rule", sort=False):
            look = RULES.get(rule, Look(PURPLE, "D", rule))
            axis.plot(part["steps"], part["error"].where(part["error"] > 0), color=look.colour,
                      marker=look.marker, linestyle=look.line)  # fmt: skip
        plain_log(axis, "x")
        plain_log(axis, "y")
        axis.set(xlabel="steps m", title=title or "")
        steps = np.unique(shown["steps"])
        axis.set_xticks(steps, [str(s) for s in steps])
        axis.minorticks_off()
    axes[0, 0].set_ylabel(ylabel)
    shown = [RULES.get(rule, Look(PURPLE, "D", rule)) for rule in dict.fromkeys(errors["rule"])]
    legend_below(figure, [line_handle(look) for look in shown])
    return figure
