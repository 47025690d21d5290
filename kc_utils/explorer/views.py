"""The views of the explorer: a figure or a table for a circuit, or for a typed prompt.

Each view names the controls that it depends on, so that a change draws no more than it must.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from matplotlib import colormaps
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from kc_utils.circuits.circuit import strongest_edges
from kc_utils.circuits.metrics import rank
from kc_utils.errors import KcError
from kc_utils.explorer.curve import curve_rows
from kc_utils.explorer.data import Choice, RunData
from kc_utils.explorer.html import Attention, Words
from kc_utils.plots import Drawing, circuit_drawing, logit_lens_lines, table
from kc_utils.plots.components import top_heads
from kc_utils.plots.evaluation import chosen_size_curve
from kc_utils.plots.heat import ink
from kc_utils.plots.markup import escape
from kc_utils.plots.style import HEAT, SKY

_DRAWN = 40  # edges that a drawing shows at first
_EDGES = 25  # rows of the table of edges
_CELL = ("task", "kind", "band", "step")


@dataclass(frozen=True)
class View:
    """A view: how it is drawn, the controls it depends on, and its alt text."""

    draw: Callable[[RunData, Choice], Any]
    fields: tuple[str, ...]
    alt: str = ""

    def alt_text(self, data: RunData, choice: Choice) -> str:
        """What a figure of this view shows, in a sentence."""
        what = f"{choice.task}, {choice.kind}, band {choice.band}"
        return self.alt.format(what=what, epoch=f"{data.epoch(choice.step):g}", choice=choice)


def circuit(data: RunData, choice: Choice) -> Drawing:
    """Drawing of the chosen circuit, heads marked by their role where the run knows it."""
    found = data.circuit(choice)
    if not found.n_edges:
        raise KcError(
            f"Of the {choice.n:,} strongest edges none is left after pruning: they do not join up; "
            "choose a larger n."
        )
    edges = strongest_edges(data.score(choice), found, found.n_edges)
    try:
        nodes = _heads(data, choice)[["node", "role"]]
    except KcError:
        nodes = None
    shape = (data.graph.n_layers, data.graph.n_heads)
    return circuit_drawing(edges, *shape, strongest=min(_DRAWN, len(edges)), nodes=nodes)


def curve(data: RunData, choice: Choice) -> Figure:
    """Faithfulness over circuit size; the chosen size is marked."""
    rows = curve_rows(data, choice)
    if rows.empty:
        raise KcError(
            f"Run {data.run.name!r} has not evaluated this circuit with the ablation "
            f"{choice.ablation!r}; measure it."
        )
    share = choice.n / data.graph.n_edges
    exact = rows[(rows["n"] == choice.n) & (rows["circuit"] == "own")]["value"]
    value = f", F = {exact.iloc[0]:.2f}" if len(exact) else ""
    label = f"n = {choice.n:,} of {data.graph.n_edges:,} edges{value}"
    table = rows[["share", "circuit", "ablation", "value"]]
    return chosen_size_curve(table, share, label, 1 / data.graph.n_edges)


def heads(data: RunData, choice: Choice) -> Figure:
    """The heads that say most about the answer."""
    return top_heads(_heads(data, choice))


def head_table(data: RunData, choice: Choice) -> Styler:
    """The same heads in numbers."""
    found = _heads(data, choice)
    order = found["total"].abs().sort_values(ascending=False, kind="stable").index[:12]
    columns = ["node", "layer", "role", "total", "subject", "relation", "in_circuit"]
    rows = found.loc[order, columns].assign(
        in_circuit=lambda t: t["in_circuit"].map({True: "yes", False: "no"})
    )
    names = {"node": "head", "total": "attribution (logits)", "subject": "subject part",
             "relation": "relation part", "in_circuit": "in circuit"}  # fmt: skip
    return table(rows, 3, names)


def lens(data: RunData, choice: Choice) -> Figure:
    """Rank of the right first token after every layer, over the evaluation people."""
    rows = _rows(data.table("logit_lens"), choice)
    return logit_lens_lines(rows.drop(columns=["log10_rank_sd"]), "rank", [rows["epoch"].iloc[0]])


def lens_table(data: RunData, choice: Choice) -> Styler:
    """The same in numbers, with the mean probability of the right first token."""
    rows = _rows(data.table("logit_lens"), choice)
    rows = rows.assign(rank=10 ** rows["log10_rank"])
    wide = rows.pivot(index="layer", columns="position", values=["rank", "probability"])
    wide = wide.sort_index(axis=1, level=1, sort_remaining=False)
    digits = {f"{value}, {position}": 1 if value == "rank" else 4 for value, position in wide}
    return table(wide.set_axis(list(digits), axis=1).reset_index(), digits)


def edges(data: RunData, choice: Choice) -> Styler:
    """The strongest edges of the chosen circuit."""
    found = data.circuit(choice)
    rows = strongest_edges(data.score(choice), found, _EDGES)
    if rows.empty:
        raise KcError("No edge is left after pruning; choose a larger n.")
    rows = rows.assign(rank=range(1, len(rows) + 1))[["rank", "source", "target", "score"]]
    note = f"{len(rows)} strongest of {found.n_edges:,} edges that pruning left of {choice.n:,}"
    return table(rows, 4, {"source": "writer", "target": "reader"}, caption=note)


def _heads(data: RunData, choice: Choice) -> pd.DataFrame:
    """All heads of the chosen cell and checkpoint; in_circuit belongs to the chosen n."""
    rows = _rows(data.table("head_roles"), choice)
    node = "a" + rows["layer"].astype(str) + ".h" + rows["head"].astype(str)
    return rows.assign(node=node, in_circuit=node.isin(set(data.circuit(choice).nodes)))


def _rows(rows: pd.DataFrame, choice: Choice) -> pd.DataFrame:
    for name, value in zip(_CELL, choice.of(_CELL), strict=True):
        rows = rows[rows[name] == value]
    if rows.empty:
        raise KcError(f"The run has no rows for {choice.cell.name} at checkpoint {choice.step}.")
    return rows


def tokens(data: RunData, choice: Choice) -> Words:
    """The prompt as the model gets it; the right answer where it is a query of this run."""
    reading = data.reading(choice)
    parts = "".join(f"<code>{escape(token)}</code> " for token in reading.tokens)
    count = "1 token" if len(reading.tokens) == 1 else f"{len(reading.tokens)} tokens"
    answer = _right_answer(data, choice)
    return Words(f"<p>{count}: {parts}</p>" + (f"<p>{escape(answer)}</p>" if answer else ""))


def next_tokens(data: RunData, choice: Choice) -> Styler:
    """The ten likeliest next tokens."""
    styler = table(data.reading(choice).top, 4)
    return styler.bar(subset=["probability"], color=SKY, vmin=0.0, vmax=1.0, width=90)


def _right_answer(data: RunData, choice: Choice) -> str:
    reading, pairs = data.reading(choice), data.pairs()
    asked = pairs[pairs["clean"] == choice.prompt]
    if asked.empty:
        return ""
    row = asked.iloc[0]
    place = float(rank(reading.logits[None], torch.tensor([int(row["right_id"])]))) + 1
    chance = float(reading.logits.softmax(-1)[int(row["right_id"])])
    return (
        f"The biographies say {row['right']!r}; the first token of this answer has rank "
        f"{place:,g} and probability {chance:.4f}."
    )


def prompt_lens(data: RunData, choice: Choice) -> Styler:
    """The likeliest next token at every position after every layer, deep layers on top.

    Cells are coloured by its probability.
    """
    reading = data.reading(choice)
    cells = [f"{i + 1} {token}" for i, token in enumerate(reading.tokens)]
    grids = {
        value: reading.lens.pivot(index="layer", columns="position", values=value)
        .sort_index(ascending=False)
        .set_axis(cells, axis=1)
        for value in ("token", "probability")
    }
    colours = grids["probability"].map(_colour)
    layers = ["embedding" if i == 0 else f"after layer {i}" for i in grids["token"].index]
    words = grids["token"].assign(layer=layers)[["layer", *cells]].reset_index(drop=True)
    shades = colours.reset_index(drop=True).assign(layer="")[["layer", *cells]]
    caption = "Likeliest next token; dark blue: probability near 0, yellow: near 1"
    return table(words, caption=caption).apply(lambda _: shades, axis=None)


def _colour(probability: float) -> str:
    colour = to_hex(colormaps[HEAT](probability))
    return f"background-color: {colour}; color: {ink(colour)}"


def attention(data: RunData, choice: Choice) -> Attention:
    """Attention patterns of the chosen layer."""
    reading = data.reading(choice)
    return Attention(reading.tokens, reading.attention[choice.layer], choice.layer)


VIEWS: dict[str, View] = {
    "circuit": View(circuit, (*_CELL, "n")),
    "curve": View(
        curve,
        (*_CELL, "n", "ablation"),
        "Line chart of faithfulness against the share of edges kept, ablation {choice.ablation}, "
        "for {what} at epoch {epoch}, with a green line at the chosen n of {choice.n} edges.",
    ),
    "heads": View(
        heads,
        (*_CELL, "n"),
        "Bar chart of the direct logit attribution of the heads that say most about the answer, "
        "coloured by role, for {what} at epoch {epoch}; the table beside it holds the numbers.",
    ),
    "head_table": View(head_table, (*_CELL, "n")),
    "lens": View(
        lens,
        _CELL,
        "Line charts of the rank of the right first token after every layer, one panel for "
        "the last and one for the best subject position, for {what} at epoch {epoch}.",
    ),
    "lens_table": View(lens_table, _CELL),
    "edges": View(edges, (*_CELL, "n")),
    "tokens": View(tokens, ("step", "prompt")),
    "next_tokens": View(next_tokens, ("step", "prompt")),
    "prompt_lens": View(prompt_lens, ("step", "prompt")),
    "attention": View(
        attention,
        ("step", "prompt", "layer"),
        "Attention patterns of the heads of layer {choice.layer} on the typed prompt at epoch "
        "{epoch}.",
    ),
}
