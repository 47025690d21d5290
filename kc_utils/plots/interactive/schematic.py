"""A schematic for each background chapter: boxes, arrows and words as inline SVG."""

from __future__ import annotations

import math

from kc_utils.plots.interactive.drawing_plan import num
from kc_utils.plots.interactive.figure import Drawing, assemble
from kc_utils.plots.markup import escape

_TIP = 6.0
Units = int | float  # SVG user units


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
        box = f"0 0 {num(self.size[0])} {num(self.size[1])}"
        svg = f'<svg class="circuit" viewBox="{box}" role="img" aria-label="{escape(alt)}">'
        return assemble("kc-drawing plain", f"{svg}{''.join(self.marks)}</svg>", alt, ["drawing"])


#: Writers of the little network, their place, and the edges between them.
_SPOTS = {"input": (90, 190), "a0.h0": (45, 140), "a0.h1": (135, 140), "a1.h0": (45, 84),
          "a1.h1": (135, 84), "logits": (90, 34)}  # fmt: skip
_EDGES = (("input", "a0.h0"), ("input", "a0.h1"), ("input", "a1.h0"), ("a0.h0", "a1.h0"),
          ("a0.h1", "a1.h0"), ("a0.h1", "a1.h1"), ("a0.h0", "a1.h1"), ("a1.h0", "logits"),
          ("a1.h1", "logits"))  # fmt: skip
_KEPT = {("input", "a0.h1"), ("a0.h1", "a1.h0"), ("a1.h0", "logits")}


def residual_stream() -> Drawing:
    """Two layers that read from and write to one stream."""
    board = Board(560, 190)
    board.line(70, 140, 486, 140)
    board.box(42, 140, "embed", 58)
    board.box(518, 140, "unembed", 68)
    for x, names in ((110, ("head 0", "head 1", "MLP")), (306, ("head 0", "head 1", "MLP"))):
        for i, name in enumerate(names):
            at = x + 60 * i
            board.box(at, 62, name, 52)
            board.arrow(at - 12, 136, at - 12, 76, "pos")
            board.arrow(at + 12, 76, at + 12, 134, "neg", dashed=True)
            board.dot(at + 12, 140, "neg", 5)
    board.word(170, 30, "layer 0")
    board.word(366, 30, "layer 1")
    board.word(
        278, 172, "blue, solid: reads a copy of the sum · orange, dashed: adds to the sum", "note"
    )
    return board.drawing(
        "Schematic: a thick horizontal line, the residual stream, leads from the embedding to the "
        "unembedding; two heads and an MLP in each of two layers read from it and add to it."
    )


def circuit_runs() -> Drawing:
    """The clean run, the corrupted run, and a circuit's run that mixes both."""
    board = Board(560, 232)
    titles = ("clean run", "corrupted run", "circuit's run")
    for panel, title in enumerate(titles):
        shift = 190 * panel
        board.word(90 + shift, 12, title)
        for start, end in _EDGES:
            (x0, y0), (x1, y1) = _SPOTS[start], _SPOTS[end]
            other = panel == 1 or (panel == 2 and (start, end) not in _KEPT)
            colour = "neg" if other else "pos"
            board.arrow(x0 + shift, y0 - 12, x1 + shift, y1 + 12, colour, dashed=other)
        for name, (x, y) in _SPOTS.items():
            board.box(x + shift, y, name, 54, 22)
    board.word(
        280,
        222,
        "blue, solid: values of this run · orange, dashed: values of the corrupted run",
        "note",
    )
    return board.drawing(
        "Schematic of three small networks: in the clean run all edges carry clean values, in the "
        "corrupted run all carry corrupted ones, and in the circuit's run three edges that form a "
        "path from input to logits carry the values of this run and all others corrupted ones."
    )


def patching() -> Drawing:
    """One vector is taken out of one run and put into another."""
    board = Board(560, 250)
    for shift, title, own in ((0, "corrupted run", "neg"), (310, "clean run", "pos")):
        board.word(120 + shift, 14, title)
        for row in range(4):
            for column in range(4):
                x, y = 30 + 60 * column + shift, 190 - 44 * row
                board.dot(x, y, own, 6)
                if row < 3:
                    board.arrow(x, y - 8, x, y - 36, "dot")
        board.word(120 + shift, 214, "tokens from left to right, layers upwards", "note")
    board.dot(90, 102, "pos", 11)
    board.dot(400, 102, "pos", 11)
    board.arrow(386, 102, 106, 102, "pos", dashed=True)
    for column, row in ((1, 3), (2, 3), (3, 3)):
        board.dot(30 + 60 * column, 190 - 44 * row, "v", 9)
    board.word(
        280,
        240,
        "denoising: one clean vector in the corrupted run; what lies behind it (green) may change",
        "note",
    )
    return board.drawing(
        "Schematic of two grids of tokens and layers: one vector of the clean run replaces the "
        "vector at the same place of the corrupted run, and the places above it and to its right "
        "react."
    )


def path_points(steps: int = 4) -> Drawing:
    """Which points of the path each rule takes."""
    board = Board(560, 170)
    left, right = 150.0, 520.0
    board.word(left, 14, "corrupted (0)")
    board.word(right - 14, 14, "clean (1)")
    rules = (("k = 1..m", 1.0, "pos"), ("k = 0..m-1", 0.0, "neg"), ("midpoint", 0.5, "v"))
    for row, (name, offset, colour) in enumerate(rules):
        y = 46 + 38 * row
        board.word(66, y, name)
        board.line(left, y, right, y)
        for k in range(steps + 1):
            board.dot(left + (right - left) * k / steps, y, "edge", 3.5)
        for k in range(steps):
            board.dot(left + (right - left) * (k + offset) / steps, y, colour, 8)
    board.word(280, 158, f"m = {steps} intervals; a gradient is taken at each large dot", "note")
    return board.drawing(
        f"Schematic of a line from the corrupted to the clean embedding in {steps} intervals, "
        "three times: gradients taken at the end of each interval, at its start, in its middle."
    )
