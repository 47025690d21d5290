"""Figures with a slider: everything that is the same for all of them.

A figure is SVG that shows the last step of the slider, most often an epoch, and frames: for every
step a sentence, the points of each line and the place of each thing that moves. Frames are rounded
to a tenth of an SVG unit and stand as JSON in the figure, for the script.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from kc_utils.errors import KcError
from kc_utils.plots.interactive.axes import Axes, Numbers, epoch_word, polyline
from kc_utils.plots.interactive.figure import Drawing, as_json, assemble, legend
from kc_utils.plots.markup import escape
from kc_utils.plots.style import LOOKS

Points = Numbers | Sequence[Sequence[float | int]]


class Slides:
    """One figure with a slider, filled panel by panel.

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
        self.steps = list(steps) if epochs is None else [epoch_word(epoch) for epoch in epochs]
        self.label = label
        self.panels: list[str] = []
        self._told: list[list[str]] = [[] for _ in self.steps]
        self._lines: list[tuple[list, list]] = []
        self._moves: list[tuple[list, list]] = []

    def line(self, classes: str, x: Points, y: Points, marker: str | None = None) -> str:
        """A line through points that change with the step, as SVG.

        ``x`` and ``y`` are in SVG units, one row per step, or one row for all steps; a point
        with NaN is left out. ``marker`` is a marker of the palette.
        """
        self._lines.append((_rounded(x), _rounded(y)))
        last = [v[-1] if v and isinstance(v[0], list) else v for v in self._lines[-1]]
        return polyline(classes, *last, marker, moves=True)

    def move(self, inside: str, x: Numbers, y: Numbers) -> str:
        """SVG that stands at (x, y) of the step; it vanishes where one of them is NaN."""
        self._moves.append((_rounded(x), _rounded(y)))
        at = [v[-1] for v in self._moves[-1]]
        off = ' class="off"' if None in at else ""
        place = " ".join(f"{v or 0:g}" for v in at)
        return f'<g data-move=""{off} transform="translate({place})">{inside}</g>'

    def panel(self, width: float, height: float, alt: str, marks: Sequence[str]) -> None:
        """Add a panel of ``marks`` with an alternative text."""
        self.panels.append(
            f'<svg class="panel" viewBox="0 0 {width:g} {height:g}" role="img" '
            f'aria-label="{escape(alt)}">{"".join(marks)}</svg>'
        )

    def tell(self, words: Sequence[str]) -> None:
        """Add to what is said, and read out, at each step."""
        for told, more in zip(self._told, words, strict=True):
            told.append(more)

    def curve(self, axes: Axes, values: Numbers, kind: str | None) -> list[str]:
        """A curve over the epochs with a ring at that of the slider."""
        (css, marker), x, y = look_of("kind", kind), axes.across(self.epochs), axes.up(values)
        ring = self.move('<circle class="ring" r="4.6"></circle>', x, y)
        line = polyline(css, np.round(x, 1), np.round(y, 1), marker)
        return [line, f'<g class="{css}">{ring}</g>']

    def cursor(self, axes: Axes) -> str:
        """An upright line at the slider's epoch."""
        line = f'<path class="cursor" d="M0 {axes.top:g}V{axes.bottom:g}"></path>'
        return self.move(line, axes.across(self.epochs), [0.0] * len(self.epochs))

    def frames(self) -> dict[str, object]:
        """What the script needs for every step."""
        told = [" ".join(words) for words in self._told]
        return {
            "epochs": self.epochs,
            "steps": self.steps,
            "told": told,
            "lines": self._lines,
            "moves": self._moves,
        }

    def drawing(
        self,
        keys: Sequence[tuple[str, str]],
        title: str,
        alt: str | None = None,
        least: int = 330,
        extra: str = "",
        scripts: Sequence[str] = (),
    ) -> Drawing:
        """The finished figure.

        Args:
            keys: legend entries, pairs of a sample and words.
            title: what is drawn; with what is said at the last step it is the alternative text,
                unless there is an ``alt``.
            least: panels stand beside each other as long as each has so many pixels.
            extra: HTML at the end, for ``scripts`` beside the one of the slider.
        """
        frames = self.frames()
        told = frames["told"]
        inside = (
            f"{controls(self.steps, self.label, self.epochs is not None)}{readout(told[-1])}"
            f'<div class="panels" style="--least:{least}px">{"".join(self.panels)}</div>'
            f"{legend(keys)}{extra}{embedded(frames)}"
        )
        alt = alt or f"{title} {told[-1]}"
        sheets = ("slides", "controls")
        return assemble("kc-slides", inside, alt, sheets, ("slides", *scripts))


def look_of(column: str, value: str | None) -> tuple[str, str]:
    """CSS class and marker of a line."""
    return f"s-{value or 'all'}", LOOKS[column][value].marker if value else "o"


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
    """The sentence about the step that is shown."""
    return f'<p class="told" aria-live="polite">{escape(words)}</p>'


def embedded(frames: Mapping) -> str:
    """The frames as the script reads them."""
    return f'<script type="application/json" class="frames">{as_json(frames)}</script>'


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
