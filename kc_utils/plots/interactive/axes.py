"""Marks of figures with a slider as SVG: axes, lines, cells of a map, samples for the legend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.ticker import MaxNLocator

from kc_utils.plots.interactive.figure import sample
from kc_utils.plots.markup import escape
from kc_utils.plots.style import HEAT

Numbers = Sequence[float | int] | np.ndarray
# Markers of the palette as SVG path data, relative to the middle of the marker.
MARKS = {
    "o": "m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0z",
    "s": "m-2.7-2.7h5.4v5.4h-5.4z",
    "^": "m0-3.6l3.3 6h-6.6z",
    "v": "m0 3.6l3.3-6h-6.6z",
    "D": "m0-3.6l3.6 3.6l-3.6 3.6l-3.6-3.6z",
}
_SHADES = 24  # colours of a map


@dataclass(frozen=True)
class Axes:
    """A rectangle in SVG units, y downwards, and the values at its edges.

    ``x`` are the values at the left and right edge, ``y`` those at the bottom and top one.
    """

    left: float
    right: float
    top: float
    bottom: float
    x: tuple[float, float]
    y: tuple[float, float]

    def across(self, values: Numbers) -> np.ndarray:
        """Values of x in SVG units."""
        share = (np.asarray(values, dtype=float) - self.x[0]) / (self.x[1] - self.x[0])
        return self.left + share * (self.right - self.left)

    def up(self, values: Numbers) -> np.ndarray:
        """Values of y in SVG units."""
        share = (np.asarray(values, dtype=float) - self.y[0]) / (self.y[1] - self.y[0])
        return self.bottom - share * (self.bottom - self.top)

    def x_ticks(self, ticks: Sequence[tuple[float, str]], label: str = "") -> str:
        """Words below the axis; ``label`` below them."""
        places = self.across([value for value, _ in ticks])
        words = [
            _text(x, self.bottom + 12, "c", word)
            for x, (_, word) in zip(places, ticks, strict=True)
        ]
        return "".join([*words, _text((self.left + self.right) / 2, self.bottom + 25, "c", label)])

    def y_ticks(
        self, ticks: Sequence[tuple[float, str]], label: str = "", grid: bool = True
    ) -> str:
        """Words left of the axis and lines at their height; ``label`` above the axis."""
        marks = []
        for y, (_, word) in zip(self.up([value for value, _ in ticks]), ticks, strict=True):
            if grid:
                marks.append(
                    f'<path class="grid" d="M{self.left:g} {y:.1f}H{self.right:g}"></path>'
                )
            marks.append(_text(self.left - 5, y + 3.6, "r", word))
        return "".join([*marks, _text(self.left - 24, self.top - 9, "", label)])


def nice(low: float, high: float, most: int = 4) -> list[tuple[float, str]]:
    """Round values that reach from ``low`` to ``high``, with their words."""
    if not high > low:
        low, high = low - 0.5, low + 0.5
    values = MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [(float(v), f"{v:.6g}") for v in np.round(values, 10) + 0.0]


def epochs_of(epochs: Numbers, most: int = 6) -> list[tuple[float, str]]:
    """Ticks at some of the epochs, the last one among them."""
    step = max(1, -(-(len(epochs) - 1) // (most - 1)))
    return [(e, epoch_word(e)) for e in list(epochs)[::-1][::step][::-1]]


def epoch_word(epoch: float) -> str:
    """An epoch to a hundredth: checkpoints may lie between whole epochs, after a whole step."""
    return f"{round(epoch, 2):g}"


def layers_of(layers: Sequence[int], most: int = 8) -> list[tuple[float, str]]:
    """Ticks at some of the layers; layer -1 is the input node."""
    step = max(1, -(-len(layers) // most))
    return [(float(v), "input" if v < 0 else f"{v}") for v in layers[::step]]


def title(words: str) -> str:
    """The heading of a panel."""
    return f'<text class="title" x="0" y="11">{escape(words)}</text>'


def polyline(
    classes: str,
    x: Sequence | np.ndarray,
    y: Sequence | np.ndarray,
    marker: str | None = None,
    moves: bool = False,
) -> str:
    """A line with markers as an SVG group; points with None are left out.

    One that ``moves`` is marked for the script.
    """
    there = [f"{a:g} {b:g}" for a, b in zip(x, y, strict=True) if None not in (a, b)]
    line = "".join(("L" if i else "M") + point for i, point in enumerate(there))
    mark = MARKS[marker] if marker else ""
    data = f' data-line="{mark}"' if moves else ""
    marks = "".join(f"M{point}{mark}" for point in there) if mark else ""
    second = f'<path class="mark" d="{marks}"></path>' if mark else ""
    return f'<g class="{classes}"{data}><path class="line" d="{line}"></path>{second}</g>'


def cells(
    values: np.ndarray, left: Numbers, upper: Numbers, wide: float, high: float, brightest: float
) -> str:
    """A map as one path per colour: ``values`` [column, row] from 0 to ``brightest`` and more.

    ``left`` and ``upper`` are the edges of the columns and rows; cells without a number stay empty.
    """
    shades: dict[int, list[str]] = {}
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            cell = f"M{left[i]:.1f} {upper[j]:.1f}h{wide:.1f}v{high:.1f}h{-wide:.1f}z"
            shade = min(_SHADES, max(0, round(_SHADES * value / (brightest or 1.0))))
            shades.setdefault(shade, []).append(cell)
    paths = "".join(
        f'<path fill="{_colour(shade)}" d="{"".join(found)}"></path>'
        for shade, found in sorted(shades.items())
    )
    return f'<g class="cells">{paths}</g>'


def cells_key() -> str:
    """The sample of a legend entry: the colours of a map."""
    return sample("".join(
        f'<rect x="{5 * i}" y="1" width="5" height="10" fill="{_colour(_SHADES * i // 5)}"></rect>'
        for i in range(6)
    ))  # fmt: skip


def line_key(classes: str, marker: str | None = None, css: str = "line") -> str:
    """The sample of a legend entry: a line, with a marker in its middle."""
    mark = f'<path class="mark" d="M15 6{MARKS[marker]}"></path>' if marker else ""
    return sample(f'<g class="{classes}"><path class="{css}" d="M1 6H29"></path>{mark}</g>')


def _colour(shade: int) -> str:
    return mpl.colors.to_hex(mpl.colormaps[HEAT](shade / _SHADES))


def _text(x: float, y: float, classes: str, words: str) -> str:
    css = f' class="{classes}"' if classes else ""
    return f'<text{css} x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>' if words else ""
