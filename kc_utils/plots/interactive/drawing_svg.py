"""The marks of a circuit drawing as SVG: edges with their facts, nodes, axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kc_utils.plots.interactive.drawing_plan import Plan, Spot, num
from kc_utils.plots.interactive.figure import sample
from kc_utils.plots.markup import escape

_WIDEST, _THINNEST = 6.0, 0.8  # SVG user units
_SHAPES = {"^": "M0-{s}L{s} {s}H-{s}Z", "s": "M-{s}-{s}H{s}V{s}H-{s}Z"}


@dataclass(frozen=True)
class Edge:
    """An edge with its place among all edges of its table (rank 1 = largest |score|)."""

    source: Spot
    target: Spot
    score: float
    rank: int
    share: float  # of the total |score|
    other: int = 0  # its rank in the table it is compared with; 0 when it is not there
    note: str = ""  # said instead of score and rank

    @property
    def title(self) -> str:
        if self.note:
            return f"{self.source.name} → {self.target.name}: {self.note}"
        return (
            f"{self.source.name} → {self.target.name}: score {self.score:+.3g}, "
            f"rank {self.rank}, {self.share:.1%} of total |score|"
        )


@dataclass(frozen=True)
class Role:
    """How a role of heads is drawn: CSS class, marker of the palette, words."""

    css: str
    marker: str
    label: str


@dataclass(frozen=True)
class Panel:
    """One network: its edges by rank, how many of them are shown at first, and its words."""

    plan: Plan
    edges: Sequence[Edge]
    shown: int
    digits: int
    classes: Mapping[int, str]  # rank -> CSS classes of the edge
    roles: Mapping[str, tuple[str, Role]]  # node -> (role, look)
    alt: str
    left: frozenset[int] = frozenset()  # ranks of edges that are drawn beyond those shown
    changed: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # node -> CSS class, words

    def svg(self) -> str:
        """The element ``<svg>``, well-formed XML."""
        size = f"0 0 {num(self.plan.width)} {num(self.plan.height)}"
        marks = [*self._axes(), *self._dots(), "<g>", *self._paths(), "</g>", *self._nodes()]
        return (
            f'<svg class="circuit" viewBox="{size}" role="group" aria-label="{escape(self.alt)}">'
            + "".join(marks)
            + "</svg>"
        )

    def _axes(self) -> list[str]:
        bottom = num(self.plan.height - 3)
        marks = ['<g class="axis" aria-hidden="true"><text x="2" y="12">layer</text>']
        marks += [
            f'<text class="r" x="30" y="{num(y)}" dy=".35em">{layer}</text>'
            for layer, y in self.plan.layer_labels()
        ]
        marks.append(f'<text x="2" y="{bottom}">head</text>')
        marks += [
            f'<text class="c" x="{num(x)}" y="{bottom}">{text}</text>'
            for text, x in self.plan.head_labels()
        ]
        return [*marks, "</g>"]

    def _dots(self) -> list[str]:
        """All nodes of the graph: two paths of dots, since thousands of elements are slow."""
        layers, heads = range(self.plan.n_layers), range(self.plan.n_heads)
        of_heads = [Spot("", "head", i, h) for i in layers for h in heads]
        of_mlps = [Spot("", "mlp", i) for i in layers]
        marks = []
        for css, spots in (("dots", of_heads), ("dots square", of_mlps)):
            places = (self.plan.place(spot) for spot in spots)
            data = "".join(f"M{num(x)} {num(y)}h.01" for x, y in places)
            marks.append(f'<path class="{css}" aria-hidden="true" d="{data}"></path>')
        return marks

    def _paths(self) -> list[str]:
        largest = max((abs(e.score) for e in self.edges), default=0.0) or 1.0
        marks = []
        for edge in reversed(self.edges):  # the strongest on top
            off = edge.rank > self.shown and edge.rank not in self.left
            css = f"e {self.classes[edge.rank]}" + (" off" if off else "")
            width = max(_THINNEST, _WIDEST * abs(edge.score) / largest)
            other = f' data-o="{edge.other}"' if edge.other else ""
            marks.append(
                f'<path class="{css}" d="{self.plan.curve(edge.source, edge.target)}" '
                f'stroke-width="{width:.2f}" data-s="{edge.source.name}" '
                f'data-t="{escape(edge.target.name)}" data-v="{edge.score:g}"{other}>'
                f"<title>{escape(edge.title)}</title></path>"
            )
        return marks

    def _nodes(self) -> list[str]:
        spots = {"input": self.plan.spot("input"), "logits": self.plan.spot("logits")}
        for edge in self.edges:
            spots |= {s.node: self.plan.spot(s.node) for s in (edge.source, edge.target)}
        return [self._node(spot) for _, spot in sorted(spots.items(), key=self._order)]

    def _order(self, item: tuple[str, Spot]) -> tuple[float, float]:
        x, y = self.plan.place(item[1])
        return -y, x

    def _node(self, spot: Spot) -> str:
        x, y = self.plan.place(spot)
        role, look = self.roles.get(spot.node, ("", None))
        drawn = self.edges[: self.shown]
        into = [e.score for e in drawn if e.target.node == spot.node]
        out = [e.score for e in drawn if e.source.node == spot.node]
        bar = spot.kind in ("input", "logits")
        css, words = self.changed.get(spot.node, ("", ""))
        state = f" {css}" if css else "" if bar or into or out else " off"
        total = math.fsum(map(abs, into + out))
        head = f"{spot.node}, {role}" if role else spot.node
        label = escape(
            f"{head}: edges in {len(into)}, edges out {len(out)}, "
            f"total |score| {total:.{self.digits}f}{words}"
        )
        extra = f' data-r="{escape(role)}"' if role else ""
        return (
            f'<g class="n{" bar" if bar else ""}{state}" data-n="{spot.node}"{extra} '
            f'transform="translate({num(x)} {num(y)})" tabindex="0" role="img" '
            f'aria-label="{label}"><title>{label}</title>{self._shape(spot, look)}</g>'
        )

    def _shape(self, spot: Spot, look: Role | None) -> str:
        plan, css = self.plan, look.css if look else ""
        if spot.kind in ("input", "logits"):
            return draw_box(plan.bar, 9.0, 4.0) + draw_name(spot.node)
        if plan.named:
            half, corner = plan.node_width(spot.kind) / 2, plan.half if spot.kind == "head" else 2.0
            mark = ""
            if look:
                at = f"translate({num(1 - half)} {num(1 - plan.half)})"
                mark = f'<g class="role {css}" transform="{at}">{draw_marker(look.marker, 4.0)}</g>'
            return draw_box(half, plan.half, corner) + draw_name(spot.node) + mark
        if spot.kind == "mlp":
            return draw_box(plan.radius, plan.radius, 1.0)
        marker = look.marker if look else "o"
        return f'<g class="{css}">{draw_marker(marker, plan.radius)}</g>'


def key(css: str, look: Role | None = None) -> str:
    """The sample of a legend entry: a line of class ``css``, or the marker of a role."""
    mark = f'<path class="e {css}" d="M1 6H29" stroke-width="3"></path>'
    if look:
        marker = draw_marker(look.marker, 5.0)
        mark = f'<g class="role {look.css}" transform="translate(15 6)">{marker}</g>'
    return sample(mark)


def draw_box(half_width: float, half_height: float, corner: float) -> str:
    """A node as a box around its middle."""
    w, h = half_width, half_height
    return (
        f'<rect class="box" x="{num(-w)}" y="{num(-h)}" width="{num(2 * w)}" '
        f'height="{num(2 * h)}" rx="{num(corner)}"></rect>'
    )


def draw_marker(marker: str, size: float) -> str:
    """A marker of the palette."""
    if marker not in _SHAPES:
        return f'<circle class="box" r="{num(size)}"></circle>'
    return f'<path class="box" d="{_SHAPES[marker].format(s=num(size))}"></path>'


def draw_name(text: str) -> str:
    """The name inside a node."""
    return f'<text dy=".35em">{escape(text)}</text>'
