"""The edges of one prompt by token and layer: inline SVG that answers to pointer and keyboard.

After the attribution graphs of Lindsey et al. (2025), with heads and MLPs instead of features.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from kc_utils.errors import KcError
from kc_utils.plots.interactive.attribution_plan import RADIUS, AttributionPlan, Place
from kc_utils.plots.interactive.drawing import edge_keys, role_keys, roles_of
from kc_utils.plots.interactive.drawing_plan import Plan, Spot, num
from kc_utils.plots.interactive.drawing_svg import (
    Role,
    draw_box,
    draw_marker,
    draw_name,
)
from kc_utils.plots.interactive.figure import Drawing, assemble, legend, sample
from kc_utils.plots.markup import escape
from kc_utils.plots.tables import check

_NAME = "attribution_graph"
_MOST = 64  # tokens of a prompt
_WIDEST, _THINNEST = 10.0, 0.9  # width of edges, SVG units
_SEEN = 0.05  # share of attention from which on a link is drawn
_LINK = 3.0  # width of a link with all of the attention, SVG units
_HINT = "Point at, tap or focus a node or an edge to see its numbers here."
_NODES = (
    ("<circle class='box' cx='15' cy='6' r='5.5'/>", "head, with its number"),
    ("<rect class='box' x='9.5' y='.5' width='11' height='11' rx='2'/>", "MLP"),
)


@dataclass(frozen=True)
class _Edge:
    source: Place
    target: Place
    score: float
    share: float


def attribution_graph(
    edges: pd.DataFrame,
    tokens: Sequence[str],
    n_layers: int,
    n_heads: int,
    links: pd.DataFrame | None = None,
    nodes: pd.DataFrame | None = None,
    answers: tuple[str, str] | None = None,
    alt: str | None = None,
) -> Drawing:
    """Edges of one prompt, each at the token where it is read, with a slider to see fewer.

    A head stands at every token where it reads a key or value and where it writes; a dotted link
    joins the two, as wide as its attention (from 5 % on). All other edges stay in their column.

    Args:
        edges: position (of the reader), source, target (names as in ``a5.h1<q>``), score, share (of
            the total |score|), a row per edge and position.
        tokens: the prompt as text.
        links: node, source, destination (positions), share: attention of a head.
        nodes: node, role (mover, relation, mixture) marks heads.
        answers: the right answer and the corrupted prompt's, for the heading.

    Raises:
        KcError: a column is missing, an edge is repeated, impossible or outside of the graph or the
            prompt, a score is not finite, there are more than 64 tokens, a role is unknown.
    """
    shown = [token.strip() or "␣" for token in tokens]
    if not 1 <= len(shown) <= _MOST:
        raise KcError(f"The prompt has {len(shown)} tokens; 1 to {_MOST} can be drawn.")
    names = Plan(n_layers, n_heads, 0.0)
    found = _edges(edges, len(shown), names)
    roles = roles_of(nodes, names, _NAME)
    places = dict.fromkeys(p for e in found for p in (e.source, _node_of(e.target, names)))
    plan = AttributionPlan(n_layers, shown, places)
    drawn_links = _links(links, places, names)
    largest = abs(found[0].score) or 1.0
    digits = max(0, 4 - math.ceil(math.log10(largest)))
    alt = alt or _alt(found, places, shown)
    marks = [*_axis(plan), *_link_marks(plan, drawn_links), "<g>"]
    marks += [_edge_mark(plan, e, largest) for e in reversed(found)] + ["</g>"]
    order = sorted(places, key=lambda p: (-plan.place(p)[1], plan.place(p)[0]))
    marks += [_node_mark(plan, place, found, roles, digits) for place in order]
    wide = plan.width
    svg = (
        f'<svg class="circuit" viewBox="0 0 {num(wide)} {num(plan.height)}" role="group" '
        f'style="min-width:{0.75 * wide:.0f}px;max-width:{1.35 * wide:.0f}px" '
        f'aria-label="{escape(alt)}">{"".join(marks)}</svg>'
    )
    keys = [*edge_keys("sign"), *((sample(s), words) for s, words in _NODES)]
    if drawn_links:
        keys.append((sample('<path class="link" d="M1 6H29" stroke-width="3"></path>'),
                     "attention of a head, from where it reads to where it writes"))  # fmt: skip
    keys += role_keys(
        roles_drawn := {n: roles[n] for n in roles if n in {p[0].name for p in places}}
    )
    inside = _inside(svg, keys, found, answers, bool(roles_drawn))
    return assemble("kc-drawing tokens", inside, alt, ("drawing", "tokens"), ("drawing",),
                    {"digits": digits})  # fmt: skip


def _inside(
    svg: str,
    keys: list[tuple[str, str]],
    found: list[_Edge],
    answers: tuple[str, str] | None,
    roles: bool,
) -> str:
    n, share = len(found), math.fsum(e.share for e in found)
    heading = (
        f'<p><b class="count">{n}</b> strongest edges'
        + (f" for “{escape(answers[0])}” over “{escape(answers[1])}”" if answers else "")
        + f" (all {n}: {share:.0%} of the total |score|); width = |score|, widest "
        f"{abs(found[0].score):.3g}</p>"
    )
    slider = (
        f'<label class="slide" hidden="hidden">strongest edges <input type="range" min="1" '
        f'max="{n}" value="{n}"/><b class="count">{n}</b></label>'
    )
    return (
        f'{slider}{heading}<div class="panels">{svg}</div>{legend(keys)}'
        f'<p class="say" hidden="hidden">{_HINT}</p>'
    )


def _edges(edges: pd.DataFrame, n_tokens: int, names: Plan) -> list[_Edge]:
    """The edges by size, checked."""
    columns = ["position", "source", "target", "score", "share"]
    edges = check(edges, columns, _NAME, unique=columns[:3])
    found = []
    for row in edges.itertuples():
        source, target = names.spot(row.source), names.spot(row.target)
        names.check_edge(source, target)
        if row.position not in range(n_tokens):
            raise KcError(
                f"The edge {row.source}->{row.target} is read at position {row.position}; the "
                f"prompt has positions 0 to {n_tokens - 1}."
            )
        if not math.isfinite(row.score):
            raise KcError(f"The score of {row.source}->{row.target} is {row.score}, not finite.")
        at = int(row.position)
        found.append(_Edge((source, at), (target, at), float(row.score), float(row.share)))
    return sorted(found, key=lambda e: -abs(e.score))


def _links(
    links: pd.DataFrame | None, places: dict[Place, None], names: Plan
) -> list[tuple[Spot, int, int, float]]:
    """Links between nodes that are drawn, with enough attention to be seen."""
    if links is None or links.empty:
        return []
    keys = ["node", "source", "destination"]
    links = check(links, [*keys, "share"], _NAME, unique=keys)
    found = []
    for row in links.itertuples():
        spot = names.spot(row.node)
        ends = (spot, int(row.source)), (spot, int(row.destination))
        if row.share >= _SEEN and all(end in places for end in ends):
            found.append((spot, ends[0][1], ends[1][1], float(row.share)))
    return found


def _node_of(place: Place, names: Plan) -> Place:
    """The node that a reader belongs to, at the same token."""
    return names.spot(place[0].node), place[1]


def _id(place: Place) -> str:
    """What the script calls a node, or a reader of it."""
    spot, position = place
    port = f"<{spot.port}>" if spot.port else ""
    return f"{spot.node}@{position}{port}"


def _where(plan: AttributionPlan, position: int) -> str:
    return f"at “{plan.tokens[position]}” (token {position + 1})"


def _edge_mark(plan: AttributionPlan, edge: _Edge, largest: float) -> str:
    width = max(_THINNEST, _WIDEST * abs(edge.score) / largest)
    title = (
        f"{edge.source[0].name} → {edge.target[0].name} {_where(plan, edge.source[1])}: score "
        f"{edge.score:+.3g}, {edge.share:.1%} of total |score|"
    )
    return (
        f'<path class="e {"neg d1" if edge.score < 0 else "pos"}" '
        f'd="{plan.curve(edge.source, edge.target)}" stroke-width="{width:.2f}" '
        f'data-s="{_id(edge.source)}" data-t="{escape(_id(edge.target))}" '
        f'data-v="{edge.score:.6g}"><title>{escape(title)}</title></path>'
    )


def _link_marks(plan: AttributionPlan, links: list[tuple[Spot, int, int, float]]) -> list[str]:
    marks = []
    for spot, source, destination, share in links:
        title = (
            f"{spot.name} reads {share:.0%} of what it writes {_where(plan, destination)} "
            f"{_where(plan, source)}"
        )
        marks.append(
            f'<path class="link" d="{plan.link(spot, source, destination)}" '
            f'stroke-width="{max(1.0, _LINK * share):.2f}" data-a="{_id((spot, source))}" '
            f'data-b="{_id((spot, destination))}"><title>{escape(title)}</title></path>'
        )
    return marks


def _node_mark(
    plan: AttributionPlan,
    place: Place,
    edges: list[_Edge],
    roles: dict[str, tuple[str, Role]],
    digits: int,
) -> str:
    spot, position = place
    x, y = plan.place(place)
    role, look = roles.get(spot.name, ("", None))
    name = _id(place)
    into = [e.score for e in edges if _id(e.target).partition("<")[0] == name]
    out = [e.score for e in edges if _id(e.source) == name]
    words = f"{spot.name} {_where(plan, position)}"
    label = escape(
        f"{words}{f', {role}' if role else ''}: edges in {len(into)}, edges out {len(out)}, "
        f"total |score| {math.fsum(map(abs, into + out)):.{digits}f}"
    )
    extra = f' data-r="{escape(role)}"' if role else ""
    return (
        f'<g class="n" data-n="{name}" data-l="{escape(words)}"{extra} '
        f'transform="translate({num(x)} {num(y)})" tabindex="0" role="img" '
        f'aria-label="{label}"><title>{label}</title>{_shape(spot, look)}</g>'
    )


def _shape(spot: Spot, look: Role | None) -> str:
    if spot.kind == "input":
        return draw_box(5.0, 5.0, 2.5)
    if spot.kind == "logits":
        return draw_box(21.0, RADIUS, 4.0) + draw_name("logits")
    if spot.kind == "mlp":
        return draw_box(RADIUS, RADIUS, 2.0) + draw_name("M")
    mark = ""
    if look:
        mark = f'<g class="role {look.css}" transform="translate(-8 -8)">'
        mark += draw_marker(look.marker, 4.5) + "</g>"
    return draw_box(RADIUS, RADIUS, RADIUS) + draw_name(str(spot.head)) + mark


def _axis(plan: AttributionPlan) -> list[str]:
    """Numbers of the layers and the tokens; fine lines where a column has nodes."""
    marks = ['<g class="axis" aria-hidden="true"><text x="2" y="12">layer</text>']
    marks += [
        f'<text class="r" x="26" y="{num(y)}" dy=".35em">{layer}</text>'
        for layer, y in plan.layer_labels()
    ]
    for position, token in enumerate(plan.tokens):
        x, css = plan.middle(position), "r idle" if plan.bare[position] else "r token"
        if not plan.bare[position]:
            marks.append(f'<path class="column" d="M{num(x)} 26V{num(plan.floor + 8)}"></path>')
        at = f"translate({num(x + 4)} {num(plan.floor + 17)}) rotate(-50)"
        marks.append(f'<text class="{css}" transform="{at}">{escape(token)}</text>')
    return [*marks, "</g>"]


def _alt(edges: list[_Edge], places: dict[Place, None], tokens: list[str]) -> str:
    positive, top = sum(e.score >= 0 for e in edges), edges[0]
    columns = len({position for _, position in places})
    return (
        f"Attribution graph of a prompt of {len(tokens)} tokens: {len(edges)} edges join "
        f"{len(places)} nodes at {columns} tokens, {positive} with a positive and "
        f"{len(edges) - positive} with a negative score; the strongest leads from "
        f"{top.source[0].name} to {top.target[0].name} at {tokens[top.source[1]]} "
        f"({top.score:+.3g})."
    )
