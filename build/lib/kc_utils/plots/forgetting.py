"""Training on other facts with a share of the old data replayed."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kc_utils.plots.canvas import label_outer, legend_below, line_handle, panels
from kc_utils.plots.curves import Curves, draw, finish, prepare, select
from kc_utils.plots.style import label_of, looks_for, ordered, styled
from kc_utils.plots.tables import check

_LABELS = {
    "accuracy_old": "accuracy on old facts (share)",
    "accuracy_new": "accuracy on new facts (share)",
    "edge_jaccard": "edge Jaccard with start (share)",
    "entropy": "circuit entropy (nats)",
}


@styled
def forgetting_curves(forgetting: pd.DataFrame, published: pd.DataFrame | None = None) -> Figure:
    """First-token accuracy on old and new facts, one line per replay ratio.

    Columns: ratio (share replayed), step, accuracy_old; optional accuracy_new, variant.
    ``published``: ratio, step, accuracy_old of the paper, drawn as open markers.
    """
    name = "forgetting_curves"
    figure, axes, looks = _grid(forgetting, ["accuracy_old", "accuracy_new"], name)
    found = _handles(looks)
    if published is not None:
        published = check(published, ["ratio", "step", "accuracy_old"], name)
        for axis in axes[0]:
            _published(axis, published, looks)
        style = {"color": "#444444", "marker": "o", "markerfacecolor": "white", "linestyle": ""}
        found.append(Line2D([], [], label="paper (GPT-2, its own steps)", **style))
    legend_below(figure, found)
    return figure


@styled
def elasticity(forgetting: pd.DataFrame) -> Figure:
    """Edge Jaccard with the starting circuit and entropy, one line per replay ratio.

    Columns: ratio, step, edge_jaccard (share); optional entropy (nats), variant.
    """
    figure, _, looks = _grid(forgetting, ["edge_jaccard", "entropy"], "elasticity")
    legend_below(figure, _handles(looks))
    return figure


def _grid(frame: pd.DataFrame, wanted: list[str], name: str) -> tuple[Figure, object, dict]:
    spec = Curves(
        name,
        "",
        y=wanted[0],
        x="step",
        xlabel="step (optimiser steps)",
        colour="ratio",
        columns="variant",
        from_zero=False,
    )
    frame, spec = prepare(frame, spec, ("ratio",))
    rows = [q for q in wanted if q in frame]
    variants = ordered("variant", frame["variant"]) if spec.columns else [None]
    figure, axes = panels(len(rows), len(variants), height=2.2, sharey="row")
    for i, quantity in enumerate(rows):
        for axis, variant in zip(axes[i], variants, strict=True):
            part = select(frame, spec.columns, variant)
            draw(axis, part, replace(spec, y=quantity), frame)
            axis.set_title(label_of("variant", variant) if variant and not i else "")
        finish(axes[i : i + 1], replace(spec, from_zero=quantity != "entropy"))
    label_outer(axes, spec.xlabel, [_LABELS[q] for q in rows])
    return figure, axes, looks_for("ratio", frame["ratio"])


def _handles(looks: dict) -> list[Line2D]:
    named = [replace(look, label=f"replay ratio {ratio:g}") for ratio, look in looks.items()]
    return [line_handle(look) for look in named]


def _published(axis: Axes, published: pd.DataFrame, looks: dict) -> None:
    for ratio, rows in published.groupby("ratio"):
        if ratio in looks:
            style = {"color": looks[ratio].colour, "marker": looks[ratio].marker}
            axis.plot(
                rows["step"],
                rows["accuracy_old"],
                linestyle="",
                markerfacecolor="white",
                markersize=6.5,
                **style,
            )
