"""Where the parts of an attribution graph stand: tokens from left to right, layers upwards.

Every token has a column, every layer a row. Inside a column the heads of a layer stand side by
side, and all MLPs in a lane of their own to the right. Columns and rows without a node are narrow:
the drawing stays readable on a phone.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from kc_utils.plots.interactive.drawing_plan import Spot, num

LANE, RADIUS = 22.0, 9.0  # width of a lane, half the size of a node; SVG units
_LEFT, _RIGHT, _TOP = 34.0, 14.0, 14.0
_IDLE, _GAP = 13.0, 10.0  # width of a column without nodes, room between the lanes of two columns
_HEADS, _MLP, _EMPTY = 38.0, 32.0, 13.0  # height of heads, of an MLP above them, of an empty layer
_LETTER, _SLANT = 5.2, 0.77  # width of a letter, sine of the angle of the tokens
_PORT = {"q": -4.5, "k": 0.0, "v": 4.5}

Place = tuple[Spot, int]  # a node (without its port) and the position of its token


class AttributionPlan:
    """Coordinates of the nodes of one prompt, in SVG units, y downwards."""

    def __init__(self, n_layers: int, tokens: list[str], places: Iterable[Place]) -> None:
        self.n_layers, self.tokens = n_layers, tokens
        self.heads: dict[tuple[int, int], list[int]] = {}  # of each position and layer
        self.mlps, self.bare = [False] * len(tokens), [True] * len(tokens)
        self.rows: list[set[str]] = [set() for _ in range(n_layers)]  # kinds of node in each layer
        for spot, position in places:
            self.bare[position] = False
            if spot.kind in ("head", "mlp"):
                self.rows[spot.layer].add(spot.kind)
            if spot.kind == "mlp":
                self.mlps[position] = True
            if spot.kind == "head":
                beside = self.heads.setdefault((position, spot.layer), [])
                beside[:] = sorted({*beside, spot.head})

    def _most_heads(self, position: int) -> int:
        """Heads side by side in the fullest layer of a column."""
        return max((len(h) for (at, _), h in self.heads.items() if at == position), default=0)

    @cached_property
    def edges(self) -> list[float]:
        """Left edge of each column, and the right edge of the last."""
        found = [_LEFT]
        for position, bare in enumerate(self.bare):
            n_lanes = max(1, self._most_heads(position) + self.mlps[position])
            wide = _IDLE if bare else LANE * n_lanes + _GAP
            found.append(found[-1] + wide)
        return found

    @property
    def width(self) -> float:
        return self.edges[-1] + _RIGHT

    @cached_property
    def heights(self) -> list[tuple[float, float]]:
        """Above the tokens: height of the heads and of the MLPs of each layer."""
        at, found = 0.0, []
        for kinds in self.rows:
            heads = at = at + (_HEADS if kinds else _EMPTY)
            if kinds == {"head", "mlp"}:
                at += _MLP
            found.append((heads, at))
        return found

    @cached_property
    def floor(self) -> float:
        """y of the tokens' nodes."""
        return _TOP + _HEADS + (self.heights[-1][1] if self.heights else 0.0)

    @property
    def height(self) -> float:
        return self.floor + 16 + _SLANT * _LETTER * max(map(len, self.tokens), default=0) + 10

    def middle(self, position: int) -> float:
        """x of the middle of a token's column."""
        return (self.edges[position] + self.edges[position + 1]) / 2

    def place(self, place: Place) -> tuple[float, float]:
        """The middle of a node."""
        spot, position = place
        if spot.kind in ("input", "logits"):
            return self.middle(position), self.floor if spot.kind == "input" else _TOP
        heads, mlp = self.heights[spot.layer]
        half_lane = LANE * self.mlps[position] / 2
        if spot.kind == "mlp":
            x = self.middle(position) + LANE * self._most_heads(position) / 2
        else:
            beside = self.heads[position, spot.layer]
            x = self.middle(position) - half_lane
            x += LANE * (beside.index(spot.head) - (len(beside) - 1) / 2)
        return x, self.floor - (heads if spot.kind == "head" else mlp)

    def curve(self, source: Place, target: Place) -> str:
        """Path data of an edge inside a column; one that passes other nodes bows aside."""
        (x0, y0), (x1, y1) = self.place(source), self.place(target)
        x1 += _PORT.get(target[0].port, 0.0)
        y0, y1 = y0 - RADIUS, y1 + RADIUS
        rise = max(0.4 * (y0 - y1), 8.0)
        far = y0 - y1 > _HEADS + _MLP
        bow = (0.5 * LANE if source[0].kind == "mlp" else -0.5 * LANE) if far else 0.0
        return _cubic(x0, y0, x0 + bow, y0 - rise, x1 + bow, y1 + rise, x1, y1)

    def link(self, spot: Spot, source: int, destination: int) -> str:
        """Path data from a head at the token that it reads to the same head where it writes."""
        (x0, y), (x1, _) = self.place((spot, source)), self.place((spot, destination))
        up = y - min(16.0, 6.0 + 0.06 * (x1 - x0))
        x0, x1 = x0 + RADIUS, x1 - RADIUS
        third = (x1 - x0) / 3
        return _cubic(x0, y, x0 + third, up, x1 - third, up, x1, y)

    def layer_labels(self) -> list[tuple[int, float]]:
        """Layers with nodes, with their y; and the others where there is room."""
        found: list[tuple[int, float]] = []
        for layer, (heads, _) in enumerate(self.heights):
            if self.rows[layer] or not found or found[-1][1] - (self.floor - heads) >= 2 * _EMPTY:
                found.append((layer, self.floor - heads))
        return found


def _cubic(*numbers: float) -> str:
    x0, y0, *rest = map(num, numbers)
    return f"M{x0} {y0}C{' '.join(rest)}"
