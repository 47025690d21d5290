"""Curves of a tidy table: one column per channel, shaded intervals, chance as a dotted line."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kc_utils.plots.canvas import (
    CHANCE,
    EPOCH,
    chance_handle,
    chance_line,
    interval_handle,
    label_outer,
    legend_below,
    line_handle,
    panels,
    plain_log,
    style_handle,
    whole_numbers,
)
from kc_utils.plots.style import Look, combine, label_of, looks_for, ordered
from kc_utils.plots.tables import check, check_unique


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
    rows = ordered(spec.rows, frame[spec.rows]) if spec.rows else [None]
    columns = ordered(spec.columns, frame[spec.columns]) if spec.columns else [None]
    figure, axes = panels(len(rows), len(columns), height=spec.height)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            part = select(select(frame, spec.rows, row), spec.columns, column)
            draw(axes[i, j], part, spec, frame)
            names = [(spec.rows, row), (spec.columns, column)]
            title = "\n".join(label_of(c, v) for c, v in names if c)
            axes[i, j].set_title(title.replace(" (", "\n(") if len(columns) > 3 else title)
    finish(axes, spec)
    label_outer(axes, spec.xlabel, [spec.ylabel] * len(rows))
    legend_below(figure, handles(frame, spec))
    return figure


def prepare(
    frame: pd.DataFrame, spec: Curves, required: tuple[str, ...] = ()
) -> tuple[pd.DataFrame, Curves]:
    """Check the table and drop the channels that it has no column for."""
    needed = dict.fromkeys([spec.x, *required, spec.y])
    frame = check(frame, list(needed), spec.figure)
    spec = spec.fitted_to(frame)
    check_unique(frame, spec.keys, spec.figure)
    return frame, spec


def select(frame: pd.DataFrame, column: str | None, value: object) -> pd.DataFrame:
    """Rows where ``column`` is ``value``; all rows without a column."""
    return frame if column is None else frame[frame[column] == value]


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


_PLAIN = Look("#0072B2", "o", "")


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
        found.append(interval_handle())
    return found
