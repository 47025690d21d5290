"""How fast this machine is: a training step and an attribution in the shape of profile tiny."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from kc_utils.doctor.costs import Speed
from kc_utils.machine import usable_cores

BLOCKS, TOKENS = 2, 256
N_PAIRS = 24
SECONDS = 2.0  # for each of the three jobs
LEAST_ROUNDS = 3


def measure(seconds: float = SECONDS) -> Speed:
    """Time the three jobs for about ``seconds`` each; random weights and tokens will do."""
    from dataclasses import replace

    import torch

    from kc_utils.attribution import AttributionSettings, attribute
    from kc_utils.bench import shapes
    from kc_utils.bench.timing import threads
    from kc_utils.bridge import boot_bridge

    shape = replace(shapes.tiny_profile(), n_pairs=N_PAIRS)
    model = shapes.random_model(shape)
    ids = torch.randint(
        shape.vocab_size, (BLOCKS, TOKENS), generator=torch.Generator().manual_seed(shapes.SEED)
    )
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step() -> None:
        model(ids, labels=ids).loss.backward()
        optimiser.step()
        optimiser.zero_grad()

    training = _least(step, seconds)
    with threads(1):
        training_one_thread = _least(step, seconds)
        bridge = boot_bridge(shapes.random_model(shape), shapes.any_tokenizer())
        how = AttributionSettings("eap-ig", shape.steps, batch_size=shape.batch_size)
        batch = shapes.random_batch(shape)
        attribution = _least(lambda: attribute(bridge, batch, how), seconds)
    return Speed(training, training_one_thread, attribution, usable_cores())


def _least(job: Callable[[], Any], seconds: float) -> float:
    """Least wall time of a job over several rounds, after one that is not counted."""
    job()
    taken: list[float] = []
    started = time.perf_counter()
    while len(taken) < LEAST_ROUNDS or time.perf_counter() - started < seconds:
        start = time.perf_counter()
        job()
        taken.append(time.perf_counter() - start)
    return round(min(taken), 5)
