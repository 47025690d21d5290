"""Circuits that a person can read: inline SVG that answers to pointer and keyboard."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from kc_utils.errors import KcError
from kc_utils.plots.interactive.drawing_plan import Plan
from kc_utils.plots.interactive.drawing_svg import Edge, Panel, Role, key
from kc_utils.plots.interactive.figure import Drawing, assemble, legend
from kc_utils.plots.markup import escape
from kc_utils.plots.style import LOOKS
from kc_utils.plots.tables import check

_MOST = 200  # edges that the slider reaches
_WIDE, _NARROW = 720.0, 420.0  # SVG user units
_COLOURS = ("sign", "reader")
_READERS = {"q": "into q", "k": "into k", "v": "into v", "mlp": "into MLP", "logits": "into logits"}
_PORTS = "Edges arrive at a head as q, k, v from left to right."
_HINT = "Point at, tap or focus a node or an edge to see its numbers here."


def circuit_drawing(
    edges: pd.DataFrame,
    n_layers: int,
    n_heads: int,
    strongest: int = 40,
    colour: str = "sign",
    nodes: pd.DataFrame | None = None,
    alt: str | None = None,
) -> Drawing:
    """The ``strongest`` edges by |score| of one circuit, with a slider to see fewer or more.

    Columns of ``edges``: source, target (names as in ``a5.h1<q>``), score. ``colour`` is ``sign``
    or ``reader`` (what an edge feeds: q, k, v, MLP or logits); negative scores are dashed in both.
    ``nodes``: node, role (mover, relation, mixture) marks heads. Width is proportional to |score|
    down to the width of a thin line. The slider reaches 200 edges; ranks and shares are those among
    all rows of ``edges``. Names are inside the nodes where there is room, else in the hover text.

    Raises:
        KcError: a column is missing, an edge is repeated, impossible or outside of the graph, a
            score is not finite, ``strongest`` is below 1, ``colour`` or a role is unknown.
    """
    name = "circuit_drawing"
    if colour not in _COLOURS:
        raise KcError(f"colour is {colour!r}; allowed are {', '.join(_COLOURS)}.")
    plan = Plan(n_layers, n_heads, _WIDE)
    ranked = ranked_edges(edges, plan, strongest, name)
    shown = min(strongest, len(ranked))
    panel = Panel(
        plan, ranked, shown, digits_of(ranked), {e.rank: _class(e, colour) for e in ranked},
        roles_of(nodes, plan, name), "",
    )  # fmt: skip
    panel = replace(panel, alt=alt or _alt(panel))
    keys = edge_keys(colour) + role_keys(panel.roles)
    heading = (
        f'<p><b class="count">{shown}</b> strongest of {len(edges)} edges; width = |score|, '
        f"widest {abs(ranked[0].score):.3g}</p>"
    )
    body = f'{heading}<div class="panels">{panel.svg()}</div>'
    return assembled("", body, keys, [panel], panel.alt)


def circuit_drawing_pair(
    first: pd.DataFrame,
    second: pd.DataFrame,
    n_layers: int,
    n_heads: int,
    strongest: int = 40,
    titles: tuple[str, str] = ("first", "second"),
    alt: str | None = None,
) -> Drawing:
    """Two circuits of one network side by side: edges kept, vanished and appeared.

    Columns of both tables: source, target, score. An edge counts as kept when it is among the
    ``strongest`` of both. Width is |score| relative to the largest of its own table. The slider
    sets ``strongest`` for both. Errors as in :func:`circuit_drawing`.
    """
    name = "circuit_drawing_pair"
    plan = Plan(n_layers, n_heads, _NARROW)
    sides = [ranked_edges(table, plan, strongest, name) for table in (first, second)]
    places = [{edge_name(e): e.rank for e in side} for side in sides]
    sides = [
        [replace(e, other=places[1 - i].get(edge_name(e), 0)) for e in side]
        for i, side in enumerate(sides)
    ]
    digits = max(map(digits_of, sides))
    panels, figures, tallies = [], [], []
    for i, (side, title) in enumerate(zip(sides, titles, strict=True)):
        shown = min(strongest, len(side))
        own = ("gone d2", "new d1")[i]
        classes = {e.rank: "kept" if 0 < e.other <= strongest else own for e in side}
        kept = sum(classes[e.rank] == "kept" for e in side[:shown])
        tally = f"{kept} kept, {shown - kept} {('vanished', 'appeared')[i]}"
        panel = Panel(plan, side, shown, digits, classes, {}, f"{title}: {tally}.")
        figures.append(
            f'<div><p><b>{escape(title)}</b>: <span class="tally">{tally}</span></p>'
            f"{panel.svg()}</div>"
        )
        panels.append(panel)
        tallies.append(f"{title} ({tally})")
    alt = alt or (
        f"Two circuit drawings of {n_layers} layers with {n_heads} heads, up to {strongest} "
        f"strongest edges each: {tallies[0]} and {tallies[1]}."
    )
    heading = (
        '<p>Up to <b class="count">{}</b> strongest edges each; width = |score|, '
        "widest {:.3g} and {:.3g}</p>"
    ).format(max(p.shown for p in panels), *(abs(side[0].score) for side in sides))
    body = f'{heading}<div class="panels">{"".join(figures)}</div>'
    words = ("in both", f"vanished (only {titles[0]})", f"appeared (only {titles[1]})")
    keys = list(zip(map(key, ("kept", "gone d2", "new d1")), words, strict=True))
    return assembled("pair", body, keys, panels, alt)


def ranked_edges(edges: pd.DataFrame, plan: Plan, strongest: int, name: str) -> list[Edge]:
    """The edges that the slider reaches, by rank."""
    edges = check(edges, ["source", "target", "score"], name, unique=["source", "target"])
    if strongest < 1:
        raise KcError(f"strongest is {strongest}; it must be at least 1.")
    scores = edges["score"].astype(float)
    if not (finite := scores.map(math.isfinite)).all():
        row = edges[~finite].iloc[0]
        raise KcError(
            f"The score of {row['source']}->{row['target']} is {row['score']}; it must be finite."
        )
    spots = [tuple(map(plan.spot, e)) for e in zip(edges["source"], edges["target"], strict=True)]
    for source, target in spots:
        plan.check_edge(source, target)
    order = scores.abs().sort_values(ascending=False, kind="stable").index
    total = scores.abs().sum() or 1.0
    return [
        Edge(*spots[i], float(f"{scores[i]:.6g}"), rank, float(abs(scores[i]) / total))
        for rank, i in enumerate(order[: max(_MOST, strongest)], start=1)
    ]


def edge_name(edge: Edge) -> tuple[str, str]:
    return edge.source.name, edge.target.name


def digits_of(edges: list[Edge]) -> int:
    """Decimals that show four digits of the largest score."""
    largest = abs(edges[0].score) or 1.0
    return max(0, 4 - math.ceil(math.log10(largest)))


def _class(edge: Edge, colour: str) -> str:
    negative = edge.score < 0
    if colour == "sign":
        return "neg d1" if negative else "pos"
    return edge.target.reader + (" d1" if negative else "")


def edge_keys(colour: str) -> list[tuple[str, str]]:
    """Legend entries of edges by sign, or by what they feed."""
    if colour == "sign":
        return [(key("pos"), "positive score"), (key("neg d1"), "negative score")]
    keys = [(key(css_class), words) for css_class, words in _READERS.items()]
    return [*keys, (key("d1 logits"), "dashed: negative score")]


def role_keys(roles: Mapping[str, tuple[str, Role]]) -> list[tuple[str, str]]:
    """Legend entries of the roles that occur."""
    looks = {look.css: look for _, look in roles.values()}
    return [(key("", looks[role]), looks[role].label) for role in LOOKS["role"] if role in looks]


def roles_of(nodes: pd.DataFrame | None, plan: Plan, name: str) -> dict[str, tuple[str, Role]]:
    """Role and look of each node that the table gives one; KcError for an unknown node or role."""
    if nodes is None:
        return {}
    nodes = check(nodes, ["node", "role"], name, unique=["node"])
    roles = {}
    for node, role in zip(nodes["node"], nodes["role"], strict=True):
        plan.spot(node)
        if pd.isna(role):
            continue
        if role not in LOOKS["role"]:
            allowed = ", ".join(LOOKS["role"])
            raise KcError(f"The role of node {node!r} is {role!r}; allowed are {allowed}.")
        look = LOOKS["role"][role]
        roles[node] = (role, Role(role, look.marker, look.label))
    return roles


def _alt(panel: Panel) -> str:
    drawn, plan = panel.edges[: panel.shown], panel.plan
    positive = sum(e.score >= 0 for e in drawn)
    names = {s.node for e in drawn for s in (e.source, e.target)}
    top = drawn[0]
    return (
        f"Circuit drawing of {plan.n_layers} layers with {plan.n_heads} heads: the {len(drawn)} "
        f"strongest edges join {len(names)} nodes, {positive} with a positive and "
        f"{len(drawn) - positive} with a negative score; the strongest leads from "
        f"{top.source.name} to {top.target.name} ({top.score:+.3g})."
    )


def assembled(
    kind: str,
    body: str,
    keys: list[tuple[str, str]],
    panels: list[Panel],
    alt: str,
    before: str = "",
    frames: str = "",
    extra_sheets: Sequence[str] = (),
) -> Drawing:
    """Put the parts together; ``before`` stands on top, an epoch slider's ``frames`` at the end."""
    most, shown = max(len(p.edges) for p in panels), max(p.shown for p in panels)
    controls = (
        f'<label class="slide" hidden="hidden">strongest edges <input type="range" min="1" '
        f'max="{min(most, max(_MOST, shown))}" value="{shown}"/>'
        f'<b class="count">{shown}</b></label>'
    )
    inside = (
        f"{before}{controls}{body}{legend(keys)}<p>{_PORTS}</p>"
        f'<p class="say" hidden="hidden">{_HINT}</p>{frames}'
    )
    sheets = ("drawing", "controls", *extra_sheets) if frames else ("drawing",)
    scripts = ("drawing", "slides") if frames else ("drawing",)
    data = {"digits": panels[0].digits}
    return assemble(f"kc-drawing {kind}".strip(), inside, alt, sheets, scripts, data)
