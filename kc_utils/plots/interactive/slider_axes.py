"""Axes of figures with an epoch slider: from values to SVG units, ticks and their words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from matplotlib.ticker import MaxNLocator

Numbers = Sequence[float | int] | np.ndarray


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
        words = [
            _text(x, self.bottom + 12, "c", word)
            for x, word in zip(self.across([v for v, _ in ticks]), _words(ticks), strict=True)
        ]
        return "".join([*words, _text((self.left + self.right) / 2, self.bottom + 25, "c", label)])

    def y_ticks(
        self, ticks: Sequence[tuple[float, str]], label: str = "", grid: bool = True
    ) -> str:
        """Words left of the axis and lines at their height; ``label`` above the axis."""
        marks = []
        for y, word in zip(self.up([v for v, _ in ticks]), _words(ticks), strict=True):
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
    return [(e, f"{e:g}") for e in list(epochs)[::-1][::step][::-1]]


def layers_of(layers: Sequence[int], most: int = 8) -> list[tuple[float, str]]:
    """Ticks at some of the layers; layer -1 is the input node."""
    step = max(1, -(-len(layers) // most))
    return [(float(v), "input" if v < 0 else f"{v}") for v in layers[::step]]


def title(words: str) -> str:
    """The heading of a panel."""
    return f'<text class="title" x="0" y="11">{escape(words)}</text>'


def panel(width: float, height: float, alt: str, inside: str) -> str:
    """A panel with an alternative text."""
    return (
        f'<svg class="panel" viewBox="0 0 {width:g} {height:g}" role="img" '
        f'aria-label="{escape(alt)}">{inside}</svg>'
    )


def _words(ticks: Sequence[tuple[float, str]]) -> list[str]:
    return [word for _, word in ticks]


def _text(x: float, y: float, classes: str, words: str) -> str:
    css = f' class="{classes}"' if classes else ""
    return f'<text{css} x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>' if words else ""
