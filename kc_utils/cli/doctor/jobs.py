"""The small jobs that are timed: attribution, a circuit, a training step, with random weights.

How much longer work takes with twice the value of a parameter, in the shape of profile tiny.

Only for parameters whose cost does not follow from counting. Twice as many epochs, tasks or replay
ratios are twice as many equal jobs, so nothing has to be measured there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from kc_utils.circuits import random_circuit
from kc_utils.circuits.attribution import AttributionSettings, attribute
from kc_utils.circuits.bridge import boot_bridge
from kc_utils.circuits.evaluation import evaluate_circuit
from kc_utils.cli.doctor import shapes
from kc_utils.cli.doctor.shapes import Shape
from kc_utils.cli.doctor.timing import Rounds, compare, threads
from kc_utils.training.trainer import fast_kernels

STEPS = 6


def attribution(shape: Shape) -> Callable[[], Any]:
    """EAP-IG of a random model on the pairs of the shape."""
    bridge = boot_bridge(shapes.random_model(shape), shapes.any_tokenizer())
    batch = shapes.random_batch(shape)
    how = AttributionSettings("eap-ig", shape.steps, batch_size=shape.batch_size)
    return lambda: attribute(bridge, batch, how)


def circuit(shape: Shape, times: int) -> Callable[[], Any]:
    """Evaluation of a random circuit with ``times`` a tenth of the edges."""
    bridge = boot_bridge(shapes.random_model(shape), shapes.any_tokenizer())
    batch = shapes.random_batch(shape)
    drawn = random_circuit(shape.graph, times * shape.graph.n_edges // 10, shapes.SEED)
    return lambda: evaluate_circuit(bridge, batch, drawn)


def training(shape: Shape, blocks: int, tokens: int = 256) -> Callable[[], Any]:
    """A few optimiser steps of a random model on ``blocks`` blocks of random tokens, by the kernels
    of real training: which are fastest differs between processors."""
    model = shapes.random_model(shape)
    generator = torch.Generator().manual_seed(shapes.SEED)
    ids = torch.randint(shape.vocab_size, (blocks, tokens), generator=generator)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def steps() -> None:
        with fast_kernels(model):  # the first step also pays for getting them ready
            for _ in range(STEPS):
                model(ids, labels=ids).loss.backward()
                optimiser.step()
                optimiser.zero_grad()

    return steps


def twice(job: Callable[[], Any]) -> Callable[[], Any]:
    """The job done two times."""

    def both() -> None:
        job()
        job()

    return both


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
