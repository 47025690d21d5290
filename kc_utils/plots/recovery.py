"""What the missing edges of each class of readers cost, and what they give back."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kc_utils.errors import KcError
from kc_utils.plots.canvas import chance_line, label_outer, legend_below, line_handle, panels
from kc_utils.plots.faithfulness import FAITHFULNESS
from kc_utils.plots.style import BLACK, GREY, LOOKS, label_of, ordered, styled
from kc_utils.plots.tables import check, check_unique

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
