"""Curves of a tidy table: one column per channel, shaded intervals, chance as a dotted line."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kc_utils.analysis.stats.seeds import seed_means
from kc_utils.plots.canvas import (
    CHANCE,
    EPOCH,
    INTERVAL,
    chance_handle,
    chance_line,
    interval_handle,
    label_outer,
    legend_below,
    line_handle,
    panels,
    plain_log,
    split,
    style_handle,
    whole_numbers,
)
from kc_utils.plots.style import BLUE, Look, combine, label_of, looks_for
from kc_utils.plots.tables import check, groups


@dataclass(frozen=True)
class Curves:
    """Which column goes to which channel; optional columns are used when the table has them."""

    figure: str
    ylabel: str
    y: str = "value"
    x: str = "epoch"
    xlabel: str = EPOCH
    colour: str | None = "kind"
    line: str | None = None
    rows: str | None = None
    columns: str | None = "band"
    log_x: bool = False
    log_y: bool = False
    from_zero: bool = True
    chance: float | None = None
    chance_label: str = CHANCE
    interval: str = INTERVAL
    height: float = 2.6

    def fitted_to(self, frame: pd.DataFrame) -> Curves:
        """Drop the optional channels that the table has no column for."""
        here = {c: getattr(self, c) for c in ("colour", "line", "rows", "columns")}
        return replace(self, **{c: v if v in frame.columns else None for c, v in here.items()})

    @property
    def keys(self) -> list[str]:
        channels = (self.rows, self.columns, self.colour, self.line, self.x)
        return [c for c in dict.fromkeys(channels) if c]


def draw_figure(frame: pd.DataFrame, spec: Curves, required: tuple[str, ...] = ()) -> Figure:
    """Small multiples of ``spec`` with one legend below.

    Raises KcError for missing columns, an empty table, or several rows for one point.
    """
    frame, spec = prepare(frame, spec, required)
    figure, axes, cells = split(frame, spec.rows, spec.columns, height=spec.height)
    for axis, part in cells:
        draw(axis, part, spec, frame)
    finish(axes, spec)
    label_outer(axes, spec.xlabel, [spec.ylabel] * len(axes))
    legend_below(figure, handles(frame, spec))
    return figure


def draw_rows(
    frame: pd.DataFrame,
    spec: Curves,
    quantities: Mapping[str, str],
    more: Callable[[Axes, pd.DataFrame, str], None] = lambda axis, part, quantity: None,
) -> tuple[Figure, np.ndarray]:
    """Small multiples with a row for each of the ``quantities`` (column -> label) that are there.

    Without a legend. ``more`` adds to a panel; it gets the axis, its part of the table and the
    quantity. Entropy needs no axis from zero, and a level of chance is not one of entropy.
    """
    shown, parts = [q for q in quantities if q in frame], [*groups(frame, spec.columns)]
    figure, axes = panels(len(shown), len(parts), height=spec.height, sharey="row")
    for row, quantity in zip(axes, shown, strict=True):
        entropy = "entropy" in quantity
        for axis, (value, part) in zip(row, parts, strict=True):
            levels = part.drop(columns="chance", errors="ignore") if entropy else part
            draw(axis, levels, replace(spec, y=quantity), frame)
            more(axis, part, quantity)
            axis.set_title(label_of(spec.columns, value) if value and quantity == shown[0] else "")
        finish(row[None], replace(spec, from_zero=not entropy))
    label_outer(axes, spec.xlabel, [quantities[q] for q in shown])
    return figure, axes


def draw_beside(
    axes: np.ndarray, parts: Mapping[str, tuple[pd.DataFrame, str]], spec: Curves
) -> list[Artist]:
    """A table with a title on each of the ``axes``, coloured by the column that names it.

    Returns:
        Legend entries of all panels, each label once.
    """
    found: dict[str, Artist] = {}
    for axis, (colour, (curves, title)) in zip(axes, parts.items(), strict=True):
        line = None if spec.line == colour else spec.line
        curves, own = prepare(curves, replace(spec, colour=colour, line=line), (colour,))
        draw(axis, curves, own, curves)
        axis.set_title(title)
        axis.set_xlabel(spec.xlabel)
        entries = {str(handle.get_label()): handle for handle in handles(curves, own)}
        found = {label: handle for label, handle in found.items() if label not in entries} | entries
    return list(found.values())


def prepare(
    frame: pd.DataFrame, spec: Curves, required: tuple[str, ...] = ()
) -> tuple[pd.DataFrame, Curves]:
    """Check the table and drop the channels that it has no column for."""
    needed = dict.fromkeys([spec.x, *required, spec.y])
    spec = spec.fitted_to(frame)
    return check(frame, list(needed), spec.figure, unique=spec.keys), spec


def bounds(frame: pd.DataFrame, y: str) -> tuple[str, str] | None:
    """The interval columns of ``y``: ``<y>_low`` and ``<y>_high``; low and high for ``value``.

    ``accuracy_old`` also finds ``old_low`` and ``old_high``.
    """
    names = (f"{y}_", f"{y.removeprefix('accuracy_')}_", *([""] if y == "value" else []))
    pairs = [(f"{name}low", f"{name}high") for name in names]
    return next(((low, high) for low, high in pairs if low in frame and high in frame), None)


def draw(axis: Axes, part: pd.DataFrame, spec: Curves, whole: pd.DataFrame) -> None:
    """Draw the curves of one panel; looks come from the ``whole`` table, so panels agree."""
    colours = looks_for(spec.colour, whole[spec.colour]) if spec.colour else {}
    lines = looks_for(spec.line, whole[spec.line]) if spec.line else {}
    channels = [c for c in (spec.colour, spec.line) if c]
    groups = part.groupby(channels, sort=False) if channels else [((), part)]
    for key, curve in groups:
        values = dict(zip(channels, key, strict=True))
        second = lines.get(values.get(spec.line))
        first = colours.get(values.get(spec.colour))
        draw_curve(axis, curve, spec, combine(first, second) if first else second or _PLAIN)
    level = spec.chance
    if level is None and "chance" in part and part["chance"].notna().any():
        level = float(part["chance"].mean())
    if level is not None:
        chance_line(axis, level)


_PLAIN = Look(BLUE, "o", "")
_SHARES = ("accuracy", "_answer", "_chance")  # ends of their columns' names


def draw_curve(axis: Axes, curve: pd.DataFrame, spec: Curves, look: Look) -> None:
    """One line with markers; a shaded band for its interval columns, dots for ``expected``."""
    curve = curve.sort_values(spec.x)
    x, y = curve[spec.x].to_numpy(float), curve[spec.y].to_numpy(float)
    limits = bounds(curve, spec.y)
    if limits and curve[limits[0]].notna().any():
        low, high = (curve[c].to_numpy(float) for c in limits)
        axis.fill_between(x, low, high, color=look.colour, alpha=0.16, linewidth=0, zorder=1.5)
    if "expected" in curve:
        style = {"color": look.colour, "linestyle": ":", "linewidth": 1.2, "zorder": 1.4}
        axis.plot(x, curve["expected"].to_numpy(float), **style)
    axis.plot(
        x,
        y,
        color=look.colour,
        marker=look.marker,
        linestyle=look.line,
        markerfacecolor="white" if look.hollow else look.colour,
        markevery=max(1, len(x) // 12),
        zorder=2 if look.hollow else 2.5,
    )


def draw_means(
    axis: Axes, part: pd.DataFrame, spec: Curves, looks: Mapping[Any, Look], value: str
) -> None:
    """A curve of means over seeds of ``value``, with t intervals, for each of the ``looks``.

    Bands of shares end at 0 and 1, which a t interval over few seeds does not know.
    """
    keys = [spec.x, spec.colour] if spec.colour else [spec.x]
    bounds = (0.0, 1.0) if value.endswith(_SHARES) else (-math.inf, math.inf)
    means = seed_means(part, keys, value, bounds)
    for key, look in looks.items():
        curve = means[means[spec.colour] == key] if spec.colour else means
        if len(curve):
            draw_curve(axis, curve, spec, look)


def epoch_looks(epochs: Sequence[Any]) -> dict[Any, Look]:
    """A look per checkpoint, from dark to light, that names the epoch."""
    looks = looks_for("epoch", epochs)
    return {epoch: replace(look, label=f"epoch {epoch:g}") for epoch, look in looks.items()}


def finish(axes: np.ndarray, spec: Curves) -> None:
    """Scales, limits and ticks that are the same in every panel."""
    for axis in axes.flat:
        if spec.log_x:
            plain_log(axis, "x")
        else:
            whole_numbers(axis)
        if spec.log_y:
            plain_log(axis, "y")
    first = axes.flat[0]
    if spec.from_zero and not spec.log_y and first.get_ylim()[0] > -0.05:
        first.set_ylim(bottom=min(0.0, first.get_ylim()[0]))


def handles(frame: pd.DataFrame, spec: Curves) -> list[Artist]:
    """Legend entries: colours, line styles, chance, intervals; only what the figure shows."""
    found: list[Artist] = []
    if spec.colour:
        found += [line_handle(look) for look in looks_for(spec.colour, frame[spec.colour]).values()]
    if spec.line:
        looks = looks_for(spec.line, frame[spec.line])
        as_line = style_handle if spec.colour else line_handle
        found += [as_line(look) for look in looks.values()]
    if spec.chance is not None or ("chance" in frame and frame["chance"].notna().any()):
        found.append(chance_handle(spec.chance_label))
    if "expected" in frame:
        found.append(chance_handle("expected of a random choice"))
    if bounds(frame, spec.y):
        found.append(interval_handle(spec.interval))
    return found
