"""Figures with a slider: everything that is the same for all of them.

A figure is SVG that shows the last step of the slider, most often an epoch, and frames: for every
step a sentence, the points of each line and the place of each thing that moves. Frames are rounded
to a tenth of an SVG unit and stand as JSON in the figure, so it needs no kernel, no library and no
network.

Shared by figures with an epoch slider: checks of their tables, groups, legend samples.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from kc_utils.errors import KcError
from kc_utils.plots.interactive.drawing import Drawing
from kc_utils.plots.interactive.slider_axes import Numbers
from kc_utils.plots.interactive.slider_script import script
from kc_utils.plots.interactive.slider_theme import css
from kc_utils.plots.style import ordered
from kc_utils.plots.tables import check, check_unique

Points = Numbers | Sequence[Sequence[float | int]]

# Markers of the palette as SVG path data, relative to the middle of the marker.
MARKS = {
    "o": "m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0z",
    "s": "m-2.7-2.7h5.4v5.4h-5.4z",
    "^": "m0-3.6l3.3 6h-6.6z",
    "v": "m0 3.6l3.3-6h-6.6z",
    "D": "m0-3.6l3.6 3.6l-3.6 3.6l-3.6-3.6z",
}


class Slides:
    """The frames of one figure, filled while its SVG is written.

    Args:
        epochs: what the slider goes through, ascending; a play button comes with it.
        steps: instead of epochs, the names of the slider's steps.
        label: what the slider moves.
    """

    def __init__(
        self,
        epochs: Numbers | None = None,
        steps: Sequence[str] = (),
        label: str = "epoch",
    ) -> None:
        self.epochs = None if epochs is None else [float(epoch) for epoch in epochs]
        self.steps = list(steps) if epochs is None else [f"{epoch:g}" for epoch in epochs]
        self.label = label
        self._lines: list[tuple[list, list]] = []
        self._moves: list[tuple[list, list]] = []

    def line(self, classes: str, x: Points, y: Points, marker: str | None = None) -> str:
        """A line through points that change with the epoch, as SVG.

        ``x`` and ``y`` are in SVG units, one row per step, or one row for all steps; a point
        with NaN is left out. ``marker`` is a marker of the palette.
        """
        self._lines.append((_rounded(x), _rounded(y)))
        last = [v[-1] if v and isinstance(v[0], list) else v for v in self._lines[-1]]
        return polyline(classes, *last, marker, " data-line")

    def move(self, inside: str, x: Numbers, y: Numbers) -> str:
        """SVG that stands at (x, y) of the step; it vanishes where one of them is NaN."""
        self._moves.append((_rounded(x), _rounded(y)))
        at = [v[-1] for v in self._moves[-1]]
        off = ' class="off"' if None in at else ""
        place = " ".join(f"{v or 0:g}" for v in at)
        return f'<g data-move=""{off} transform="translate({place})">{inside}</g>'

    def drawing(
        self,
        panels: Sequence[str],
        keys: Sequence[tuple[str, str]],
        told: Sequence[str],
        alt: str,
        least: int = 330,
        extra: str = "",
        extra_script: Callable[[str], str] | None = None,
    ) -> Drawing:
        """The finished figure: ``panels`` are SVG elements, ``keys`` pairs of a sample and words.

        ``told`` is one sentence or two per step, read out when the slider moves. Panels stand
        beside each other as long as each has ``least`` pixels. ``extra`` stands at the end, and
        its script gets the id of the figure.
        """
        items = "".join(f"<li>{sample}{escape(words)}</li>" for sample, words in keys)
        frames = {
            "epochs": self.epochs,
            "steps": self.steps,
            "told": list(told),
            "lines": self._lines,
            "moves": self._moves,
        }
        inside = (
            f"{controls(self.steps, self.label, self.epochs is not None)}{readout(told[-1])}"
            f'<div class="panels" style="--least:{least}px">{"".join(panels)}</div>'
            f'<ul class="keys">{items}</ul>{extra}{embedded(frames)}'
        )
        more = extra_script or (lambda name: "")
        name = f"kc-{hashlib.sha256(f'{alt}{inside}'.encode()).hexdigest()[:12]}"
        return Drawing(
            f'<div id="{name}" class="kc-slides" role="group" aria-label="{escape(alt)}" '
            f'data-lm-suppress-shortcuts="true"><style>{css(name)}</style>{inside}'
            f"<script>{script(name)}{more(name)}</script></div>",
            alt,
        )


def controls(steps: Sequence[str], label: str = "epoch", epochs: bool = True) -> str:
    """Slider and, for epochs, play button and the box that links sliders.

    The script makes them visible.
    """
    more = (
        '<button type="button">Play</button><label class="link" hidden="hidden">'
        '<input type="checkbox" autocomplete="off"/>link the epochs of this page</label>'
    )
    last = len(steps) - 1
    return (
        f'<div class="time" hidden="hidden"><label>{escape(label)} <input type="range" min="0" '
        f'max="{last}" value="{last}" step="1" autocomplete="off" '
        f'aria-valuetext="{escape(steps[-1])}"/></label><output>{escape(steps[-1])}</output>'
        f"{more if epochs else ''}</div>"
    )


def readout(words: str) -> str:
    """The sentence about the epoch that is shown."""
    return f'<p class="told" aria-live="polite">{escape(words)}</p>'


def embedded(frames: Mapping) -> str:
    """``frames`` as JSON that no HTML parser can mistake for markup."""
    text = json.dumps(frames, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return f'<script type="application/json" class="frames">{text}</script>'


def polyline(
    classes: str,
    x: Sequence | np.ndarray,
    y: Sequence | np.ndarray,
    marker: str | None = None,
    extra: str = "",
) -> str:
    """A line with markers as an SVG group; points with None are left out."""
    there = [f"{a:g} {b:g}" for a, b in zip(x, y, strict=True) if None not in (a, b)]
    line = "".join(("L" if i else "M") + point for i, point in enumerate(there))
    mark = MARKS[marker] if marker else ""
    if extra:
        extra = f'{extra}="{mark}"'
    marks = "".join(f"M{point}{mark}" for point in there) if mark else ""
    second = f'<path class="mark" d="{marks}"></path>' if mark else ""
    return f'<g class="{classes}"{extra}><path class="line" d="{line}"></path>{second}</g>'


def by_epoch(frame: pd.DataFrame, column: str, x: str, epochs: Numbers, what: str) -> pd.DataFrame:
    """``column`` as a table with a row for each of ``epochs`` and a column per value of ``x``.

    Raises:
        KcError: one of the epochs is missing; ``what`` says whose line it is.
    """
    grid = frame.pivot(index="epoch", columns=x, values=column)
    if missing := [f"{e:g}" for e in epochs if e not in grid.index]:
        raise KcError(
            f"{what} has no row for epoch {', '.join(missing)}; every line needs all of the epochs "
            f"{', '.join(f'{e:g}' for e in epochs)}."
        )
    return grid.loc[list(epochs)]


def _rounded(values: Points) -> list:
    table = np.round(np.asarray(values, dtype=float), 1) + 0.0
    as_lists = np.where(np.isfinite(table), table, None).tolist()
    return _short(as_lists)


def _short(values: list | float | None) -> list | float | int | None:
    """Whole numbers without their point zero."""
    if isinstance(values, list):
        return [_short(v) for v in values]
    return int(values) if values is not None and values == int(values) else values


def prepared(
    frame: pd.DataFrame, columns: Sequence[str], optional: Sequence[str], name: str
) -> tuple[pd.DataFrame, list[float]]:
    """The checked table, and the epochs of all its rows, ascending.

    Raises:
        KcError: one of ``columns`` is missing, or two rows share all of ``columns`` but the last
            one and all of the ``optional`` columns that are there.
    """
    frame = check(frame, columns, name)
    keys = [*columns[:-1], *(c for c in optional if c in frame)]
    check_unique(frame, keys, name)
    return frame, sorted(float(e) for e in frame["epoch"].unique())


def groups(frame: pd.DataFrame, column: str) -> Iterator[tuple[Any, pd.DataFrame]]:
    """The parts of ``frame`` in the palette's order; None and all of it without the column."""
    if column not in frame:
        yield None, frame
        return
    for value in ordered(column, frame[column]):
        yield value, frame[frame[column] == value]


def line_key(classes: str, marker: str | None = None, css: str = "line") -> str:
    """The sample of a legend entry: a line, with a marker in its middle."""
    mark = f'<path class="mark" d="M15 6{MARKS[marker]}"></path>' if marker else ""
    return (
        f'<svg class="key" viewBox="0 0 30 12" aria-hidden="true"><g class="{classes}">'
        f'<path class="{css}" d="M1 6H29"></path>{mark}</g></svg>'
    )
