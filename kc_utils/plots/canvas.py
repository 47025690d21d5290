"""Blank figures: panels of equal size with a legend outside of the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import Container
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from kc_utils.plots.style import BLACK, GREY, WIDTH, Look, label_of, ordered
from kc_utils.plots.tables import several

EPOCH = "epoch"
CHANCE = "chance level"
INTERVAL = "95 % interval"
OVER_SEEDS = f"{INTERVAL} over seeds"
_LETTER = 0.075  # inches, of a title or label


def panels(
    n_rows: int = 1,
    n_columns: int = 1,
    *,
    height: float = 2.6,
    width: float = WIDTH,
    sharex: Any = True,
    sharey: Any = True,
) -> tuple[Figure, np.ndarray]:
    """A figure with ``n_rows`` x ``n_columns`` axes; ``height`` is inches per row."""
    size = (width, height * n_rows + 0.55)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(n_rows, n_columns, sharex=sharex, sharey=sharey, squeeze=False)
    return figure, axes


def split(
    frame: pd.DataFrame, rows: str | None, columns: str | None, **size: Any
) -> tuple[Figure, np.ndarray, list[tuple[Axes, pd.DataFrame]]]:
    """Panels: a row for each value of one column of the table, a column for each of another.

    A column that the table lacks does not split. ``size``: as in :func:`panels`.

    Returns:
        The figure, its axes, and for every panel its axis (titled) and its part of the table.
    """
    keys = [c if c in frame else None for c in (rows, columns)]
    sides = [ordered(c, frame[c]) if c else [None] for c in keys]
    figure, axes = panels(*map(len, sides), **size)
    cells = []
    for axis, values in zip(axes.flat, product(*sides), strict=True):
        part, words = frame, []
        for column, value in zip(keys, values, strict=True):
            if column:
                part = part[part[column] == value]
                words.append(label_of(column, value))
        axis.set_title("\n".join(words))
        cells.append((axis, part))
    _fit_titles(axes)
    return figure, axes, cells


def _fit_titles(axes: np.ndarray) -> None:
    """Put what stands in brackets on a line of its own where one title is wider than its panel."""
    titles = [axis.get_title() for axis in axes.flat]
    width = axes.flat[0].figure.get_figwidth() / axes.shape[1]
    longest = max(len(line) for title in titles for line in title.split("\n"))
    if axes.shape[1] > 3 or longest * _LETTER > width:
        for axis, title in zip(axes.flat, titles, strict=True):
            axis.set_title(title.replace(" (", "\n("))


def label_outer(axes: np.ndarray, xlabel: str, ylabels: Sequence[str]) -> None:
    """Label the bottom axes of every column and the left axes of every row.

    A label that is longer than its row is high goes on two lines, its unit on the second.
    """
    for axis in axes[-1]:
        axis.set_xlabel(xlabel)
    for row, text in zip(axes, ylabels, strict=True):
        height = row[0].figure.get_figheight() / len(axes) - 0.75
        fits = len(text) * _LETTER < height
        row[0].set_ylabel(text if fits else text.replace(" (", "\n(", 1))


def whole_numbers(axis: Axes) -> None:
    """Ticks at whole numbers only (epochs, layers)."""
    axis.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))


def plain_log(axis: Axes, which: str) -> None:
    """A log scale on ``which`` ("x" or "y") with ticks written as 0.01, 1, 100."""
    getattr(axis, f"set_{which}scale")("log")
    ticks = axis.xaxis if which == "x" else axis.yaxis
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    ticks.set_major_formatter(plain)
    low, high = sorted(ticks.get_view_interval())
    if high / low < 10:
        ticks.set_minor_formatter(plain)


def legend_below(figure: Figure, handles: Sequence[Artist | Container]) -> None:
    """One legend under the panels, where it hides no data; nothing when there are no handles."""
    if not handles:
        return
    room = int(figure.get_figwidth() * 13)  # characters
    widths = [len(str(h.get_label())) + 7 for h in handles]
    counts = range(len(handles), 0, -1)
    fitting = (n for n in counts if sum(max(w) for w in np.array_split(widths, n)) <= room)
    figure.legend(
        handles=list(handles),
        loc="outside lower center",
        ncols=next(fitting, 1),
        handlelength=2.6,
        columnspacing=1.4,
    )


def line_handle(look: Look, colour: str | None = None) -> Line2D:
    """The legend entry of a look."""
    colour = colour or look.colour
    return Line2D(
        [],
        [],
        color=colour,
        marker=look.marker,
        linestyle=look.line,
        markerfacecolor="white" if look.hollow else colour,
        label=look.label,
    )


def mark_handle(look: Look) -> Line2D:
    """The legend entry of a look's marker, without a line."""
    return line_handle(replace(look, line=""))


def style_handle(look: Look) -> Line2D:
    """The legend entry of a line style, without the colour and marker of a series."""
    return Line2D([], [], color=BLACK, linestyle=look.line, label=look.label)


def chance_handle(label: str = CHANCE) -> Line2D:
    """The legend entry of the dotted chance line."""
    return Line2D([], [], color=GREY, linestyle=":", linewidth=1.4, label=label)


def interval_handle(label: str = INTERVAL) -> Patch:
    """The legend entry of the shaded intervals."""
    return Patch(facecolor=GREY, alpha=0.3, linewidth=0, label=label)


def seed_handles(frame: pd.DataFrame) -> list[Artist]:
    """The legend entry of intervals over seeds, when there are several seeds."""
    return [interval_handle(OVER_SEEDS)] if several(frame, "seed") else []


def chance_line(axis: Axes, level: float) -> None:
    """A dotted horizontal line at ``level``."""
    axis.axhline(level, color=GREY, linestyle=":", linewidth=1.4, zorder=1)


def chance_curve(axis: Axes, part: pd.DataFrame, column: str) -> None:
    """A dotted line through the mean of ``column`` at each epoch; nothing without the column."""
    if column in part:
        level = part.groupby("epoch")[column].mean()
        axis.plot(level.index, level, color=GREY, linestyle=":", linewidth=1.4, zorder=1.2)
