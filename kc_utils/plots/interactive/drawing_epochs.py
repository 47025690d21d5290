"""Circuits of many checkpoints in one drawing, with an epoch slider: what came and what went."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from kc_utils.errors import KcError
from kc_utils.plots.interactive.axes import epoch_word
from kc_utils.plots.interactive.drawing import assembled, digits_of, edge_name, ranked_edges
from kc_utils.plots.interactive.drawing_plan import Plan
from kc_utils.plots.interactive.drawing_svg import Edge, Panel, key
from kc_utils.plots.interactive.figure import Drawing, sample
from kc_utils.plots.interactive.frames import controls, embedded, readout
from kc_utils.plots.tables import check

_NAME = "circuit_drawing_epochs"
_REACH = 100  # edges of a checkpoint that the other slider reaches
_WIDE = 720.0  # SVG user units


def circuit_drawing_epochs(
    edges: pd.DataFrame,
    n_layers: int,
    n_heads: int,
    strongest: int = 40,
    alt: str | None = None,
) -> Drawing:
    """The ``strongest`` edges of every checkpoint; a slider goes through the epochs.

    Columns: epoch, source, target (names as in ``a5.h1<q>``), score. Edges and nodes that were not
    among the strongest at the checkpoint before are marked as come; those that no longer are, as
    gone. Width is |score| relative to the strongest edge of the same epoch. A second slider sets
    ``strongest`` and reaches 100 edges. Without a script the last epoch is shown.

    Raises:
        KcError: there are fewer than two epochs, or one of them has a table that
            :func:`~kc_utils.plots.interactive.drawing.circuit_drawing` would refuse.
    """
    edges = check(edges, ["epoch", "source", "target", "score"], _NAME)
    epochs = sorted(float(e) for e in edges["epoch"].unique())
    if len(epochs) < 2:
        raise KcError(f"{_NAME} needs two epochs or more; the table has epoch {epochs[0]:g} only.")
    plan = Plan(n_layers, n_heads, _WIDE)
    panel, told, circuits = drawn_epochs(edges, epochs, plan, strongest, _NAME)
    panel = replace(panel, alt=alt or _alt(panel, epochs, told))
    steps = [epoch_word(epoch) for epoch in epochs]
    frames = {"epochs": epochs, "steps": steps, "told": None, "lines": [], "moves": []} | circuits
    body = f'{readout(told)}<div class="panels">{panel.svg()}</div>'
    return assembled(
        "kc-slides",
        body,
        change_keys(),
        [panel],
        panel.alt,
        before=controls(steps),
        frames=embedded(frames),
    )


def drawn_epochs(
    edges: pd.DataFrame, epochs: list[float], plan: Plan, strongest: int, name: str
) -> tuple[Panel, str, dict[str, list]]:
    """The panel of the last epoch, its sentence, and what the script needs for every epoch.

    An epoch without edges is an empty circuit. ``name`` is the figure that refuses a table.
    """
    reach = max(_REACH, strongest)
    tables = [edges[edges["epoch"] == epoch] for epoch in epochs]
    found = [
        ranked_edges(t[["source", "target", "score"]], plan, strongest, name)[:reach]
        if len(t)
        else []
        for t in tables
    ]
    panel, told = _last(plan, found, epochs, strongest)
    places = {edge_name(e): i for i, e in enumerate(panel.edges)}
    circuits = {
        "circuit": [[[places[edge_name(e)], e.score] for e in ranked] for ranked in found],
        "totals": [float(f"{t['score'].abs().sum():.6g}") for t in tables],
    }
    return panel, told, circuits


def change_keys() -> list[tuple[str, str]]:
    """Legend entries of what stayed, came and went."""
    return [
        (key("kept"), "also at the checkpoint before"),
        (key("new d1"), "came"),
        (key("gone d2"), "went"),
        (_node_key("came"), "node that came"),
        (_node_key("went"), "node that went"),
    ]


def _last(
    plan: Plan, found: list[list[Edge]], epochs: list[float], strongest: int
) -> tuple[Panel, str]:
    """The drawing of the last epoch, with the edges of all others behind it; and its sentence."""
    shown = min(strongest, len(found[-1]))
    before = {edge_name(e): e.rank for e in found[-2]}
    edges = [replace(e, other=before.get(edge_name(e), 0)) for e in found[-1]]
    seen = {edge_name(e) for e in edges}
    others = sorted((e for ranked in found[:-1] for e in ranked), key=lambda e: e.rank)
    for edge in others:
        if edge_name(edge) not in seen:
            seen.add(edge_name(edge))
            other = before.get(edge_name(edge), 0)
            note = f"rank {other} at epoch {epoch_word(epochs[-2])}, not among the strongest now"
            rank = len(edges) + 1
            edges.append(replace(edge, score=0.0, rank=rank, share=0.0, other=other, note=note))
    was = {e.rank for e in edges if 0 < e.other <= strongest}
    now = set(range(1, shown + 1))
    classes = {
        e.rank: "kept" if e.rank in was & now else "gone d2" if e.rank in was else "new d1"
        for e in edges
    }
    changed, told = _changes(plan, edges, now, was, epochs)
    panel = Panel(
        plan, edges, shown, digits_of(edges), classes, {}, "", frozenset(was - now), changed
    )
    return panel, told


def _changes(
    plan: Plan, edges: list[Edge], now: set[int], was: set[int], epochs: list[float]
) -> tuple[dict[str, tuple[str, str]], str]:
    """Nodes that came and went at the last epoch, and what is said about them."""
    here, there = (
        {spot.node: spot for e in edges if e.rank in ranks for spot in (e.source, e.target)}
        for ranks in (now, was)
    )
    since, changed, listed = f"since epoch {epoch_word(epochs[-2])}", {}, []
    for css, some, others in (("came", here, there), ("went", there, here)):
        names = [n for n in some if n not in others and n not in ("input", "logits")]
        names.sort(key=lambda n: (-plan.place(some[n])[1], plan.place(some[n])[0]))
        changed |= {name: (css, f", {css} {since}") for name in names}
        listed.append(", ".join(names) or "none")
    told = (
        f"Epoch {epoch_word(epochs[-1])}: {len(now)} strongest edges. Of these, "
        f"{len(now - was)} came {since}, and {len(was - now)} went. "
        f"Nodes that came: {listed[0]}; that went: {listed[1]}."
    )
    return changed, told


def _alt(panel: Panel, epochs: list[float], told: str) -> str:
    return (
        f"Circuit drawing of {panel.plan.n_layers} layers with {panel.plan.n_heads} heads and a "
        f"slider over {len(epochs)} checkpoints from epoch {epoch_word(epochs[0])} to "
        f"{epoch_word(epochs[-1])}. {told}"
    )


def _node_key(css: str) -> str:
    box = '<rect class="box" x="3" y="1.5" width="24" height="9" rx="4.5"></rect>'
    return sample(f'<g class="{css}">{box}</g>')
