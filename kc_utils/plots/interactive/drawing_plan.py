"""Where the parts of a circuit drawing stand: layers upwards, heads in columns, MLPs beside."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cached_property

from kc_utils.errors import KcError

_NAME = re.compile(
    r"(?:a(?P<layer>\d+)\.h(?P<head>\d+)(?:<(?P<port>[qkv])>)?|m(?P<mlp>\d+)|input|logits)"
)
_PORT = {"q": -1, "k": 0, "v": 1}
_MLP_RISE = 0.45  # of a layer: an MLP reads after the heads of its layer and before the next ones
_LEFT, _RIGHT, _TOP = 40.0, 16.0, 14.0
_LETTER, _BAR = 5.8, 18.0  # width of a letter of a name, height of a bar or named node


@dataclass(frozen=True)
class Spot:
    """A node name taken apart: kind is input, head, mlp or logits; port is q, k, v or empty."""

    name: str
    kind: str
    layer: int = 0
    head: int = 0
    port: str = ""

    @property
    def node(self) -> str:
        """The name without the port."""
        return f"a{self.layer}.h{self.head}" if self.kind == "head" else self.name

    @property
    def reader(self) -> str:
        """What the edge that ends here feeds: q, k, v, mlp or logits; empty for a writer."""
        return self.port if self.kind == "head" else self.kind.replace("input", "")


@dataclass(frozen=True)
class Plan:
    """Coordinates of a drawing in SVG user units, y downwards.

    ``width`` is that of the whole drawing; the height follows from the number of layers, which
    together are at most about ``tall`` units high.
    """

    n_layers: int
    n_heads: int
    width: float
    tall: float = 760.0

    def __post_init__(self) -> None:
        if self.n_layers < 1 or self.n_heads < 1:
            raise KcError(
                f"A drawing needs at least one layer and one head, not n_layers={self.n_layers} "
                f"and n_heads={self.n_heads}."
            )

    @property
    def column(self) -> float:
        """Width of a head's column; the MLPs have the last one."""
        return (self.width - _LEFT - _RIGHT) / (self.n_heads + 1)

    @property
    def row(self) -> float:
        """Height of a layer."""
        return min(72.0, max(16.0, self.tall / self.n_layers))

    @cached_property
    def named(self) -> bool:
        """Whether there is room for names inside the nodes."""
        return self.column >= self.node_width("head") + 3 and self.row >= 24

    @property
    def radius(self) -> float:
        """Half the size of a node that carries no name."""
        return min(6.0, 0.2 * self.row, 0.3 * self.column)

    @property
    def half(self) -> float:
        """Half the height of a node."""
        return min(_BAR, 0.6 * self.row) / 2 if self.named else self.radius

    @property
    def centre(self) -> float:
        return _LEFT + self.column * (self.n_heads + 1) / 2

    @property
    def bar(self) -> float:
        """Half the width of the bars of input and logits."""
        return 0.3 * self.column * (self.n_heads + 1) + 20

    @property
    def floor(self) -> float:
        """y of the heads of layer 0."""
        below_logits = max(0.7 * self.row, 36.0)
        return _TOP + below_logits + (self.n_layers - 1 + _MLP_RISE) * self.row

    @property
    def height(self) -> float:
        return self._input + _BAR / 2 + 22

    @property
    def _input(self) -> float:
        return self.floor + max(0.8 * self.row, 40.0)

    def node_width(self, kind: str) -> float:
        """Width of a named head or MLP."""
        longest = f"a{self.n_layers - 1}.h{self.n_heads - 1}"
        mlp = f"m{self.n_layers - 1}"
        return _LETTER * len(longest) + 7 if kind == "head" else _LETTER * len(mlp) + 12

    def spot(self, name: str) -> Spot:
        """Take a name apart; KcError when it is no node of this graph."""
        match = _NAME.fullmatch(name)
        if not match:
            raise KcError(f"{name!r} is no node name such as input, a0.h1, a0.h1<q>, m0 or logits.")
        if name in ("input", "logits"):
            return Spot(name, name, layer=-1 if name == "input" else self.n_layers)
        is_mlp = match["mlp"] is not None
        layer, head = int(match["mlp"] if is_mlp else match["layer"]), int(match["head"] or 0)
        if layer >= self.n_layers or head >= self.n_heads:
            raise KcError(
                f"Node {name!r} is outside of {self.n_layers} layers with {self.n_heads} heads."
            )
        return Spot(name, "mlp" if is_mlp else "head", layer, head, match["port"] or "")

    def check_edge(self, source: Spot, target: Spot) -> None:
        """KcError unless ``source`` is a writer and ``target`` a reader that comes later."""
        edge = f"{source.name}->{target.name}"
        if source.port or source.kind == "logits":
            raise KcError(f"{edge!r} starts at a reader; sources look like input, a0.h1 or m0.")
        if not target.reader:
            raise KcError(f"{edge!r} ends at a writer; targets look like a0.h1<q>, m0 or logits.")
        if self._depth(source) >= self._depth(target):
            raise KcError(f"{edge!r} is not a possible edge: the reader comes first.")

    def _depth(self, spot: Spot) -> float:
        return spot.layer + (_MLP_RISE if spot.kind == "mlp" else 0.0)

    def place(self, spot: Spot) -> tuple[float, float]:
        """The middle of a node."""
        if spot.kind == "input":
            return self.centre, self._input
        if spot.kind == "logits":
            return self.centre, _TOP
        column = self.n_heads if spot.kind == "mlp" else spot.head
        x = _LEFT + self.column * (column + 0.5)
        return x, self.floor - self._depth(spot) * self.row

    def curve(self, source: Spot, target: Spot) -> str:
        """Path data of an edge: it leaves upwards and arrives from below.

        q, k and v arrive beside each other. Edges within a column bow aside, else they would lie
        on top of each other. Bars are left and reached near the other end of the edge.
        """
        (x0, y0), (x1, y1) = self.place(source), self.place(target)
        spread = 0.32 * self.node_width("head") if self.named else 0.65 * self.radius
        x1 += spread * _PORT.get(target.port, 0)
        if source.kind == "input":
            x0 += 0.6 * (x1 - x0)
        if target.kind == "logits":
            x1 += 0.6 * (x0 - x1)
        y0 -= _BAR / 2 if source.kind == "input" else self.half
        y1 += _BAR / 2 if target.kind == "logits" else self.half
        layers = (y0 - y1) / self.row
        rise = max(0.45 * (y0 - y1), 0.22 * self.row)
        bow = 0.0
        if abs(x1 - x0) < 0.3 * self.column and layers > 0.45:
            bow = self.column * min(1.3, 0.42 + 0.06 * layers)
            bow = -bow if source.kind == "mlp" else bow
        x2, x3, y2, y3 = x0 + bow, x1 + bow, y0 - rise, y1 + rise
        return f"M{num(x0)} {num(y0)}C{num(x2)} {num(y2)} {num(x3)} {num(y3)} {num(x1)} {num(y1)}"

    def layer_labels(self) -> list[tuple[int, float]]:
        """Layers to number, with their y."""
        step = math.ceil(13 / self.row)
        return [(i, self.floor - i * self.row) for i in range(0, self.n_layers, step)]

    def head_labels(self) -> list[tuple[str, float]]:
        """Columns to number, with their x."""
        step = math.ceil(17 / self.column)
        places = [(str(h), _LEFT + self.column * (h + 0.5)) for h in range(0, self.n_heads, step)]
        if len(places) > 1 and places[-1][1] > self.width - _RIGHT - self.column / 2 - 26:
            places.pop()  # the word MLP needs the room
        return [*places, ("MLP", _LEFT + self.column * (self.n_heads + 0.5))]


def num(value: float | int) -> str:
    """A coordinate to a tenth of a unit."""
    return f"{value:.1f}".removesuffix(".0")
