"""Figures of the background chapters: the residual stream, circuits, patching, gradients."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kc_utils.plots.canvas import (
    legend_below,
    line_handle,
    mark_handle,
    panels,
    plain_log,
    whole_numbers,
)
from kc_utils.plots.heat import heat, limits_of
from kc_utils.plots.logit_lens import LABELS, LAYER
from kc_utils.plots.style import (
    BLACK,
    BLUE,
    DOTTED,
    GREEN,
    GREY,
    LIGHT,
    LONG_DASHED,
    NEGATIVE,
    ORANGE,
    POSITIVE,
    PURPLE,
    VERMILION,
    Look,
    looks_for,
    styled,
)
from kc_utils.plots.tables import check, groups

#: White at zero, so that what does nothing is not seen.
SIGNED = mpl.colors.LinearSegmentedColormap.from_list("signed", [NEGATIVE, "#FFFFFF", POSITIVE])
ANSWERS = {
    "right": Look(BLUE, "o", "right answer"),
    "wrong": Look(ORANGE, "s", "the corrupted prompt's answer", LONG_DASHED),
}
_RULES = {
    "k = 1..m": Look(BLUE, "o", "k = 1..m"),
    "k = 0..m-1": Look(ORANGE, "s", "k = 0..m-1", LONG_DASHED),
    "midpoint": Look(GREEN, "^", "midpoint", DOTTED),
}
_CURVE = Look(BLACK, "", "value")
_TANGENT = Look(VERMILION, "", "tangent at the clean end (EAP)", LONG_DASHED)
_CHORD = Look(BLUE, "", "straight line between the ends", DOTTED)
_MOST_LABELS = 130  # cells of a map that are numbered


@styled
def contributions(parts: pd.DataFrame) -> Figure:
    """Where the logit difference is written: a map of the parts, and their running total.

    Columns: component, layer (-1: embedding, positions and the final bias), head (-1: none), value
    (logits), as :func:`kc_utils.analysis.head_attribution.component_attribution` gives them.
    """
    keys = ["component", "layer", "head"]
    parts = check(parts, [*keys, "value"], "contributions", unique=keys)
    inside = parts[parts["layer"] >= 0]
    short = {"mlp": "MLP", "attention bias": "bias"}
    where = [f"h{r.head}" if r.head >= 0 else short[r.component] for r in inside.itertuples()]
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
    axis.set(xlabel=LAYER, ylabel="logit difference so far")
    axis.set_title("running total")
    whole_numbers(axis)


@styled
def lens_lines(lens: pd.DataFrame) -> Figure:
    """Rank and probability of two answers after every layer, at the last token.

    Columns: answer (right, wrong), layer, rank (1 = best), probability.
    """
    keys = ["answer", "layer"]
    lens = check(lens, [*keys, "rank", "probability"], "lens_lines", unique=keys)
    figure, axes = panels(1, 2, sharey=False)
    for answer, part in groups(lens, "answer"):
        look = ANSWERS[answer]
        for axis, column in zip(axes[0], ("rank", "probability"), strict=True):
            style = {"color": look.colour, "marker": look.marker, "linestyle": look.line}
            axis.plot(part["layer"], part[column], **style)
    plain_log(axes[0, 0], "y")
    axes[0, 0].invert_yaxis()
    for axis, label in zip(axes[0], LABELS.values(), strict=True):
        axis.set(xlabel=LAYER, ylabel=label)
        whole_numbers(axis)
    legend_below(figure, [line_handle(ANSWERS[a]) for a, _ in groups(lens, "answer")])
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
    _token_ticks(axes[0, 0], tokens)
    axes[0, 0].set(ylabel=LAYER, xlabel="token of the prompt")
    figure.colorbar(mesh, ax=axes[0, 0], label=LABELS["probability"], pad=0.02)
    return figure


def _token_ticks(axis: Axes, tokens: Sequence[str]) -> None:
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
    _token_ticks(axes[1, 0], tokens)
    return figure


@styled
def faithfulness_bars(found: pd.DataFrame) -> Figure:
    """Faithfulness of several circuits under each ablation; lines at 0 and 1.

    Columns: circuit (rows from the top, in the order of the table), ablation, faithfulness.
    """
    keys = ["circuit", "ablation"]
    found = check(found, [*keys, "faithfulness"], "faithfulness_bars", unique=keys)
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
    legend_below(figure, [mark_handle(look) for look in looks.values()])
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
    _token_ticks(axes[-1, 0], tokens)
    axes[-1, 0].set_xlabel("token of the prompt")
    figure.colorbar(mesh, ax=axes, label="effect (share of the whole difference)", pad=0.02)
    return figure


@styled
def path_panels(path: pd.DataFrame, xlabel: str, ylabel: str) -> Figure:
    """A value along a path with its tangent at the end, and beside it the slope with its area.

    Columns: share (0 = start, 1 = end, the clean run), value, slope (change of the value over the
    whole way). The area under the slope is the change from start to end.
    """
    path = check(path, ["share", "value", "slope"], "path_panels").sort_values("share")
    figure, axes = panels(1, 2, sharey=False)
    left, right = axes[0]
    share, value, slope = (path[c].to_numpy(float) for c in ("share", "value", "slope"))
    left.plot(share, value, color=_CURVE.colour)
    left.plot([0, 1], [value[-1] - slope[-1], value[-1]], color=_TANGENT.colour,
              linestyle=_TANGENT.line)  # fmt: skip
    left.plot([0, 1], [value[0], value[-1]], color=_CHORD.colour, linestyle=_CHORD.line)
    left.set(xlabel=xlabel, ylabel=ylabel)
    right.fill_between(share, slope, color=GREY, alpha=0.3, linewidth=0)
    right.plot(share, slope, color=_CURVE.colour)
    right.axhline(0, color=BLACK, linewidth=0.8)
    right.axhline(slope[-1], color=_TANGENT.colour, linestyle=_TANGENT.line)
    right.set(xlabel=xlabel, ylabel="slope (its area is the change)")
    legend_below(figure, [line_handle(look) for look in (_CURVE, _TANGENT, _CHORD)])
    return figure


@styled
def response_curves(curves: pd.DataFrame) -> Figure:
    """Effect of an edge against the share of its writer's change that it carries.

    Columns: edge (one panel each), share (0 = clean, 1 = patched), effect (logits), tangent (what a
    gradient at the clean run expects at this share).
    """
    keys = ["edge", "share"]
    curves = check(curves, [*keys, "effect", "tangent"], "response_curves", unique=keys)
    edges = list(dict.fromkeys(curves["edge"]))
    figure, axes = panels(1, len(edges), sharey=False)
    for axis, edge in zip(axes[0], edges, strict=True):
        part = curves[curves["edge"] == edge]
        axis.plot(part["share"], part["effect"], color=BLACK)
        axis.plot(part["share"], part["tangent"], color=_TANGENT.colour, linestyle=_TANGENT.line)
        ends = part.iloc[-1]
        axis.plot(1, ends["effect"], color=BLUE, marker="o", markersize=7)
        axis.plot(1, ends["tangent"], color=_TANGENT.colour, marker="X", markersize=7)
        axis.axhline(0, color=GREY, linewidth=0.8)
        axis.set(title=edge, xlabel="share of the writer's change")
    axes[0, 0].set_ylabel("effect (logits)")
    dot, cross = Look(BLUE, "o", "exact effect", ""), Look(VERMILION, "X", "EAP's score", "")
    legend_below(figure, [line_handle(look) for look in (dot, cross, _TANGENT)])
    return figure


@styled
def step_errors(errors: pd.DataFrame, ylabel: str) -> Figure:
    """Error against the number of steps, both on log scales, one line per rule.

    Columns: rule, steps, error (not negative; zeros are left out). Optional: panel (columns).
    """
    keys = ["panel", "rule", "steps"]
    errors = check(errors, [*keys[1:], "error"], "step_errors", unique=keys)
    titles = list(dict.fromkeys(errors["panel"])) if "panel" in errors else [None]
    figure, axes = panels(1, len(titles), sharey=False)
    for axis, title in zip(axes[0], titles, strict=True):
        shown = errors if title is None else errors[errors["panel"] == title]
        for rule, part in shown.groupby("rule", sort=False):
            look = _rule(rule)
            axis.plot(part["steps"], part["error"].where(part["error"] > 0), color=look.colour,
                      marker=look.marker, linestyle=look.line)  # fmt: skip
        plain_log(axis, "x")
        plain_log(axis, "y")
        axis.set(xlabel="steps m", title=title or "")
        steps = np.unique(shown["steps"])
        axis.set_xticks(steps, [str(s) for s in steps])
        axis.minorticks_off()
    axes[0, 0].set_ylabel(ylabel)
    legend_below(figure, [line_handle(_rule(rule)) for rule in dict.fromkeys(errors["rule"])])
    return figure


def _rule(name: str) -> Look:
    return _RULES.get(name, Look(PURPLE, "D", name))
