"""Rank and probability of the right token after every layer (logit lens)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pandas as pd
from matplotlib.figure import Figure

from kc_utils.errors import KcError
from kc_utils.plots.canvas import label_outer, legend_below, line_handle, panels, plain_log
from kc_utils.plots.curves import Curves, draw_curve, select
from kc_utils.plots.heat import heat, limits_of
from kc_utils.plots.style import HEAT, label_of, looks_for, ordered, styled
from kc_utils.plots.tables import check, check_unique, choose

Quantity = Literal["rank", "probability"]
_LAYER = "after layer (0 = embedding)"
_LABELS = {
    "rank": "rank (1 = best, log scale)",
    "probability": "probability (share)",
}


@styled
def logit_lens_rank(lens: pd.DataFrame) -> Figure:
    """Heat map of the right token's rank: layer (deep at top) x epoch, one panel per position.

    Columns: epoch, layer, value (mean log10 rank; the column may also be called log10_rank);
    optional position (last, subject).
    """
    return _map(lens, "rank", "logit_lens_rank")


@styled
def logit_lens_probability(lens: pd.DataFrame) -> Figure:
    """Heat map of the right token's probability: layer (deep at top) x epoch.

    Columns: epoch, layer, value (or a column probability); optional position (last, subject).
    """
    return _map(lens, "probability", "logit_lens_probability")


def _map(lens: pd.DataFrame, quantity: Quantity, name: str) -> Figure:
    lens, positions = _checked(lens, quantity, name)
    n_layers = lens["layer"].nunique()
    figure, axes = panels(1, len(positions), height=min(5.0, max(2.4, 0.28 * n_layers)))
    cmap = f"{HEAT}_r" if quantity == "rank" else HEAT
    limits = limits_of(lens["value"], low=0.0)
    for axis, position in zip(axes[0], positions, strict=True):
        part = select(lens, "position" if position else None, position)
        grid = part.pivot(index="layer", columns="epoch", values="value").sort_index()
        mesh = heat(axis, grid, limits=limits, cmap=cmap)
        axis.set_title(label_of("position", position) if position else "")
    label_outer(axes, "epoch", [_LAYER])
    bar = figure.colorbar(mesh, ax=axes, label=_LABELS[quantity], pad=0.02)
    if quantity == "rank":
        whole = range(int(limits[1]) + 1)
        bar.set_ticks([*whole], labels=[f"{10**i:,}" for i in whole])
        bar.ax.invert_yaxis()
    return figure


@styled
def logit_lens_lines(
    lens: pd.DataFrame, quantity: str = "rank", epochs: Sequence[int | float] | None = None
) -> Figure:
    """Lines over layers for a few checkpoints; by default the first, middle and last.

    Columns: epoch, layer, value (mean log10 rank, or probability; or the columns log10_rank and
    probability); optional position, low, high (in the unit of value).
    """
    name = "logit_lens_lines"
    lens, positions = _checked(lens, quantity, name)
    chosen = choose(lens, "epoch", epochs, name)
    columns = [c for c in ("value", "low", "high") if c in lens]
    if quantity == "rank":
        lens = lens.assign(**{c: 10.0 ** lens[c] for c in columns})
    looks = looks_for("epoch", chosen)
    figure, axes = panels(1, len(positions))
    for axis, position in zip(axes[0], positions, strict=True):
        part = select(lens, "position" if position else None, position)
        for epoch, look in looks.items():
            curve = part[part["epoch"] == epoch]
            draw_curve(axis, curve, Curves(name, "", x="layer"), look)
        axis.set_title(label_of("position", position) if position else "")
        axis.xaxis.get_major_locator().set_params(integer=True)
    if quantity == "rank":
        plain_log(axes[0, 0], "y")
        axes[0, 0].invert_yaxis()
    label_outer(axes, _LAYER, [_LABELS[quantity]])
    found = [line_handle(look) for look in looks.values()]
    for handle, epoch in zip(found, looks, strict=True):
        handle.set_label(f"epoch {epoch:g}")
    legend_below(figure, found)
    return figure


def _checked(lens: pd.DataFrame, quantity: str, name: str) -> tuple[pd.DataFrame, list]:
    if quantity not in _LABELS:
        raise KcError(f"quantity is {quantity!r}; allowed are {', '.join(_LABELS)}.")
    column = {"rank": "log10_rank", "probability": "probability"}[quantity]
    if "value" not in lens and column in lens:
        lens = lens.assign(value=lens[column])
    lens = check(lens, ["epoch", "layer", "value"], name)
    has_position = "position" in lens
    check_unique(lens, ["epoch", "layer"] + ["position"] * has_position, name)
    return lens, ordered("position", lens["position"]) if has_position else [None]
