"""How fast this machine is, and how much longer work takes with twice the value of a parameter.

Both are measured on small jobs in the shape of profile tiny, with random weights: attribution, the
evaluation of a circuit, steps of training.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from kc_utils.circuits import random_circuit
from kc_utils.circuits.attribution import AttributionSettings, attribute
from kc_utils.circuits.bridge import boot_bridge
from kc_utils.circuits.evaluation import evaluate_circuit
from kc_utils.cli.doctor import shapes
from kc_utils.cli.doctor.record import Speed
from kc_utils.cli.doctor.shapes import Shape
from kc_utils.cli.doctor.timing import Rounds, compare, least, threads
from kc_utils.runs.machine import usable_cores
from kc_utils.training.trainer import fast_kernels

STEPS = 6  # of the optimiser, in a job of training
BLOCKS = 2
N_PAIRS = 24
SPEED_SECONDS = 2.0  # for each of three jobs
GROWTH_SECONDS = 3.0  # for each parameter


def speed(seconds: float = SPEED_SECONDS) -> Speed:
    """Time the three jobs on the CPU for about ``seconds`` each.

    On one thread, CPU time counts, which other load changes little. More threads can only help:
    where they do not, because the cores are busy, the time of one thread stands for them too.
    """
    shape = replace(shapes.tiny_profile(), n_pairs=N_PAIRS)
    steps = training_job(shape, BLOCKS)
    training = least(steps, seconds, time.perf_counter)
    with threads(1):
        one_thread = least(steps, seconds)
        attribution = least(attribution_job(shape), seconds)
    return Speed(min(training, one_thread), one_thread, attribution, usable_cores())


def attribution_job(shape: Shape) -> Callable[[], Any]:
    """EAP-IG of a random model on the pairs of the shape."""
    bridge = boot_bridge(shapes.random_model(shape), shapes.any_tokenizer())
    batch = shapes.random_batch(shape)
    how = AttributionSettings("eap-ig", shape.steps, batch_size=shape.batch_size)
    return lambda: attribute(bridge, batch, how)


def circuit_job(shape: Shape, times: int) -> Callable[[], Any]:
    """Evaluation of a random circuit with ``times`` a tenth of the edges."""
    bridge = boot_bridge(shapes.random_model(shape), shapes.any_tokenizer())
    batch = shapes.random_batch(shape)
    drawn = random_circuit(shape.graph, times * shape.graph.n_edges // 10, shapes.SEED)
    return lambda: evaluate_circuit(bridge, batch, drawn)


def training_job(shape: Shape, blocks: int, tokens: int = 256) -> Callable[[], Any]:
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


def growth(shape: Shape | None = None, seconds: float = GROWTH_SECONDS) -> dict[str, float]:
    """Parameter -> ratio of CPU times with twice the value and with the value, on one thread.

    Only for parameters whose cost does not follow from counting: twice as many epochs, tasks or
    replay ratios are twice as many equal jobs. Training parameters are judged by the time of as
    many tokens. ``shape`` is that of profile tiny unless another is given.
    """
    shape = shape or shapes.tiny_profile()
    sides: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "circuit.n_pairs": (
            attribution_job(shape), attribution_job(replace(shape, n_pairs=2 * shape.n_pairs))
        ),
        "circuit.steps": (
            attribution_job(shape), attribution_job(replace(shape, steps=2 * shape.steps))
        ),
        "circuit.top_n": (circuit_job(shape, 1), circuit_job(shape, 2)),
        "model.n_layers": (
            training_job(shape, 2), training_job(replace(shape, n_layers=2 * shape.n_layers), 2)
        ),
        "training.batch_size": (twice(training_job(shape, 2)), training_job(shape, 4)),
    }  # fmt: skip
    with threads(1):
        return {
            name: round(compare(double, single, Rounds(seconds=seconds)).of_cpu, 3)
            for name, (single, double) in sides.items()
        }
