"""What attention heads do: mover, relation and mixture heads over training.

The attention heads that say most about the answer, as bars.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from kc_utils.errors import KcError
from kc_utils.plots.canvas import label_outer, legend_below, panels
from kc_utils.plots.curves import Curves, draw_figure
from kc_utils.plots.heat import heat, ink, limits_of
from kc_utils.plots.style import GREY, LIGHT, LOOKS, label_of, styled
from kc_utils.plots.tables import check, check_unique, choose


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
    name = "role_map"
    heads = check(heads, ["epoch", "layer", "head", "role"], name)
    check_unique(heads, ["epoch", "layer", "head"], name)
    if "in_circuit" in heads:
        heads = heads.assign(role=heads["role"].where(heads["in_circuit"].astype(bool)))
    unknown = set(heads["role"].dropna()) - set(LOOKS["role"])
    if unknown:
        raise KcError(f"role_map got role {sorted(unknown)}; allowed are {list(LOOKS['role'])}.")
    chosen = choose(heads, "epoch", epochs, name)
    size = (int(heads["layer"].max()) + 1, int(heads["head"].max()) + 1)
    height = min(7.0, max(2.4, 0.3 * size[0]))
    figure, axes = panels(1, len(chosen), height=height)
    for axis, epoch in zip(axes[0], chosen, strict=True):
        _roles(axis, heads[heads["epoch"] == epoch], size)
        axis.set_title(f"epoch {epoch:g}")
    label_outer(axes, "head (index)", ["layer (deep at top)"])
    looks = LOOKS["role"].items()
    found = [Patch(color=look.colour, label=f"{r[:2]}: {look.label}") for r, look in looks]
    found.append(Patch(facecolor=LIGHT, label="not in the circuit"))
    legend_below(figure, found)
    return figure


def _roles(axis: Axes, part: pd.DataFrame, size: tuple[int, int]) -> None:
    names = list(LOOKS["role"])
    code = part.assign(code=part["role"].map({r: i for i, r in enumerate(names)}))
    grid = code.pivot(index="layer", columns="head", values="code")
    grid = grid.reindex(index=range(size[0]), columns=range(size[1]))
    colours = [LOOKS["role"][r].colour for r in names]
    show_text = size[0] <= 16 and size[1] <= 12
    cmap = mpl.colors.ListedColormap(colours)
    heat(axis, grid, limits=(-0.5, 2.5), cmap=cmap)
    axis.set_facecolor(LIGHT)
    for layer, head, role in part[["layer", "head", "role"]].itertuples(index=False):
        if show_text and isinstance(role, str):
            style = {"ha": "center", "va": "center", "size": 9}
            colour = ink(LOOKS["role"][role].colour)
            axis.text(head + 0.5, layer + 0.5, role[:2], color=colour, **style)


@styled
def mover_layers(movers: pd.DataFrame, label: str = "mover heads (count)") -> Figure:
    """In which layers the mover heads sit, checkpoint by checkpoint.

    Columns: epoch, layer, count (heads); optional kind (one panel each).
    """
    name = "mover_layers"
    movers = check(movers, ["epoch", "layer", "count"], name)
    kinds = [k for k in LOOKS["kind"] if k in set(movers["kind"])] if "kind" in movers else [None]
    check_unique(movers, ["epoch", "layer"] + ["kind"] * ("kind" in movers), name)
    n_layers = movers["layer"].nunique()
    figure, axes = panels(1, len(kinds), height=min(5.0, max(2.4, 0.3 * n_layers)))
    for axis, kind in zip(axes[0], kinds, strict=True):
        part = movers if kind is None else movers[movers["kind"] == kind]
        grid = part.pivot(index="layer", columns="epoch", values="count").sort_index()
        mesh = heat(axis, grid, limits=limits_of(movers["count"], low=0.0))
        axis.set_title(label_of("kind", kind) if kind else "")
    label_outer(axes, "epoch", ["layer (deep at top)"])
    figure.colorbar(mesh, ax=axes, label=label, pad=0.02)
    return figure


TOP_HEADS = 12


@styled
def top_heads(heads: pd.DataFrame, most: int = TOP_HEADS) -> Figure:
    """Direct logit attribution of the ``most`` heads of largest absolute value, largest on top.

    Columns: node (such as a3.h1), total (logits), role (mover, relation, mixture), in_circuit
    (bool). Heads outside of the circuit are hollow.
    """
    heads = check(heads, ["node", "total", "role", "in_circuit"], "top_heads")
    check_unique(heads, ["node"], "top_heads")
    order = heads["total"].abs().sort_values(ascending=False, kind="stable").index[:most]
    heads = heads.loc[order[::-1]].reset_index(drop=True)
    figure, axes = panels(height=0.24 * len(heads) + 0.6)
    axis = axes[0, 0]
    for place, total, role, inside in heads[["total", "role", "in_circuit"]].itertuples():
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
