"""How much of the model's behaviour a circuit keeps, over training and over its size.

Faithfulness over circuit size with one size marked.

What the missing edges of each class of readers cost, and what they give back.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from kc_utils.errors import KcError
from kc_utils.plots.canvas import chance_line, label_outer, legend_below, line_handle, panels
from kc_utils.plots.curves import Curves, draw_figure
from kc_utils.plots.style import BLACK, GREEN, GREY, LOOKS, label_of, ordered, styled
from kc_utils.plots.tables import check, check_unique, table

FAITHFULNESS = "faithfulness (1 = whole model)"


@styled
def faithfulness_curves(evaluation: pd.DataFrame, cut: tuple[float, float] | None = None) -> Figure:
    """Faithfulness over training: rows are kinds, columns bands, colours ablations.

    Columns: epoch, ablation (corrupted, zero, mean), value; optional kind, band, circuit (own,
    random), low, high. Full lines are the checkpoint's own circuit, dashed ones random circuits.
    ``cut``: lowest and highest value that the axes show.
    """
    spec = Curves(
        "faithfulness_curves",
        FAITHFULNESS,
        colour="ablation",
        line="circuit",
        rows="kind",
        height=2.4,
    )
    return _with_reference(draw_figure(evaluation, spec, ("ablation",)), cut)


@styled
def size_curve(sizes: pd.DataFrame, cut: tuple[float, float] | None = None) -> Figure:
    """f(k): faithfulness of the circuit that keeps the share k of all edges.

    Columns: share (of edges, above 0 for the log axis; rows at 0 are left out), ablation, value;
    optional circuit (own, random, random_per_layer), kind, band, low, high. A curve without any
    defined value (nan) is named as undefined in its panel. ``cut``: lowest and highest value that
    the axes show.
    """
    return plain_size_curve(sizes, cut)


def plain_size_curve(sizes: pd.DataFrame, cut: tuple[float, float] | None = None) -> Figure:
    """:func:`size_curve` before its layout is frozen, for figures that add to it."""
    sizes = check(sizes, ["share", "ablation", "value"], "size_curve")
    sizes = sizes[sizes["share"] > 0]
    if sizes.empty:
        raise KcError("The table of size_curve has no share above 0, which a log axis needs.")
    spec = Curves(
        "size_curve",
        FAITHFULNESS,
        x="share",
        xlabel="share of edges kept (log scale)",
        colour="ablation",
        line="circuit",
        rows="kind",
        log_x=True,
        height=2.9,
    )
    figure = draw_figure(sizes, spec, ("ablation",))
    for axis in figure.axes:
        mark_undefined(axis)
    return _with_reference(figure, cut)


def faithfulness_table(
    frame: pd.DataFrame,
    digits: int = 2,
    names: Mapping[str, str] | None = None,
    caption: str | None = None,
) -> Styler:
    """A table for the reader in which a floating-point cell without a value reads "undefined"."""
    names = names or {}
    floats = [c for c in frame.columns if frame[c].dtype.kind == "f"]
    shown = {names.get(c, str(c).replace("_", " ")): f"{{:.{digits}f}}" for c in floats}
    styler = table(frame, digits, names, caption)
    return styler.format(shown, subset=list(shown), na_rep="undefined", escape="html")


def mark_undefined(axis: Axes) -> None:
    """Say in a panel that a curve is missing because its faithfulness is undefined."""
    curves = [np.asarray(line.get_ydata(), float) for line in axis.lines]
    missing = sum(not np.isfinite(curve).any() for curve in curves)
    if missing == len(curves):
        place = {"transform": axis.transAxes, "ha": "center", "va": "center", "size": 9}
        axis.text(0.5, 0.5, "undefined", color=GREY, **place)
    elif missing:
        place = {"transform": axis.transAxes, "ha": "right", "va": "bottom", "size": 9}
        axis.text(0.98, 0.04, f"{missing} of {len(curves)} undefined", color=GREY, **place)


def _with_reference(figure: Figure, cut: tuple[float, float] | None) -> Figure:
    for axis in figure.axes:
        for level in (0.0, 1.0):
            chance_line(axis, level)
    if cut and figure.axes:  # panels share their axes
        low, high = figure.axes[0].get_ylim()
        figure.axes[0].set_ylim(max(low, cut[0]), min(high, cut[1]))
    return figure


_CUT = (-1.0, 2.0)  # values that the axis shows; single circuits can be far outside


@styled
def chosen_size_curve(sizes: pd.DataFrame, share: float, label: str, smallest: float) -> Figure:
    """:func:`~kc_utils.plots.evaluation.size_curve` of one cell with a line at ``share``.

    ``sizes``: share, ablation, value, circuit. ``label`` is the title. The axis begins at the
    share ``smallest`` for every table, so that curves of different checkpoints can be compared.
    """
    figure = plain_size_curve(sizes, _CUT)
    axis = figure.axes[0]
    axis.axvline(share, color=GREEN, linewidth=2.0, zorder=1.8)
    axis.set_xlim(smallest / 1.25, 1.25)
    axis.set_title(label, color=GREEN, weight="bold")
    return figure


CLASSES = {"qk": "q, k", "v": "v", "mlp": "MLP", "logits": "logits"}
_OFFSET = {"cut": -0.14, "restored": 0.14}


@styled
def recovery_classes(recovery: pd.DataFrame) -> Figure:
    """Faithfulness per class of reader: cut from the model, and restored to the circuit.

    Columns: reader_class (qk, v, mlp, logits; all, whose view ``cut`` is the circuit itself and is
    drawn as a dashed line), view (cut, restored), faithfulness; optional kind (rows), band
    (columns). Every mark hangs from where its view starts: the model (1) or the circuit. A value
    that is nan is named as undefined.
    """
    name = "recovery_classes"
    recovery = check(recovery, ["reader_class", "view", "faithfulness"], name)
    split = {c: c if c in recovery else None for c in ("kind", "band")}
    check_unique(recovery, [*filter(None, split.values()), "reader_class", "view"], name)
    if unknown := set(recovery["reader_class"]) - {*CLASSES, "all"}:
        raise KcError(
            f"{name} got reader_class {sorted(unknown)}; allowed are {[*CLASSES, 'all']}."
        )
    if unknown := set(recovery["view"]) - set(_OFFSET):
        raise KcError(f"{name} got view {sorted(unknown)}; allowed are {list(_OFFSET)}.")
    rows = ordered("kind", recovery["kind"]) if split["kind"] else [None]
    columns = ordered("band", recovery["band"]) if split["band"] else [None]
    figure, axes = panels(len(rows), len(columns), height=2.5)
    for i, kind in enumerate(rows):
        for j, band in enumerate(columns):
            part = recovery if kind is None else recovery[recovery["kind"] == kind]
            part = part if band is None else part[part["band"] == band]
            _panel(axes[i, j], part)
            titles = [("kind", kind), ("band", band)]
            axes[i, j].set_title("\n".join(label_of(c, v) for c, v in titles if v is not None))
    label_outer(axes, "edges into", [FAITHFULNESS] * len(rows))
    handles = [line_handle(look) for look in LOOKS["view"].values()]
    for handle in handles:
        handle.set_linestyle("")
    own = axes[0, 0].plot([], [], color=BLACK, linestyle=(0, (3, 1.4)), label="circuit alone")
    legend_below(figure, [*handles, *own])
    return figure


def _panel(axis: Axes, part: pd.DataFrame) -> None:
    values = part.set_index(["reader_class", "view"])["faithfulness"]
    circuit = float(values.get(("all", "cut"), np.nan))
    for level in (0.0, 1.0):
        chance_line(axis, level)
    if np.isfinite(circuit):
        axis.axhline(circuit, color=BLACK, linestyle=(0, (3, 1.4)), linewidth=1.2, zorder=1.1)
    for x, reader_class in enumerate(CLASSES):
        for view, offset in _OFFSET.items():
            y = float(values.get((reader_class, view), np.nan))
            start = 1.0 if view == "cut" else circuit
            look = LOOKS["view"][view]
            at = x + offset
            axis.plot([at, at], [start, y], color=look.colour, linewidth=2.2, zorder=2)
            axis.plot([at], [y], color=look.colour, marker=look.marker, zorder=2.5)
    if not np.isfinite(values.to_numpy(float)).any():
        place = {"transform": axis.transAxes, "ha": "center", "va": "center", "size": 9}
        axis.text(0.5, 0.5, "undefined", color=GREY, **place)
    axis.set_xticks(range(len(CLASSES)), CLASSES.values())
    axis.set_xlim(-0.5, len(CLASSES) - 0.5)
