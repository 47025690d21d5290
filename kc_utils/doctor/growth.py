"""How much longer work takes with twice the value of a parameter, in the shape of profile tiny.

Only for parameters whose cost does not follow from counting. Twice as many epochs, tasks or replay
ratios are twice as many equal jobs, so nothing has to be measured there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from kc_utils.bench import shapes
from kc_utils.bench.shapes import Shape
from kc_utils.bench.timing import Rounds, compare, threads
from kc_utils.doctor.jobs import attribution, circuit, training, twice

SECONDS = 3.0  # for each parameter


def measure(shape: Shape | None = None, seconds: float = SECONDS) -> dict[str, float]:
    """Parameter -> ratio of CPU times with twice the value and with the value, on one thread.

    Training parameters are judged by the time of as many tokens. ``shape`` is that of profile tiny
    unless another is given.
    """
    shape = shape or shapes.tiny_profile()
    sides: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "circuit.n_pairs": (
            attribution(shape), attribution(replace(shape, n_pairs=2 * shape.n_pairs))
        ),
        "circuit.steps": (attribution(shape), attribution(replace(shape, steps=2 * shape.steps))),
        "circuit.top_n": (circuit(shape, 1), circuit(shape, 2)),
        "model.n_layers": (
            training(shape, 2), training(replace(shape, n_layers=2 * shape.n_layers), 2)
        ),
        "training.batch_size": (twice(training(shape, 2)), training(shape, 4)),
    }  # fmt: skip
    with threads(1):
        return {
            name: round(compare(double, single, Rounds(seconds=seconds)).of_cpu, 3)
            for name, (single, double) in sides.items()
        }
