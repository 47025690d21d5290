"""A small drawing board for schematic figures: boxes, arrows and words as inline SVG."""

from __future__ import annotations

import hashlib
import math
from html import escape

from kc_utils.plots.drawing import Drawing
from kc_utils.plots.drawing_plan import num as plain
from kc_utils.plots.drawing_theme import css

_SHEET = """
&.plain{max-width:600px}
& .word{fill:var(--ink);font-size:12.5px;text-anchor:middle}
& .note{fill:var(--mute);font-size:11.5px;text-anchor:middle}
& .stream{fill:none;stroke:var(--edge);stroke-width:5;stroke-linecap:round}
"""
_TIP = 6.0
Units = int | float  # SVG user units


def num(value: Units) -> str:
    """A coordinate to a tenth of a unit."""
    return plain(float(value))


class Board:
    """Collect marks in SVG user units, y downwards; colours are names of the drawing theme."""

    def __init__(self, width: Units, height: Units) -> None:
        self.size = (width, height)
        self.marks: list[str] = []

    def word(self, x: Units, y: Units, text: str, kind: str = "word") -> None:
        """Text centred at a point; ``kind`` is word or note."""
        self.marks.append(
            f'<text class="{kind}" x="{num(x)}" y="{num(y)}" dy=".35em">{escape(text)}</text>'
        )

    def box(self, x: Units, y: Units, text: str, width: Units = 60, height: Units = 24) -> None:
        """A named box around its centre."""
        self.marks.append(
            f'<rect class="box" x="{num(x - width / 2)}" '
            f'y="{num(y - height / 2)}" width="{num(width)}" height="{num(height)}" rx="4"/>'
        )
        self.word(x, y, text)

    def dot(self, x: Units, y: Units, colour: str = "edge", size: Units = 4.0) -> None:
        """A filled disc."""
        fill = f"fill:var(--{colour})"
        self.marks.append(f'<circle style="{fill}" cx="{num(x)}" cy="{num(y)}" r="{num(size)}"/>')

    def line(self, x0: Units, y0: Units, x1: Units, y1: Units) -> None:
        """A thick line without a tip: a stream."""
        ends = f"M{num(x0)} {num(y0)}L{num(x1)} {num(y1)}"
        self.marks.append(f'<path class="stream" d="{ends}"/>')

    def arrow(
        self, x0: Units, y0: Units, x1: Units, y1: Units, colour: str = "edge", dashed: bool = False
    ) -> None:
        """A straight arrow; dashes tell two colours apart without seeing them."""
        length = math.hypot(x1 - x0, y1 - y0)
        dx, dy = (x1 - x0) / length * _TIP, (y1 - y0) / length * _TIP
        style = f"stroke:var(--{colour});stroke-width:2" + (";stroke-dasharray:6 4" * dashed)
        ends = f"M{num(x0)} {num(y0)}L{num(x1 - dx)} {num(y1 - dy)}"
        self.marks.append(f'<path class="e" style="{style}" d="{ends}"/>')
        corners = [(x1, y1), (x1 - dx - dy / 1.6, y1 - dy + dx / 1.6)]
        corners.append((x1 - dx + dy / 1.6, y1 - dy - dx / 1.6))
        points = "L".join(f"{num(x)} {num(y)}" for x, y in corners)
        self.marks.append(f'<path style="fill:var(--{colour})" d="M{points}Z"/>')

    def drawing(self, alt: str) -> Drawing:
        """The finished drawing; the same marks give the same HTML."""
        inside = "".join(self.marks)
        name = f"kc-{hashlib.sha256((alt + inside).encode()).hexdigest()[:12]}"
        box = f"0 0 {num(self.size[0])} {num(self.size[1])}"
        return Drawing(
            f'<div id="{name}" class="kc-drawing plain"><style>{css(name)}'
            f'{_SHEET.replace("&", f"#{name}")}</style><svg class="circuit" viewBox="{box}" '
            f'role="img" aria-label="{escape(alt)}">{inside}</svg></div>',
            alt,
        )
