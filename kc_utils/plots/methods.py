"""Edge scores: how they are distributed, how right each method is, where in a prompt they lie."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullLocator

from kc_utils.errors import KcError
from kc_utils.plots.canvas import (
    label_outer,
    legend_below,
    line_handle,
    panels,
    plain_log,
    split,
)
from kc_utils.plots.heat import heat
from kc_utils.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    Look,
    label_of,
    looks_for,
    styled,
)
from kc_utils.plots.tables import check, check_known, groups

EXACT, SCORE = "exact effect (logits)", "score (logits)"
READERS = {
    "q": Look(BLUE, "o", "into q", "", hollow=True),
    "k": Look(VERMILION, "s", "into k", "", hollow=True),
    "v": Look(GREEN, "^", "into v", "", hollow=True),
    "mlp": Look(PURPLE, "D", "into MLP", "", hollow=True),
    "logits": Look(BLACK, "v", "into logits", "", hollow=True),
}
NAMES = {"mlp": "MLP"}
POSITIONS = {"subject": (SKY, ""), "relation": (ORANGE, "//"), "last": (GREY, "..")}
WHOLE = {"all": "all edges", "tokens": "tokens of the prompt"}
_COLUMNS = 4  # of panels
_POINTS = 400  # of a curve
_DECADES = 4
_DPI = 200  # of the marks


@styled
def score_distribution(
    scores: pd.DataFrame, series: str = "epoch", top_n: int | None = None
) -> Figure:
    """Share of the total |score| that the k strongest edges carry, for k on a log axis.

    Columns: score (one row per edge); optional ``series`` (one curve each; the legend names a
    number as "epoch 5", a text as it is). ``top_n`` marks the size of the circuit.
    """
    scores = check(scores, ["score"], "score_distribution")
    looks = {None: Look(BLUE, "o", "all edges")}
    if series in scores:
        looks = looks_for(series, scores[series])
    figure, axes = panels(height=3.0)
    axis = axes[0, 0]
    found = []
    for name, part in groups(scores, series):
        look = looks[name]
        x, y = _cumulative(part["score"].to_numpy(float))
        style = {"color": look.colour, "marker": look.marker, "linestyle": look.line}
        axis.plot(x, y, markevery=max(1, len(x) // 10), **style)
        text = f"{series} {look.label}" if isinstance(name, (int, float)) else look.label
        found.append(line_handle(replace(look, label=text)))
    if top_n is not None:
        found.append(axis.axvline(top_n, color=BLACK, linestyle="--", linewidth=1.1))
        found[-1].set_label(f"circuit: {top_n:,} edges")
    plain_log(axis, "x")
    axis.set_ylim(0, 1.02)
    axis.set_xlabel("k strongest edges (count, log scale)")
    axis.set_ylabel("share of total |score|")
    legend_below(figure, found)
    return figure


def _cumulative(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    sizes = np.sort(np.abs(scores[np.isfinite(scores)]))[::-1]
    if not sizes.sum() > 0:
        raise KcError("score_distribution needs at least one edge with a score other than 0.")
    share = np.cumsum(sizes) / sizes.sum()
    points = np.unique(np.geomspace(1, len(sizes), _POINTS).round().astype(int))
    return points, share[points - 1]


@styled
def method_scatter(edges: pd.DataFrame) -> Figure:
    """Score against exact effect of every edge, one panel per method, on the diagonal if equal.

    Columns: method, reader_kind (q, k, v, mlp, logits), score, exact (both in logits). Both axes
    are linear around zero and logarithmic beyond, with the same limits in all panels. The marks are
    the one part that is drawn as pixels: thousands of them would make a heavy page.
    """
    name = "method_scatter"
    edges = check(edges, ["method", "reader_kind", "score", "exact"], name)
    check_known(edges["reader_kind"], READERS, name)
    largest = float(np.nanmax(np.abs(edges[["score", "exact"]].to_numpy(float))))
    if not largest > 0:
        raise KcError(f"{name} needs at least one edge with a score or effect other than 0.")
    methods = list(dict.fromkeys(edges["method"]))
    columns = min(_COLUMNS, len(methods))
    figure, axes = panels(-(-len(methods) // columns), columns, height=1.95)
    figure.set_dpi(_DPI)
    linear = 10.0 ** (np.ceil(np.log10(largest)) - _DECADES)
    for axis, method in zip(axes.flat, methods, strict=False):
        _symmetric(axis, linear, largest)
        _points(axis, edges[edges["method"] == method])
        axis.set_title(method)
    label_outer(axes, EXACT, [SCORE] * len(axes))
    for i in range(len(methods), axes.size):  # the panel above an empty place is the lowest one
        axes.flat[i].set_visible(False)
        axes.flat[i - columns].tick_params(labelbottom=True)
        axes.flat[i - columns].set_xlabel(EXACT)
    shown = ordered_readers(edges["reader_kind"])
    legend_below(figure, [line_handle(READERS[kind]) for kind in shown])
    return figure


@styled
def method_readers(by_reader: pd.DataFrame) -> Figure:
    """Correlation of each method with exact patching, by what the edges are read by.

    Columns: method, reader_kind, pearson, spearman; optional kind (panel columns). Grey without a
    number: no correlation, as all scores of that group are equal.
    """
    name = "method_readers"
    needed, keys = ["method", "reader_kind", "pearson", "spearman"], ["method", "reader_kind"]
    by_reader = check(by_reader, needed, name, unique=["kind", *keys])
    check_known(by_reader["reader_kind"], READERS, name)
    kinds = [*groups(by_reader, "kind")]
    methods = list(dict.fromkeys(by_reader["method"]))[::-1]
    readers = ordered_readers(by_reader["reader_kind"])
    figure, axes = panels(2, len(kinds), height=0.5 + 0.26 * len(methods))
    for row, measure in zip(axes, ("pearson", "spearman"), strict=True):
        for axis, (kind, part) in zip(row, kinds, strict=True):
            cells = part.pivot(index="method", columns="reader_kind", values=measure)
            cells = cells.reindex(index=methods, columns=readers).rename(columns=NAMES)
            texts = np.array([[f"{v:.2f}" for v in line] for line in cells.to_numpy(float)])
            mesh = heat(axis, cells.clip(0, 1), limits=(0.0, 1.0), labels=texts)
            title = f"{measure.capitalize()} correlation"
            axis.set_title(title if kind is None else f"{title}\n{label_of('kind', kind)}")
    for axis in axes[-1]:
        axis.set_xlabel("edges into")
    label = "correlation with exact patching\n(below 0 as 0)"
    figure.colorbar(mesh, ax=axes, label=label, shrink=0.8, pad=0.02)
    return figure


@styled
def position_shares(shares: pd.DataFrame) -> Figure:
    """Share of the scores' sizes at each group of tokens, as bars that add up to 1.

    Columns: position (subject, relation, last), reader_kind (also "all" for all edges and "tokens"
    for the number of tokens), value; optional kind (panels).
    """
    name, keys = "position_shares", ["reader_kind", "position"]
    shares = check(shares, [*keys, "value"], name, unique=["kind", *keys])
    check_known(shares["position"], POSITIONS, name)
    check_known(shares["reader_kind"], {**READERS, **WHOLE}, name)
    rows = ordered_readers(shares["reader_kind"])[::-1]
    figure, axes, parts = split(shares, None, "kind", height=0.9 + 0.27 * len(rows))
    for axis, part in parts:
        cells = part.pivot(index="reader_kind", columns="position", values="value").reindex(rows)
        left = np.zeros(len(rows))
        for position, (colour, hatch) in POSITIONS.items():
            if position in cells:
                width = cells[position].fillna(0).to_numpy(float)
                style = {"color": colour, "hatch": hatch, "edgecolor": "white", "linewidth": 0.5}
                axis.barh(range(len(rows)), width, left=left, **style)
                left = left + width
        axis.set_yticks(range(len(rows)), [WHOLE.get(row, NAMES.get(row, row)) for row in rows])
        axis.set_xlim(0, 1)
        axis.grid(axis="y", visible=False)
        axis.set_xlabel("share of |score|, or of tokens")
    axes[0, 0].set_ylabel("edges into")
    legend_below(figure, [_bar_handle(position) for position in POSITIONS])
    return figure


def ordered_readers(kinds: Iterable[str]) -> list[str]:
    """Distinct kinds of readers as they follow each other in a block, then the wholes."""
    distinct = set(kinds)
    return [kind for kind in (*READERS, *WHOLE) if kind in distinct]


def _bar_handle(position: str) -> Patch:
    colour, hatch = POSITIONS[position]
    words = {"last": "last token", "subject": "tokens of the subject"}
    label = words.get(position, "other tokens (relation)")
    return Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=label)


def _symmetric(axis: Axes, linear: float, largest: float) -> None:
    """Both axes linear within ``linear``, logarithmic beyond, and the diagonal."""
    steps = [linear * 10.0**k for k in (1, 3)]
    for set_scale, ticks in ((axis.set_xscale, axis.xaxis), (axis.set_yscale, axis.yaxis)):
        set_scale("symlog", linthresh=linear)
        ticks.set_ticks([-steps[1], -steps[0], 0, *steps])
        ticks.set_minor_locator(NullLocator())
        ticks.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    limit = 1.6 * largest
    axis.set(xlim=(-limit, limit), ylim=(-limit, limit))
    axis.plot([-limit, limit], [-limit, limit], color=GREY, linewidth=1.0, zorder=1)


def _points(axis: Axes, part: pd.DataFrame) -> None:
    for kind in ordered_readers(part["reader_kind"]):
        points, look = part[part["reader_kind"] == kind], READERS[kind]
        axis.plot(
            points["exact"].to_numpy(float),
            points["score"].to_numpy(float),
            color=look.colour,
            marker=look.marker,
            linestyle="",
            markersize=3.0,
            markeredgewidth=0.7,
            markerfacecolor="none",
            rasterized=True,
        )
