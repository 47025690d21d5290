"""Methods compared where the circuit is known, and by faithfulness over size where it is not."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from kc_utils.plots.canvas import label_outer, legend_below, line_handle, panels, plain_log
from kc_utils.plots.heat import heat
from kc_utils.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    VERMILION,
    Look,
    styled,
)
from kc_utils.plots.tables import check

_RANDOM = Look(GREY, "x", "random", ":")
LOOKS = {
    "eap": Look(ORANGE, "o", "EAP"),
    "eap-ig": Look(BLUE, "s", "EAP-IG"),
    "eap-ig-activations": Look(PURPLE, "^", "EAP-IG, activations"),
    "clean-corrupted": Look(GREEN, "D", "clean and corrupted"),
    "relp": Look(VERMILION, "v", "RelP"),
    "exact": Look(BLACK, "P", "exact patching"),
    "random order": _RANDOM,
    "random circuits": _RANDOM,
}


@styled
def recovery_maps(found: pd.DataFrame, value: str, label: str) -> Figure:
    """``value`` (0 to 1) of every method on every known circuit, one map per level of noise.

    Columns: circuit, method, noise, and ``value``. Rows and columns keep the order of the table.
    """
    found = check(found, ["circuit", "method", "noise", value], "recovery_maps",
                  unique=["circuit", "method", "noise"])  # fmt: skip
    levels = list(dict.fromkeys(found["noise"]))
    methods = list(dict.fromkeys(found["method"]))[::-1]
    circuits = list(dict.fromkeys(found["circuit"]))
    figure, axes = panels(1, len(levels), height=3.1)
    for axis, level in zip(axes[0], levels, strict=True):
        part = found[found["noise"] == level]
        grid = part.pivot(index="method", columns="circuit", values=value)
        grid = grid.reindex(index=methods, columns=circuits)
        grid.index = [_look(method).label for method in methods]
        texts = grid.map("{:.2f}".format).to_numpy()
        mesh = heat(axis, grid, limits=(0.0, 1.0), labels=texts)
        axis.set_title(f"random weights of level {level:g}" if level else "wired weights only")
        axis.tick_params(axis="x", rotation=30)
    figure.colorbar(mesh, ax=axes, label=label, shrink=0.9, pad=0.02)
    return figure


@styled
def roc_curves(curves: pd.DataFrame) -> Figure:
    """True against false positives as edges are added by falling |score|, a panel per circuit.

    Columns: circuit, method, false_positive_rate, true_positive_rate, in the order of the curve.
    """
    needed = ["circuit", "method", "false_positive_rate", "true_positive_rate"]
    curves = check(curves, needed, "roc_curves")
    circuits = list(dict.fromkeys(curves["circuit"]))
    figure, axes = panels(1, len(circuits), height=2.9)
    for axis, circuit in zip(axes[0], circuits, strict=True):
        axis.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
        for method, curve in curves[curves["circuit"] == circuit].groupby("method", sort=False):
            look = _look(method)
            axis.plot(curve["false_positive_rate"], curve["true_positive_rate"],
                      color=look.colour, linestyle=look.line, linewidth=1.6)  # fmt: skip
        axis.set(title=circuit, xlim=(-0.02, 1.02), ylim=(-0.02, 1.05))
    label_outer(axes, "other edges found", ["known edges found"])
    methods = dict.fromkeys(curves["method"])
    legend_below(figure, [line_handle(_look(method)) for method in methods])
    return figure


@styled
def curves_by_method(curves: pd.DataFrame) -> Figure:
    """Faithfulness over the share of edges kept, a line per method and a panel per task.

    Columns: task, method, share (above 0, rising), faithfulness.
    """
    curves = check(curves, ["task", "method", "share", "faithfulness"], "curves_by_method",
                   unique=["task", "method", "share"])  # fmt: skip
    tasks = list(dict.fromkeys(curves["task"]))
    figure, axes = panels(1, len(tasks), height=3.0)
    for axis, task in zip(axes[0], tasks, strict=True):
        for method, curve in curves[curves["task"] == task].groupby("method", sort=False):
            look = _look(method)
            axis.plot(curve["share"], curve["faithfulness"], color=look.colour,
                      marker=look.marker, linestyle=look.line)  # fmt: skip
        axis.axhline(1, color=GREY, linewidth=0.8, zorder=1)
        axis.set_title(task)
        plain_log(axis, "x")
    label_outer(axes, "share of edges kept (log scale)", ["faithfulness"])
    legend_below(figure, [line_handle(_look(m)) for m in dict.fromkeys(curves["method"])])
    return figure


def _look(method: str) -> Look:
    return LOOKS.get(method, Look(GREY, "o", method))
