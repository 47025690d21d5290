"""How much of the model's behaviour a circuit keeps, over training and over its size."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from kc_utils.errors import KcError
from kc_utils.plots.canvas import chance_line
from kc_utils.plots.curves import Curves, draw_figure
from kc_utils.plots.style import GREY, styled
from kc_utils.plots.tables import check, table

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
