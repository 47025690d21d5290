"""Figures of the background chapters on the residual stream and on circuits."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kc_utils.plots.canvas import legend_below, line_handle, panels, plain_log, whole_numbers
from kc_utils.plots.heat import heat, limits_of
from kc_utils.plots.style import (
    BLACK,
    BLUE,
    GREY,
    LIGHT,
    NEGATIVE,
    ORANGE,
    POSITIVE,
    Look,
    looks_for,
    ordered,
    styled,
)
from kc_utils.plots.tables import check, check_unique

#: White at zero, so that what does nothing is not seen.
SIGNED = mpl.colors.LinearSegmentedColormap.from_list("signed", [NEGATIVE, "#FFFFFF", POSITIVE])
ANSWERS = {
    "right": Look(BLUE, "o", "right answer"),
    "wrong": Look(ORANGE, "s", "the corrupted prompt's answer", (0, (5, 1.5))),
}
_MOST_LABELS = 130  # cells of a map that are numbered


@styled
def contributions(parts: pd.DataFrame) -> Figure:
    """Where the logit difference is written: a map of the parts, and their running total.

    Columns: component, layer (-1: embedding, positions and the final bias), head (-1: none), value
    (logits), as :func:`kc_utils.analysis.head_attribution.component_attribution` gives them.
    """
    name = "contributions"
    parts = check(parts, ["component", "layer", "head", "value"], name)
    check_unique(parts, ["component", "layer", "head"], name)
    inside = parts[parts["layer"] >= 0]
    where = [
        f"h{row.head}" if row.head >= 0 else _short(row.component) for row in inside.itertuples()
    ]
    grid = inside.assign(column=where).pivot(index="layer", columns="column", values="value")
    heads = sorted((c for c in grid if c.startswith("h")), key=lambda c: int(c[1:]))
    grid = grid[[*heads, "MLP", "bias"]]
    figure, axes = panels(1, 2, height=max(2.4, 0.34 * len(grid)), sharex=False, sharey=False)
    largest = max(abs(limit) for limit in limits_of(pd.Series(grid.to_numpy().ravel()))) or 1.0
    texts = _numbers(grid, 2) if grid.size <= _MOST_LABELS / 2 else None
    mesh = heat(axes[0, 0], grid, limits=(-largest, largest), cmap=SIGNED, labels=texts)
    axes[0, 0].set(xlabel="written by", ylabel="layer", title="each part (logits)")
    if texts is None:
        figure.colorbar(mesh, ax=axes[0, 0], pad=0.02)
    _running_total(axes[0, 1], parts)
    return figure


def _running_total(axis: Axes, parts: pd.DataFrame) -> None:
    start = parts[parts["layer"] < 0]["value"].sum()
    layers = parts[parts["layer"] >= 0].groupby("layer")["value"].sum()
    total = start + np.concatenate([[0.0], layers.cumsum()])
    axis.plot(range(len(total)), total, color=BLACK, marker="o")
    axis.axhline(0, color=GREY, linewidth=0.8)
    axis.set(xlabel="after layer (0 = embedding)", ylabel="logit difference so far")
    axis.set_title("running total")
    whole_numbers(axis)


def _short(component: str) -> str:
    return {"mlp": "MLP", "attention bias": "bias"}[component]


@styled
def lens_lines(lens: pd.DataFrame) -> Figure:
    """Rank and probability of two answers after every layer, at the last token.

    Columns: answer (right, wrong), layer, rank (1 = best), probability.
    """
    name = "lens_lines"
    lens = check(lens, ["answer", "layer", "rank", "probability"], name)
    check_unique(lens, ["answer", "layer"], name)
    figure, axes = panels(1, 2, sharey=False)
    for answer in ordered("answer", lens["answer"]):
        look, part = ANSWERS[answer], lens[lens["answer"] == answer]
        for axis, column in zip(axes[0], ("rank", "probability"), strict=True):
            style = {"color": look.colour, "marker": look.marker, "linestyle": look.line}
            axis.plot(part["layer"], part[column], **style)
    plain_log(axes[0, 0], "y")
    axes[0, 0].invert_yaxis()
    axes[0, 0].set_ylabel("rank (1 = best, log scale)")
    axes[0, 1].set_ylabel("probability (share)")
    for axis in axes[0]:
        axis.set_xlabel("after layer (0 = embedding)")
        whole_numbers(axis)
    legend_below(figure, [line_handle(ANSWERS[a]) for a in ordered("answer", lens["answer"])])
    return figure


@styled
def lens_map(probability: pd.DataFrame, words: np.ndarray, tokens: Sequence[str]) -> Figure:
    """The likeliest next token after every layer at every position, coloured by its probability.

    ``probability``: index layer, columns position; ``words`` the token texts in the same shape;
    ``tokens`` the prompt's.
    """
    probability = check(probability, [], "lens_map")
    figure, axes = panels(1, 1, height=max(2.2, 0.34 * len(probability) + 0.8))
    labels = words if probability.size <= _MOST_LABELS else None
    mesh = heat(axes[0, 0], probability, limits=(0.0, 1.0), labels=labels)
    for text in axes[0, 0].texts:
        text.set_size(7.5)
        text.set_text(text.get_text()[:6])
    token_ticks(axes[0, 0], tokens)
    axes[0, 0].set(ylabel="after layer (0 = embedding)", xlabel="token of the prompt")
    figure.colorbar(mesh, ax=axes[0, 0], label="probability (share)", pad=0.02)
    return figure


def token_ticks(axis: Axes, tokens: Sequence[str]) -> None:
    """The prompt's tokens under the cells of a map or the bars of a chart, reading upwards."""
    axis.set_xticks(np.arange(len(tokens)) + 0.5, tokens, rotation=60, ha="right", size=8)
    axis.set_xlim(0, len(tokens))


