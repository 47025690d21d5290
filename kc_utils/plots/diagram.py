"""A circuit drawn in place: layers upwards, heads and MLP side by side, edges as curves."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path

from kc_utils.errors import KcError
from kc_utils.plots.canvas import legend_below
from kc_utils.plots.style import BLUE, GREY, LOOKS, NEGATIVE, POSITIVE, VERMILLION, WIDTH, styled
from kc_utils.plots.tables import check, check_unique

_NODE = re.compile(r"(?:a(?P<layer>\d+)\.h(?P<head>\d+)(?:<[qkv]>)?|m(?P<mlp>\d+)|input|logits)$")
_DASHED = (0, (4, 1.6))
_PORT = {"q": -1, "k": 0, "v": 1}


@dataclass(frozen=True)
class Plan:
    """Where nodes stand: x = head index (the MLP after the last head), y = layer."""

    n_layers: int
    n_heads: int
    n_panels: int = 1

    @property
    def named(self) -> bool:
        """Whether names fit into the nodes."""
        return self.n_panels == 1 and self.n_layers <= 12 and self.n_heads <= 9

    @property
    def port(self) -> float:
        """How far beside a head's middle its q and v edges arrive, within the node's mark."""
        points = 7.0 * 72 / self.n_panels / (self.n_heads + 1.2)
        return (10.0 if self.named else 2.0) / points

    @property
    def centre(self) -> float:
        return self.n_heads / 2

    def place(self, name: str) -> tuple[float, float]:
        """Coordinates of the node of ``name`` (a reader's <q>, <k>, <v> is ignored)."""
        match = _NODE.match(name)
        if not match:
            raise KcError(f"{name!r} is no node name such as input, a0.h1, a0.h1<q>, m0 or logits.")
        if name in ("input", "logits"):
            return self.centre, -1.15 if name == "input" else self.n_layers + 0.15
        is_mlp = match["mlp"] is not None
        layer = int(match["mlp"] if is_mlp else match["layer"])
        head = self.n_heads if is_mlp else int(match["head"])
        if layer >= self.n_layers or (not is_mlp and head >= self.n_heads):
            raise KcError(
                f"Node {name!r} is outside of {self.n_layers} layers with {self.n_heads} heads."
            )
        return float(head), layer + 0.28 if is_mlp else float(layer)


@styled
def circuit_diagram(
    edges: pd.DataFrame,
    n_layers: int,
    n_heads: int,
    strongest: int = 40,
    nodes: pd.DataFrame | None = None,
) -> Figure:
    """The ``strongest`` edges by |score|: width = |score|, colour and dashes = sign.

    Columns of ``edges``: source, target (names as in ``a5.h1<q>``), score. ``nodes``: node, role
    (mover, relation, mixture) colours the heads. Every node of the graph is a dot; those with an
    edge are circled and, up to 12 layers of 9 heads, named. Edges arrive at a head as q, k, v from
    left to right.
    """
    name = "circuit_diagram"
    edges = _strongest(edges, strongest, name)
    plan = Plan(n_layers, n_heads)
    figure, axis = _blank(plan)
    looks = {1: (POSITIVE, "-"), -1: (NEGATIVE, _DASHED)}
    largest = float(edges["score"].abs().max()) or 1.0
    for source, target, score in edges[["source", "target", "score"]].itertuples(index=False):
        colour, line = looks[1 if score >= 0 else -1]
        width = 0.5 + 3.3 * abs(score) / largest
        _edge(axis[0], plan, source, target, colour, line, width)
    _nodes(axis[0], plan, edges, _roles(nodes, name))
    found = [_sample(POSITIVE, "-", "positive score"), _sample(NEGATIVE, _DASHED, "negative score")]
    found += [] if nodes is None else _role_handles()
    legend_below(figure, found)
    axis[0].set_title(f"{len(edges)} strongest edges; width = |score|, widest {largest:.2g}")
    return figure


@styled
def circuit_comparison(
    first: pd.DataFrame,
    second: pd.DataFrame,
    n_layers: int,
    n_heads: int,
    strongest: int = 40,
    titles: tuple[str, str] = ("first", "second"),
) -> Figure:
    """The strongest edges of two checkpoints side by side: kept, vanished, appeared.

    Columns of both tables: source, target, score. An edge counts as kept when it is among the
    ``strongest`` of both. Width = |score| relative to the largest of its own checkpoint.
    """
    name = "circuit_comparison"
    tables = [_strongest(t, strongest, name) for t in (first, second)]
    sets = [set(zip(t["source"], t["target"], strict=True)) for t in tables]
    plan = Plan(n_layers, n_heads, n_panels=2)
    figure, axes = _blank(plan)
    own = [(VERMILLION, _DASHED), (BLUE, "-")]
    for i, (axis, edges) in enumerate(zip(axes, tables, strict=True)):
        largest = float(edges["score"].abs().max()) or 1.0
        for source, target, score in edges[["source", "target", "score"]].itertuples(index=False):
            kept = (source, target) in sets[1 - i]
            colour, line = (GREY, "-") if kept else own[i]
            width = 0.5 + 2.3 * abs(score) / largest
            _edge(axis, plan, source, target, colour, line, width)
        _nodes(axis, plan, edges, {})
        only = len(sets[i] - sets[1 - i])
        axis.set_title(f"{titles[i]}: {only} of {len(edges)} edges only here")
    both = len(sets[0] & sets[1])
    found = [_sample(GREY, "-", f"in both ({both})"), _sample(*own[0], "vanished")]
    legend_below(figure, [*found, _sample(*own[1], "appeared")])
    return figure


def _strongest(edges: pd.DataFrame, n: int, name: str) -> pd.DataFrame:
    edges = check(edges, ["source", "target", "score"], name)
    check_unique(edges, ["source", "target"], name)
    if n < 1:
        raise KcError(f"strongest is {n}; it must be at least 1.")
    order = edges["score"].abs().sort_values(ascending=False, kind="stable").index[:n]
    return edges.loc[order[::-1]].reset_index(drop=True)  # strongest drawn last, on top


def _blank(plan: Plan) -> tuple[Figure, list[Axes]]:
    height = min(8.6, max(4.2, (0.74 if plan.n_layers <= 12 else 0.25) * (plan.n_layers + 2)))
    figure = Figure(figsize=(WIDTH, height + 0.7), layout="constrained")
    axes = list(figure.subplots(1, plan.n_panels, sharey=True, squeeze=False)[0])
    for axis in axes:
        axis.set_xlim(-0.6, plan.n_heads + 0.6)
        axis.set_ylim(-1.6, plan.n_layers + 0.6)
        heads = [str(h) for h in range(plan.n_heads)]
        axis.set_xticks(range(plan.n_heads + 1), [*heads, "MLP"])
        axis.grid(axis="x", visible=False)
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
        axis.set_xlabel("head (index) and MLP")
    step = 1 if plan.n_layers <= 16 else 2
    axes[0].set_yticks(range(0, plan.n_layers, step))
    axes[0].set_ylabel("layer (deep at top)")
    return figure, axes


def _edge(
    axis: Axes, plan: Plan, source: str, target: str, colour: str, line: object, width: float
) -> None:
    """A curve that leaves upwards and arrives from below; same-column edges bow aside."""
    x0, y0 = plan.place(source)
    x1, y1 = plan.place(target)
    x1 += plan.port * _PORT[target[-2]] if target.endswith(">") else 0.0
    if source == "input":
        x0 += 0.6 * (x1 - x0)
    if target == "logits":
        x1 += 0.6 * (x0 - x1)
    rise = 0.45 * max(0.6, y1 - y0)
    bow = 0.0
    if abs(x1 - x0) < 0.3 and y1 - y0 > 0.5:
        bow = 0.34 + 0.03 * (y1 - y0)
        bow = bow if x0 < plan.n_heads else -bow
    points = [(x0, y0), (x0 + bow, y0 + rise), (x1 + bow, y1 - rise), (x1, y1)]
    path = Path(points, [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4])
    style = {"linestyle": line, "linewidth": width, "alpha": 0.75, "capstyle": "butt"}
    axis.add_patch(PathPatch(path, facecolor="none", edgecolor=colour, zorder=2, **style))


def _nodes(axis: Axes, plan: Plan, edges: pd.DataFrame, roles: dict) -> None:
    used = {re.sub(r"<[qkv]>$", "", n) for n in [*edges["source"], *edges["target"]]}
    layers = range(plan.n_layers)
    every = [f"a{i}.h{h}" for i in layers for h in range(plan.n_heads)] + [f"m{i}" for i in layers]
    for name in every:
        x, y = plan.place(name)
        marker = "s" if name.startswith("m") else "o"
        look = LOOKS["role"].get(roles.get(name))
        if name not in used:
            axis.plot(x, y, marker=marker, color="#CFCFCF", markersize=3, zorder=1.5)
        elif plan.named:
            face = look.colour if look else "white"
            _box(axis, name, x, y, face, "round,pad=0.25" if marker == "o" else "square,pad=0.3")
        else:
            face = look.colour if look else "white"
            style = {"markeredgecolor": "#333333", "markersize": 5.5, "zorder": 3}
            axis.plot(x, y, marker=marker, color=face, markeredgewidth=1.0, **style)
    for name in ("input", "logits"):
        x, y = plan.place(name)
        half = 0.32 * plan.n_heads
        style = {"facecolor": "#F2F2F2", "edgecolor": "#333333", "zorder": 3, "linewidth": 0.9}
        tall = 0.34 if plan.n_layers <= 12 else 0.8
        box = (x - half, y - tall / 2)
        axis.add_patch(FancyBboxPatch(box, 2 * half, tall, boxstyle="round,pad=0.02", **style))
        axis.text(x, y, name, ha="center", va="center", size=9, zorder=4)


def _box(axis: Axes, name: str, x: float, y: float, face: str, shape: str) -> None:
    dark = face not in ("white",)
    style = {"boxstyle": shape, "facecolor": face, "edgecolor": "#333333", "linewidth": 0.9}
    colour = "white" if dark and face != "#CC79A7" else "black"
    place = {"ha": "center", "va": "center", "size": 9, "zorder": 4}
    axis.text(x, y, name, color=colour, bbox=style, **place)


def _roles(nodes: pd.DataFrame | None, name: str) -> dict[str, str]:
    if nodes is None:
        return {}
    nodes = check(nodes, ["node", "role"], name)
    return dict(zip(nodes["node"], nodes["role"], strict=True))


def _role_handles() -> list[Line2D]:
    looks = LOOKS["role"].values()
    return [
        Line2D([], [], marker="o", linestyle="", color=k.colour, markersize=7, label=k.label)
        for k in looks
    ]


def _sample(colour: str, line: object, label: str) -> Line2D:
    return Line2D([], [], color=colour, linestyle=line, linewidth=2.2, label=label)
