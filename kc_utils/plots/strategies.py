"""Strategies of continual pre-training: what is learned, what is lost, and the price of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kc_utils.analysis.stats.seeds import seed_means
from kc_utils.plots.canvas import (
    chance_handle,
    chance_line,
    interval_handle,
    label_outer,
    legend_below,
    line_handle,
    panels,
)
from kc_utils.plots.curves import Curves, draw_curve, finish, select
from kc_utils.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    SKY,
    VERMILLION,
    Look,
    ordered,
    styled,
)
from kc_utils.plots.tables import check, check_unique

_DASHED = (0, (3, 1.4))
LOOKS = {
    "plain": Look(GREY, "x", "plain (no replay)"),
    "replay": Look(BLACK, "o", "replay"),
    "names first": Look(GREEN, "^", "names first"),
    "phase": Look(BLUE, "s", "phase"),
    "phase random": Look(SKY, "s", "phase, random switch", _DASHED, True),
    "circuit": Look(VERMILLION, "D", "circuit"),
    "random parts": Look(ORANGE, "D", "random parts", _DASHED, True),
}
_CURVES = {
    "new_accuracy": "new facts (share)",
    "old_accuracy": "old facts (share)",
    "entropy": "circuit entropy (nats)",
}
_TOKENS = "tokens (thousands)"


@styled
def strategy_curves(
    strategies: pd.DataFrame,
    quantities: Sequence[str] = ("new_accuracy", "old_accuracy"),
    chance: float | None = None,
) -> Figure:
    """Curves over tokens, one line per strategy; a panel per quantity, a row per profile.

    Columns: strategy, tokens, and the ``quantities`` (new_accuracy, old_accuracy, entropy);
    optional profile, seed. Several seeds give their mean and a 95 % t-interval. ``chance`` is the
    dotted line in the panel of new facts.
    """
    name = "strategy_curves"
    frame = check(strategies, ["strategy", "tokens", *quantities], name)
    check_unique(frame, ["strategy", "tokens", *_by(frame)], name)
    frame = frame.assign(tokens=frame["tokens"] / 1000)
    profiles = _profiles(frame)
    figure, axes = panels(len(profiles), len(quantities), height=2.9, sharey=False)
    for row, profile in zip(axes, profiles, strict=True):
        part = select(frame, "profile" if profile else None, profile)
        for axis, quantity in zip(row, quantities, strict=True):
            spec = Curves(name, "", x="tokens", from_zero=False)
            table = seed_means(part, ["strategy", "tokens"], quantity)
            for strategy in _present(table):
                draw_curve(axis, table[table["strategy"] == strategy], spec, LOOKS[strategy])
            if chance is not None and quantity == "new_accuracy":
                chance_line(axis, chance)
            title = _CURVES.get(quantity, quantity.replace("_", " "))
            axis.set_title(f"{profile}: {title}" if len(profiles) > 1 else title)
        finish(row, Curves(name, "", from_zero=False))
    label_outer(axes, _TOKENS, [""] * len(axes))
    found = [line_handle(LOOKS[s]) for s in _present(frame)]
    found += [chance_handle()] if chance is not None else []
    legend_below(figure, found + _interval(frame))
    return figure


@styled
def strategy_trade_off(summary: pd.DataFrame) -> Figure:
    """Mean accuracy on new facts against the change of accuracy on old facts.

    Columns: strategy, area_new, change_old (shares); optional profile (a panel each), seed. One
    large mark per strategy; with several seeds small dots are runs and the bars 95 % t-intervals.
    Up and to the right is better; the dotted lines cross at replay.
    """
    name = "strategy_trade_off"
    frame = check(summary, ["strategy", "area_new", "change_old"], name)
    check_unique(frame, ["strategy", *_by(frame)], name)
    profiles = _profiles(frame)
    figure, axes = panels(1, len(profiles), height=3.6, sharex=False, sharey=False)
    for axis, profile in zip(axes[0], profiles, strict=True):
        part = select(frame, "profile" if profile else None, profile)
        _marks(axis, part)
        axis.set_title(profile if len(profiles) > 1 else "")
    label_outer(
        axes, "change of accuracy on old facts (share)", ["mean accuracy on new facts (share)"]
    )
    found = [line_handle(replace(LOOKS[s], line="")) for s in _present(frame)]
    several = "seed" in frame and frame["seed"].nunique() > 1
    dots = [line_handle(Look(GREY, ".", "one run; bars: 95 % interval over seeds", ""))]
    legend_below(figure, found + (dots if several else []))
    return figure


def _marks(axis: Axes, part: pd.DataFrame) -> None:
    sides = [
        seed_means(part, ["strategy"], column).set_index("strategy")
        for column in ("change_old", "area_new")
    ]
    for strategy in _present(part):
        look = LOOKS[strategy]
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


def _present(frame: pd.DataFrame) -> list[str]:
    here = set(frame["strategy"])
    return [strategy for strategy in LOOKS if strategy in here]


def _profiles(frame: pd.DataFrame) -> list[str | None]:
    return ordered("profile", frame["profile"]) if "profile" in frame else [None]


def _by(frame: pd.DataFrame) -> list[str]:
    return [c for c in ("profile", "seed") if c in frame]


def _interval(frame: pd.DataFrame) -> list:
    several = "seed" in frame and frame["seed"].nunique() > 1
    return [interval_handle("95 % interval over seeds")] if several else []
