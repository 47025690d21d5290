"""What parts of a circuit do: roles of heads over training, and the layers where edges start."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from kc_utils.errors import KcError
from kc_utils.plots.canvas import (
    interval_handle,
    label_outer,
    legend_below,
    line_handle,
    panels,
    split,
)
from kc_utils.plots.curves import Curves, draw_curve, draw_figure, epoch_looks
from kc_utils.plots.heat import heat, in_cell, layer_maps
from kc_utils.plots.style import GREY, LIGHT, LOOKS, Look, styled
from kc_utils.plots.tables import check, check_known, choose

RATIO = "edge activation ratio (share)"
TOP_HEADS = 12
_DEPTH = "layer (deep at top)"
_RANDOM = Look(GREY, "", "random circuit of the same size", ":")
_MOST_NAMES = 24  # tokens that fit beside a map


@styled
def role_shares(roles: pd.DataFrame) -> Figure:
    """Share of the circuit's heads that are mover, relation or mixture heads.

    Columns: epoch, role, value (share); optional kind (rows), band (columns), low, high,
    expected (the role's share among all heads of the model, drawn dotted).
    """
    spec = Curves("role_shares", "share of circuit heads", colour="role", rows="kind", height=2.4)
    return draw_figure(roles, spec, ("role",))


@styled
def role_map(heads: pd.DataFrame, epochs: Sequence[int | float] | None = None) -> Figure:
    """Roles on a map of heads (across) and layers (upwards), one panel per checkpoint.

    Columns: epoch, layer, head, role (mover, relation, mixture; None where the head is not in
    the circuit); optional in_circuit (bool), which does the same.
    ``epochs``: which checkpoints; by default the first, middle and last.
    """
    name, keys = "role_map", ["epoch", "layer", "head"]
    heads = check(heads, [*keys, "role"], name, unique=keys)
    if "in_circuit" in heads:
        heads = heads.assign(role=heads["role"].where(heads["in_circuit"].astype(bool)))
    check_known(heads["role"], LOOKS["role"], name)
    chosen = choose(heads, "epoch", epochs, name)
    size = (int(heads["layer"].max()) + 1, int(heads["head"].max()) + 1)
    figure, axes = panels(1, len(chosen), height=min(7.0, max(2.4, 0.3 * size[0])))
    for axis, epoch in zip(axes[0], chosen, strict=True):
        _roles(axis, heads[heads["epoch"] == epoch], size)
        axis.set_title(f"epoch {epoch:g}")
    label_outer(axes, "head (index)", [_DEPTH])
    looks = LOOKS["role"].items()
    found = [Patch(color=look.colour, label=f"{r[:2]}: {look.label}") for r, look in looks]
    found.append(Patch(facecolor=LIGHT, label="not in the circuit"))
    legend_below(figure, found)
    return figure


def _roles(axis: Axes, part: pd.DataFrame, size: tuple[int, int]) -> None:
    code = part.assign(code=part["role"].map({r: i for i, r in enumerate(LOOKS["role"])}))
    grid = code.pivot(index="layer", columns="head", values="code")
    grid = grid.reindex(index=range(size[0]), columns=range(size[1]))
    cmap = mpl.colors.ListedColormap([look.colour for look in LOOKS["role"].values()])
    heat(axis, grid, limits=(-0.5, 2.5), cmap=cmap)
    axis.set_facecolor(LIGHT)
    if size[0] > 16 or size[1] > 12:
        return
    for layer, head, role in part[["layer", "head", "role"]].itertuples(index=False):
        if isinstance(role, str):
            style = in_cell(LOOKS["role"][role].colour)
            axis.text(head + 0.5, layer + 0.5, role[:2], **style)


@styled
def mover_layers(movers: pd.DataFrame, label: str = "mover heads (count)") -> Figure:
    """In which layers the mover heads sit, checkpoint by checkpoint.

    Columns: epoch, layer, count (heads); optional kind (one panel each).
    """
    keys = ["epoch", "layer", "kind"]
    movers = check(movers, ["epoch", "layer", "count"], "mover_layers", unique=keys)
    return layer_maps(movers, "kind", "count", ylabel=_DEPTH, label=label)[0]


@styled
def top_heads(heads: pd.DataFrame, most: int = TOP_HEADS) -> Figure:
    """Direct logit attribution of the ``most`` heads of largest absolute value, largest on top.

    Columns: node (such as a3.h1), total (logits), role (mover, relation, mixture), in_circuit
    (bool). Heads outside of the circuit are hollow.
    """
    needed = ["node", "total", "role", "in_circuit"]
    heads = check(heads, needed, "top_heads", unique=["node"])
    order = heads["total"].abs().sort_values(ascending=False, kind="stable").index[:most]
    heads = heads.loc[order[::-1]].reset_index(drop=True)
    figure, axes = panels(height=0.24 * len(heads) + 0.6)
    axis = axes[0, 0]
    for place, total, role, inside in heads[needed[1:]].itertuples():
        colour = LOOKS["role"][role].colour
        face = colour if inside else "white"
        axis.barh(place, total, height=0.7, color=face, edgecolor=colour, linewidth=1.4)
        side = 1 if total >= 0 else -1
        axis.annotate(
            f"{total:+.3f}", (total, place), xytext=(3 * side, 0), textcoords="offset points",
            va="center", ha="left" if side > 0 else "right", size=9,
        )  # fmt: skip
    axis.set_yticks(range(len(heads)), heads["node"].tolist())
    axis.axvline(0.0, color=GREY, linewidth=0.8)
    axis.margins(x=0.12)
    axis.grid(axis="y", visible=False)
    axis.set_xlabel("direct logit attribution (logits)")
    found = [Patch(color=look.colour, label=look.label) for look in LOOKS["role"].values()]
    found.append(Patch(facecolor="white", edgecolor=GREY, label="hollow: not in the circuit"))
    legend_below(figure, found)
    return figure


@styled
def attention_maps(tokens: Sequence[str], attention: np.ndarray, names: Sequence[str]) -> Figure:
    """Where every position reads from, a map per head, two in a row; sources run to the right.

    Args:
        tokens: words of the axes.
        attention: shape [head, destination, source]; what a position cannot see is grey.
        names: one per head.

    Raises:
        KcError: the shapes do not fit together.
    """
    n = len(tokens)
    if attention.shape != (len(names), n, n) or not n:
        raise KcError(
            f"Attention of shape {attention.shape} does not fit {len(names)} heads and {n} tokens."
        )
    figure, axes = panels(-(-len(names) // 2), min(2, len(names)), height=3.4)
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    unseen = np.triu(np.ones((n, n), dtype=bool), 1)
    for axis, name, pattern in zip(axes.flat, names, attention, strict=False):
        mesh = heat(axis, pd.DataFrame(np.where(unseen, np.nan, pattern)), limits=(0.0, 1.0))
        axis.set_title(name)
        axis.set_ylim(n, 0)
    if n <= _MOST_NAMES:
        for axis in axes[-1]:
            axis.set_xticks(np.arange(n) + 0.5, tokens, rotation=90)
        for axis in axes[:, 0]:
            axis.set_yticks(np.arange(n) + 0.5, tokens)
    figure.supxlabel("source (read from)", size=10)
    figure.supylabel("destination (reads)", size=10)
    figure.colorbar(mesh, ax=axes, label="attention (share)", pad=0.02, shrink=0.6)
    return figure


@styled
def activation_ratio_lines(
    activation: pd.DataFrame, epochs: Sequence[int | float] | None = None, panel: str = "kind"
) -> Figure:
    """Share of the edges leaving each layer that the circuit keeps, for a few checkpoints.

    Columns: epoch, layer, ratio (share); optional ``panel`` (kind or band), and for a random
    circuit of the same size: expected (ratio), low, high. The input node (layer -1) is left out.
    ``epochs``: by default the first, middle and last.
    """
    name = "activation_ratio_lines"
    activation = check(activation, ["epoch", "layer", "ratio"], name)
    chosen = choose(activation, "epoch", epochs, name)
    activation = activation[activation["epoch"].isin(chosen) & (activation["layer"] >= 0)]
    check(activation, ["epoch"], name, unique=["epoch", "layer", panel])
    figure, axes, cells = split(activation, None, panel)
    looks, spec = epoch_looks(chosen), Curves(name, RATIO, x="layer")
    for axis, part in cells:
        if "expected" in part:
            kept = ["layer", "expected", *(c for c in ("low", "high") if c in part)]
            random = part.loc[part["epoch"] == chosen[-1], kept]
            draw_curve(axis, random.rename(columns={"expected": "value"}), spec, _RANDOM)
        for epoch, look in looks.items():
            curve = part.loc[part["epoch"] == epoch, ["layer", "ratio"]]
            draw_curve(axis, curve.rename(columns={"ratio": "value"}), spec, look)
        axis.xaxis.get_major_locator().set_params(integer=True)
    axes[0, 0].set_ylim(bottom=0)
    label_outer(axes, "layer (0 = first)", [RATIO])
    found = [line_handle(look) for look in looks.values()]
    if "expected" in activation:
        found.append(line_handle(_RANDOM))
        if {"low", "high"} <= set(activation):
            found.append(interval_handle("its 95 % interval"))
    legend_below(figure, found)
    return figure


@styled
def centre_of_mass(centres: pd.DataFrame) -> Figure:
    """Mean layer at which the circuit's edges start, beside that of random circuits.

    Columns: epoch, value (layer); optional circuit (own, random), kind, band, low, high. Or wide:
    source (the value), random_source, random_low, random_high.
    """
    if "value" not in centres and "source" in centres:
        centres = _long(centres)
    spec = Curves("centre_of_mass", "centre of mass (layer)", line="circuit", from_zero=False)
    return draw_figure(centres, spec)


def _long(centres: pd.DataFrame) -> pd.DataFrame:
    """Own and random centres as rows; only random ones have an interval."""
    keys = [c for c in ("epoch", "task", "kind", "band") if c in centres]
    own = centres[keys].assign(circuit="own", value=centres["source"])
    if "random_source" not in centres:
        return own
    names = {"random_source": "value", "random_low": "low", "random_high": "high"}
    random = centres[[*keys, *(c for c in names if c in centres)]].rename(columns=names)
    return pd.concat([own, random.assign(circuit="random")], ignore_index=True)
