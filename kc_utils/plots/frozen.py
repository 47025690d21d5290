"""Frozen circuits in every checkpoint's weights: a panel for each, on the same axes."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kc_utils.plots.canvas import EPOCH, legend_below, line_handle, panels
from kc_utils.plots.curves import Curves, draw_curve, finish
from kc_utils.plots.style import GREY, LOOKS, label_of, ordered, styled
from kc_utils.plots.tables import check, check_known, groups

_BESIDE = ("Own", "Random")  # drawn in every panel
_CELL = {"color": GREY, "linewidth": 0.7, "alpha": 0.55, "zorder": 1.3}


@styled
def aligned_curves(aligned: pd.DataFrame, ylabel: str = "Hit@10 (share)") -> Figure:
    """Performance of frozen circuits (Init, Before, After, Last) over training.

    A column of panels per frozen circuit: thin lines are single cells, the strong one is their
    mean. Means of each checkpoint's own and of random circuits stand in every panel.

    Columns: epoch, aligned (Init, Before, After, Last, Own, Random), value; optional ablation (a
    row of panels each), task, kind, band (the cells).
    """
    name, keys = "aligned_curves", ["ablation", "task", "kind", "band", "aligned", "epoch"]
    aligned = check(aligned, ["epoch", "aligned", "value"], name, unique=keys)
    check_known(aligned["aligned"], LOOKS["aligned"], name)
    frozen = [a for a in ordered("aligned", aligned["aligned"]) if a not in _BESIDE]
    rows = [*groups(aligned, "ablation")]
    figure, axes = panels(len(rows), max(1, len(frozen)), height=1.9)
    for row, (_, part) in zip(axes, rows, strict=True):
        for axis, which in zip(row, frozen or [None], strict=True):
            _panel(axis, part, which)
    for axis, which in zip(axes[0], frozen, strict=False):
        axis.set_title(label_of("aligned", which))
    finish(axes, Curves(name, ylabel))
    for axis in axes[-1]:
        axis.set_xlabel(EPOCH)
    for axis, (ablation, _) in zip(axes[:, 0], rows, strict=True):
        axis.set_ylabel(f"{label_of('ablation', ablation)}\n{ylabel}" if ablation else ylabel)
    _legend(figure, aligned, frozen)
    return figure


def _panel(axis: Axes, part: pd.DataFrame, which: str | None) -> None:
    """The cells of the frozen circuit ``which`` and its mean, between Own and Random."""
    spec, cells = Curves("aligned_curves", ""), [c for c in ("task", "kind", "band") if c in part]
    for name in (*_BESIDE[::-1], which):
        curves = part[part["aligned"] == name]
        if curves.empty:
            continue
        if name == which and cells:
            for _, cell in curves.groupby(cells, observed=True):
                cell = cell.sort_values("epoch")
                axis.plot(cell["epoch"], cell["value"], **_CELL)
        mean = curves.groupby("epoch", as_index=False)["value"].mean()
        draw_curve(axis, mean, spec, LOOKS["aligned"][name])


def _legend(figure: Figure, aligned: pd.DataFrame, frozen: list[str]) -> None:
    shown = [*frozen, *(name for name in _BESIDE if (aligned["aligned"] == name).any())]
    found = [line_handle(LOOKS["aligned"][name]) for name in shown]
    if frozen and {"task", "kind", "band"} & set(aligned):
        found.append(Line2D([], [], **_CELL, label="single cell (type and band)"))
    legend_below(figure, found)