@styled
def head_tokens(found: pd.DataFrame, tokens: Sequence[str]) -> Figure:
    """One head at the last token: how much it attends to each token, and what it writes from there.

    Columns: position, attention (share), written (logits).
    """
    found = check(found, ["position", "attention", "written"], "head_tokens")
    figure, axes = panels(2, 1, height=1.5, sharey=False)
    at = found["position"] + 0.5
    axes[0, 0].bar(at, found["attention"], color=GREY)
    axes[0, 0].set(ylabel="attention\n(share)", ylim=(0, 1))
    colours = np.where(found["written"] < 0, NEGATIVE, POSITIVE)
    axes[1, 0].bar(at, found["written"], color=colours)
    axes[1, 0].axhline(0, color=BLACK, linewidth=0.8)
    axes[1, 0].set(ylabel="written for the\nanswer (logits)", xlabel="token of the prompt")
    token_ticks(axes[1, 0], tokens)
    return figure


@styled
def faithfulness_bars(found: pd.DataFrame) -> Figure:
    """Faithfulness of several circuits under each ablation; lines at 0 and 1.

    Columns: circuit (rows from the top, in the order of the table), ablation, faithfulness.
    """
    name = "faithfulness_bars"
    found = check(found, ["circuit", "ablation", "faithfulness"], name)
    check_unique(found, ["circuit", "ablation"], name)
    circuits = list(dict.fromkeys(found["circuit"]))[::-1]
    looks = looks_for("ablation", found["ablation"])
    figure, axes = panels(1, 1, height=0.7 + 0.42 * len(circuits))
    axis = axes[0, 0]
    for value in (0, 1):
        axis.axvline(value, color=GREY, linestyle=":", linewidth=1.4)
    for i, (ablation, look) in enumerate(looks.items()):
        part = found[found["ablation"] == ablation].set_index("circuit")["faithfulness"]
        shift = 0.2 * (1 - i)
        axis.plot(part.reindex(circuits), np.arange(len(circuits)) + shift, color=look.colour,
                  marker=look.marker, linestyle="", markersize=6)  # fmt: skip
    axis.set_yticks(range(len(circuits)), circuits)
    axis.set_ylim(-0.6, len(circuits) - 0.4)
    axis.set_xlabel("faithfulness (share of the logit difference restored)")
    handles = [line_handle(look) for look in looks.values()]
    for handle in handles:
        handle.set_linestyle("")
    legend_below(figure, handles)
    return figure


def _numbers(grid: pd.DataFrame, digits: int) -> np.ndarray:
    """The values of a map as text; nothing where they would round to zero."""
    least = 0.5 * 10.0**-digits
    rows = grid.to_numpy(float)
    return np.array([[f"{v:.{digits}f}" if abs(v) >= least else "" for v in row] for row in rows])


@styled
def patching_maps(maps: dict[str, pd.DataFrame], tokens: Sequence[str]) -> Figure:
    """Layer x position maps of patching effects, one above the other, as shares of the whole.

    ``maps``: title to a table with index layer and columns position; 1 is the whole difference
    between the clean and the corrupted run.
    """
    first = check(next(iter(maps.values())), [], "patching_maps")
    figure, axes = panels(len(maps), 1, height=max(1.9, 0.32 * len(first) + 0.5))
    for axis, (title, grid) in zip(axes[:, 0], maps.items(), strict=True):
        labels = None if grid.size > 2 * _MOST_LABELS else _numbers(grid, 1)
        mesh = heat(axis, grid.clip(-1, 1), limits=(-1.0, 1.0), cmap=SIGNED, labels=labels)
        for text in axis.texts:
            text.set_size(7.5)
        axis.set(title=title, ylabel="stream into layer")
        axis.set_yticks(np.arange(len(grid)) + 0.5, [*map(str, range(len(grid) - 1)), "end"])
        axis.tick_params(axis="x", color=LIGHT)
    token_ticks(axes[-1, 0], tokens)
    axes[-1, 0].set_xlabel("token of the prompt")
    figure.colorbar(mesh, ax=axes, label="effect (share of the whole difference)", pad=0.02)
    return figure
