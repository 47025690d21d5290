"""What training on new facts does to old ones: replay ratios, and strategies of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kc_utils.analysis.stats.seeds import seed_means
from kc_utils.plots.canvas import (
    chance_handle,
    chance_line,
    interval_handle,
    label_outer,
    legend_below,
    line_handle,
    mark_handle,
    panels,
    seed_handles,
    split,
)
from kc_utils.plots.curves import (
    Curves,
    bounds,
    draw_curve,
    draw_means,
    draw_rows,
    finish,
    prepare,
)
from kc_utils.plots.style import (
    BLACK,
    BLUE,
    DARK,
    DASHED,
    GREEN,
    GREY,
    ORANGE,
    SKY,
    VERMILION,
    Look,
    label_of,
    looks_for,
    present,
    styled,
)
from kc_utils.plots.tables import check, groups, several
from kc_utils.plots.topology import LABELS, RANDOM_CIRCUITS

_ACCURACY = {
    "accuracy_old": "accuracy on old facts (share)",
    "accuracy_new": "accuracy on new facts (share)",
}
_SHAPE = {
    "edge_jaccard": "edge Jaccard with start (share)",
    "normalised_entropy_kept": LABELS["normalised_entropy_kept"],
    "entropy": LABELS["entropy"],
}
_ROLES = {
    "mover": "mover heads (share)",
    "relation": "relation heads (share)",
    "mixture": "mixture heads (share)",
}
_DRIFT = Look(BLACK, "", "old texts alone (drift)", DASHED)
_STRATEGIES = {
    "plain": Look(GREY, "x", "plain (no replay)"),
    "replay": Look(BLACK, "o", "replay"),
    "names first": Look(GREEN, "^", "names first"),
    "phase": Look(BLUE, "s", "phase"),
    "phase random": Look(SKY, "s", "phase, random switch", DASHED, True),
    "circuit": Look(VERMILION, "D", "circuit"),
    "random parts": Look(ORANGE, "D", "random parts", DASHED, True),
}
_CURVES = {
    "new_accuracy": "new facts (share)",
    "old_accuracy": "old facts (share)",
    "entropy": "circuit entropy (nats)",
    "entropy_kept": "entropy of kept edges (nats)",
}


@styled
def forgetting_curves(forgetting: pd.DataFrame, published: pd.DataFrame | None = None) -> Figure:
    """First-token accuracy on old and new facts, one line per replay ratio.

    Columns: ratio (share replayed), step, accuracy_old; optional accuracy_new, variant (rows of
    the variant "drift" are a dashed line in every panel), chance (share), old_low, old_high,
    new_low, new_high.
    ``published``: ratio, step, accuracy_old of the paper, drawn as open markers.
    """
    name = "forgetting_curves"
    figure, axes, looks = _rows(forgetting, _ACCURACY, name)
    found: list[Artist] = [*map(line_handle, looks.values()), *_level(forgetting, "chance level")]
    if bounds(forgetting, "accuracy_old"):
        found.append(interval_handle())
    if published is not None:
        published = check(published, ["ratio", "step", "accuracy_old"], name)
        style = {"markerfacecolor": "white", "linestyle": ""}
        for axis in axes[0]:
            for ratio, look in present(looks, published["ratio"]).items():
                points = published[published["ratio"] == ratio]
                axis.plot(points["step"], points["accuracy_old"], color=look.colour,
                          marker=look.marker, markersize=6.5, **style)  # fmt: skip
        words = "paper (GPT-2, its own steps)"
        found.append(Line2D([], [], color=DARK, marker="o", label=words, **style))
    legend_below(figure, found)
    return figure


@styled
def elasticity(forgetting: pd.DataFrame) -> Figure:
    """Edge Jaccard with the starting circuit and entropy, one line per replay ratio.

    Columns: ratio, step, edge_jaccard (share); optional normalised_entropy_kept (share) or, without
    it, entropy (nats), variant ("drift" as in :func:`forgetting_curves`), chance (edge Jaccard of
    random circuits of the same size).
    """
    kept = "normalised_entropy_kept" in forgetting
    shape = {q: label for q, label in _SHAPE.items() if not (kept and q == "entropy")}
    figure, _, looks = _rows(forgetting, shape, "elasticity")
    found = [*map(line_handle, looks.values()), *_level(forgetting, RANDOM_CIRCUITS)]
    legend_below(figure, found)
    return figure


@styled
def forgetting_roles(forgetting: pd.DataFrame) -> Figure:
    """Shares of the circuit's heads in each role while training goes on, one line per replay ratio.

    Columns: ratio, step, mover, relation, mixture (shares); optional variant ("drift" as in
    :func:`forgetting_curves`).
    """
    check(forgetting, ["ratio", "step", *_ROLES], "forgetting_roles")
    levels = forgetting.drop(columns="chance", errors="ignore")
    figure, _, looks = _rows(levels, _ROLES, "forgetting_roles")
    legend_below(figure, [*map(line_handle, looks.values())])
    return figure


def _rows(
    frame: pd.DataFrame, quantities: dict[str, str], name: str
) -> tuple[Figure, np.ndarray, dict[Any, Look]]:
    """A row of panels for each of the ``quantities``, and the looks of the replay ratios."""
    along = {"x": "step", "xlabel": "step (optimiser steps)", "y": next(iter(quantities))}
    spec = Curves(name, "", **along, colour="ratio", columns="variant", height=2.2)
    drifts = frame["variant"] == "drift" if "variant" in frame else [False] * len(frame)
    drift = frame[drifts]
    frame, spec = prepare(frame[~np.asarray(drifts)], spec, ("ratio",))

    def beside(axis: Axes, part: pd.DataFrame, quantity: str) -> None:
        if len(drift) and drift[quantity].notna().any():
            draw_curve(axis, drift, replace(spec, y=quantity), _DRIFT)

    figure, axes = draw_rows(frame, spec, quantities, beside)
    looks = looks_for("ratio", frame["ratio"]).items()
    named = {r: replace(look, label=f"replay ratio {r:g}") for r, look in looks}
    return figure, axes, named | ({"drift": _DRIFT} if len(drift) else {})


def _level(frame: pd.DataFrame, label: str) -> list[Artist]:
    return [chance_handle(label)] if "chance" in frame else []


@styled
def strategy_curves(
    strategies: pd.DataFrame,
    quantities: Sequence[str] = ("new_accuracy", "old_accuracy"),
    chance: float | None = None,
) -> Figure:
    """Curves over tokens, one line per strategy; a panel per quantity, a row per profile.

    Columns: strategy, tokens, and the ``quantities`` (new_accuracy, old_accuracy, entropy_kept);
    optional profile, seed. Several seeds give their mean and a 95 % t-interval. ``chance`` is the
    dotted line in the panel of new facts.
    """
    name, keys = "strategy_curves", ["strategy", "tokens"]
    frame = check(strategies, [*keys, *quantities], name, unique=[*keys, "profile", "seed"])
    frame = frame.assign(tokens=frame["tokens"] / 1000)
    rows, looks = [*groups(frame, "profile")], present(_STRATEGIES, frame["strategy"])
    figure, axes = panels(len(rows), len(quantities), height=2.9, sharey=False)
    spec = Curves(name, "", x="tokens", colour="strategy", from_zero=False)
    for row, (profile, part) in zip(axes, rows, strict=True):
        for axis, quantity in zip(row, quantities, strict=True):
            draw_means(axis, part, spec, looks, quantity)
            if chance is not None and quantity == "new_accuracy":
                chance_line(axis, chance)
            title = _CURVES.get(quantity, quantity.replace("_", " "))
            named = f"{label_of('profile', profile)}: " if len(rows) > 1 else ""
            axis.set_title(f"{named}{title}")
    finish(axes, spec)
    label_outer(axes, "tokens (thousands)", [""] * len(axes))
    found: list[Artist] = [line_handle(look) for look in looks.values()]
    found += [chance_handle()] if chance is not None else []
    legend_below(figure, found + seed_handles(frame))
    return figure


@styled
def strategy_trade_off(summary: pd.DataFrame) -> Figure:
    """Mean accuracy on new facts against the change of accuracy on old facts.

    Columns: strategy, area_new, change_old (shares); optional profile (a panel each), seed. One
    large mark per strategy; with several seeds small dots are runs and the bars 95 % t-intervals.
    Up and to the right is better; the dotted lines cross at replay.
    """
    needed, name = ["strategy", "area_new", "change_old"], "strategy_trade_off"
    frame = check(summary, needed, name, unique=["strategy", "profile", "seed"])
    looks = present(_STRATEGIES, frame["strategy"])
    size = {"height": 3.6, "sharex": False, "sharey": False}
    figure, axes, cells = split(frame, None, several(frame, "profile"), **size)
    for axis, part in cells:
        _marks(axis, part, looks)
    words = ("change of accuracy on old facts (share)", "mean accuracy on new facts (share)")
    label_outer(axes, words[0], [words[1]])
    found: list[Artist] = [mark_handle(look) for look in looks.values()]
    if several(frame, "seed"):
        found.append(mark_handle(Look(GREY, ".", "one run; bars: 95 % interval over seeds")))
    legend_below(figure, found)
    return figure


def _marks(axis: Axes, part: pd.DataFrame, looks: dict[str, Look]) -> None:
    sides = [
        seed_means(part, ["strategy"], column).set_index("strategy")
        for column in ("change_old", "area_new")
    ]
    for strategy, look in present(looks, part["strategy"]).items():
        (x, x_half), (y, y_half) = (_half(side.loc[strategy]) for side in sides)
        runs = part[part["strategy"] == strategy]
        if len(runs) > 1:
            axis.plot(
                runs["change_old"], runs["area_new"], ".", color=look.colour, alpha=0.4,
                markersize=4,
            )  # fmt: skip
        axis.errorbar(
            x, y, xerr=x_half, yerr=y_half, color=look.colour, marker=look.marker, markersize=7.5,
            markerfacecolor="white" if look.hollow else look.colour, linewidth=1.4,
        )  # fmt: skip
    if "replay" in sides[0].index:
        style = {"color": GREY, "linestyle": ":", "linewidth": 1.2, "zorder": 1}
        axis.axvline(sides[0].loc["replay", "value"], **style)
        axis.axhline(sides[1].loc["replay", "value"], **style)


def _half(row: pd.Series) -> tuple[float, float | None]:
    half = row["high"] - row["value"]
    return float(row["value"]), float(half) if np.isfinite(half) else None
