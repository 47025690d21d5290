"""How time grows with pairs, layers and heads, beside how the plain model's passes grow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import median

import numpy as np
import torch

from .both_sides import (
    Values,
    attribution_over_floor,
    case,
    circuit_over_forwards,
    strongest_half,
    within,
)
from .family_models import described
from .shapes import Shape
from .sizes import TOY
from .timing import Ratio, Rounds

SHAPE = Shape(4, 8, 256, 2000, n_pairs=16, n_tokens=16, batch_size=16)
WIDE = replace(SHAPE, n_layers=2, d_model=512)  # of the heads
SECONDS = 2.0  # for one point of one curve


def scaling(quick: bool, rounds: Rounds, device: torch.device) -> Values:
    """Seconds of ``attribute`` and ``evaluate_circuit`` and of their floors, at every point.

    One number grows at a time. The slope is that of a line through the logarithms of the median
    seconds: 1 is growth in proportion. Heads grow at a fixed width of the model: its passes then
    cost about the same at every point while the edges multiply, so a cost per edge would show.
    With a fixed width per head the passes would grow about as fast as the edges and hide it.
    """
    found = {}
    for grows, points in series(quick).items():
        measured: dict[str, list[Ratio]] = {"attribute": [], "evaluate_circuit": []}
        for shape in points.values():
            it, some = case(shape, device), within(rounds, SECONDS)
            measured["attribute"].append(attribution_over_floor(it, some))
            circuit = strongest_half(it)
            measured["evaluate_circuit"].append(circuit_over_forwards(it, circuit, some))
        edges = [shape.graph.n_edges for shape in points.values()]
        found[grows] = {
            "shape": described(next(iter(points.values()))),
            "points": list(points),
            "edges": edges,
            "edges_slope": slope(list(points), edges),
            **{name: curve(list(points), ratios) for name, ratios in measured.items()},
        }
    return {"scaling": found}


def series(quick: bool = False) -> dict[str, dict[int, Shape]]:
    """What grows, and the shape at each of its values."""
    if quick:
        toy = replace(TOY, batch_size=16)
        return {
            "pairs": {n: replace(toy, n_pairs=n) for n in (2, 4, 16)},
            "layers": {n: replace(toy, n_layers=n) for n in (1, 2, 8)},
            "heads": {n: replace(toy, n_heads=n) for n in (1, 2, 8)},
        }
    return {
        "pairs": {n: replace(SHAPE, n_pairs=n) for n in (8, 16, 32, 64)},
        "layers": {n: replace(SHAPE, n_layers=n) for n in (2, 4, 8, 16)},
        "heads": {n: replace(WIDE, n_heads=n) for n in (2, 4, 8, 16)},
    }


def curve(points: Sequence[int], ratios: Sequence[Ratio]) -> Values:
    """Median seconds and their slope, of the engine and of its floor, and the ratio of both."""
    seconds = [median(ratio.wall) for ratio in ratios]
    floor_seconds = [median(ratio.floor_wall) for ratio in ratios]
    return {
        "seconds": seconds,
        "floor_seconds": floor_seconds,
        "over_floor": [ratio.median for ratio in ratios],
        "slope": slope(points, seconds),
        "floor_slope": slope(points, floor_seconds),
    }


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Exponent a of y ~ x**a, by least squares on the logarithms."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])
