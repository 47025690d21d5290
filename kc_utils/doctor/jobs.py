"""The small jobs that are timed: attribution, a circuit, a training step, with random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from kc_utils.attribution import AttributionSettings, attribute
from kc_utils.bench import shapes
from kc_utils.bench.shapes import Shape
from kc_utils.bridge import boot_bridge
from kc_utils.circuit import random_circuit
from kc_utils.evaluation import evaluate_circuit
from kc_utils.training.engine import fast_kernels

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
