"""One edge of one prompt: its score, taken apart into what EAP-IG multiplies and sums."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kc_utils.errors import KcError
from kc_utils.plots.canvas import legend_below, line_handle, panels
from kc_utils.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    LIGHT,
    LONG_DASHED,
    ORANGE,
    PURPLE,
    VERMILION,
    Look,
    styled,
)
from kc_utils.plots.tables import check

_NAMED = (Look(BLUE, "o", ""), Look(ORANGE, "s", "", LONG_DASHED), Look(PURPLE, "^", ""))
_SUM = Look(BLACK, "", "product, summed over tokens")
_SCORE = Look(GREEN, "", "its mean over the points: the score")
_EXACT = Look(VERMILION, "", "effect of patching this edge", LONG_DASHED)


@styled
def edge_path(
    path: pd.DataFrame, tokens: Sequence[str], points: Sequence[float], exact: float
) -> Figure:
    """What an edge carries, the slope along the path, and their product.

    Columns of ``path``: position, share (0 = corrupted embedding, 1 = clean), change (size of the
    writer's change at the token), slope (of the loss, in the direction of that change), product of
    both (logits). ``tokens``: the prompt as text. ``points``: shares at which the score takes the
    gradient, all among those of the table. ``exact``: effect of patching the edge (logits). The
    tokens with the largest products, at most three, have a colour.

    Raises:
        KcError: a column is missing, a row is repeated, or a point is not in the table.
    """
    columns = ["position", "share", "change", "slope", "product"]
    path = check(path, columns, "edge_path", unique=["position", "share"])
    total = path.groupby("share")["product"].sum()
    at = sorted(points)
    if missing := [point for point in at if point not in total.index]:
        raise KcError(f"The path has no row for the share {missing[0]:g} of the way.")
    size = path.groupby("position")["product"].apply(lambda x: x.abs().mean())
    size = size[size > 0.01 * size.sum()].nlargest(len(_NAMED))
    looks = dict(zip(size.index, _NAMED, strict=False))
    figure, axes = panels(
        1, 3, height=max(2.5, 0.19 * len(tokens) + 0.5), sharex=False, sharey=False
    )
    _changes(axes[0, 0], path, tokens, looks)
    _slopes(axes[0, 1], path, at, looks)
    _products(axes[0, 2], total, at, exact)
    for axis in axes[0, 1:]:
        axis.axhline(0, color=BLACK, linewidth=0.8)
        axis.set_xticks([0, 0.5, 1], ["corrupted", "halfway", "clean"])
        axis.set_xlabel("embedding")
    for axis, title in zip(
        axes[0], ("change that it carries", "× slope in that direction", "= product"), strict=True
    ):
        axis.set_title(title)
    handles = [line_handle(look) for look in (_SUM, _SCORE, _EXACT)]
    legend_below(figure, handles)
    return figure


def _changes(axis: Axes, path: pd.DataFrame, tokens: Sequence[str], looks: dict[int, Look]) -> None:
    change = path.groupby("position")["change"].first()
    colours = [looks[p].colour if p in looks else LIGHT for p in change.index]
    axis.barh(change.index, change, color=colours)
    axis.set_yticks(range(len(tokens)), tokens)
    axis.set_ylim(len(tokens) - 0.5, -0.5)
    axis.set_xlabel("size")
    axis.grid(visible=False, axis="y")


def _slopes(
    axis: Axes, path: pd.DataFrame, points: Sequence[float], looks: dict[int, Look]
) -> None:
    for position, part in path.sort_values("share").groupby("position"):
        if position not in looks:
            axis.plot(part["share"], part["slope"], color=LIGHT, linewidth=0.8, zorder=1)
            continue
        look = looks[position]
        axis.plot(part["share"], part["slope"], color=look.colour, linestyle=look.line)
        there = part[part["share"].isin(points)]
        axis.plot(there["share"], there["slope"], color=look.colour, marker=look.marker, ls="")
    axis.set_ylabel("logits per unit of change")


def _products(axis: Axes, total: pd.Series, points: Sequence[float], exact: float) -> None:
    values, width = total[list(points)].to_numpy(), 1 / len(points)
    score = float(values.mean())
    axis.bar(np.arange(len(points)) * width, values, width, align="edge",
             color=GREY, alpha=0.3, edgecolor="white")  # fmt: skip
    axis.plot(total.index, total, color=_SUM.colour)
    axis.plot(points, values, color=_SUM.colour, marker="o", linestyle="")
    for value, look in ((score, _SCORE), (exact, _EXACT)):
        axis.axhline(value, color=look.colour, linestyle=look.line)
    above = score >= exact
    for value, look, up in ((score, _SCORE, above), (exact, _EXACT, not above)):
        axis.annotate(
            f"{value:.2f}", (1.02, value), (0, 1 if up else -1), color=look.colour, weight="bold",
            xycoords=("axes fraction", "data"), textcoords="offset points",
            va="bottom" if up else "top", annotation_clip=False,
        )  # fmt: skip
    axis.set_ylabel("logits")
