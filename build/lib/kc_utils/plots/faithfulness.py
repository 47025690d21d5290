"""How much of the model's behaviour a circuit keeps, over training and over its size."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from kc_utils.errors import KcError
from kc_utils.plots.canvas import chance_line
from kc_utils.plots.curves import Curves, draw_figure
from kc_utils.plots.style import styled
from kc_utils.plots.tables import check

FAITHFULNESS = "faithfulness (1 = whole model)"


@styled
def faithfulness_curves(evaluation: pd.DataFrame) -> Figure:
    """Faithfulness over training: rows are kinds, columns bands, colours ablations.

    Columns: epoch, ablation (corrupted, zero, mean), value; optional kind, band, circuit (own,
    random), low, high. Full lines are the checkpoint's own circuit, dashed ones random circuits.
    """
    spec = Curves(
        "faithfulness_curves",
        FAITHFULNESS,
        colour="ablation",
        line="circuit",
        rows="kind",
        height=2.4,
    )
    return _with_reference(draw_figure(evaluation, spec, ("ablation",)))


@styled
def size_curve(sizes: pd.DataFrame) -> Figure:
    """f(k): faithfulness of the circuit that keeps the share k of all edges.

    Columns: share (of edges, above 0 for the log axis; rows at 0 are left out), ablation, value;
    optional circuit (own, random), kind, band, low, high.
    """
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
    return _with_reference(draw_figure(sizes, spec, ("ablation",)))


def _with_reference(figure: Figure) -> Figure:
    for axis in figure.axes:
        for level in (0.0, 1.0):
            chance_line(axis, level)
    return figure
