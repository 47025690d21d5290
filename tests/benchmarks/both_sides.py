"""The engine beside its floor, on one model and one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import torch
from transformer_lens.model_bridge import TransformerBridge
from transformers import PreTrainedModel

from kc_utils.circuits import evaluate_circuit
from kc_utils.circuits.adapter import graph_of
from kc_utils.circuits.attribution import AttributionSettings, attribute
from kc_utils.circuits.bridge import boot_bridge
from kc_utils.circuits.circuit import Circuit, top_sizes
from kc_utils.circuits.pair_batch import PairBatch

from . import shapes
from .floor import attribution_floor, two_forwards
from .on_device import CPU, finished
from .shapes import Shape
from .timing import Ratio, Rounds, compare

Values = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A plain model, the bridge around its parameters, and pairs to measure both on."""

    shape: Shape
    model: PreTrainedModel
    bridge: TransformerBridge
    batch: PairBatch
    device: torch.device


def case(shape: Shape, device: torch.device = CPU, model: PreTrainedModel | None = None) -> Case:
    """Random pairs and a random model on ``device``; GPT-2's unless a ``model`` is given."""
    model = (shapes.random_model(shape) if model is None else model).to(device)
    bridge = boot_bridge(model, shapes.any_tokenizer())
    return Case(shape, model, bridge, shapes.random_batch(shape).to(device), device)


def attribution_over_floor(
    it: Case, rounds: Rounds, method: str = "eap-ig", floor_steps: int | None = None
) -> Ratio:
    """A method over the passes of the plain model for ``floor_steps`` steps (None: its own)."""
    size, steps = it.shape.batch_size, floor_steps or it.shape.steps
    settings = AttributionSettings(method, it.shape.steps, batch_size=size)
    return compare(
        finished(lambda: attribute(it.bridge, it.batch, settings), it.device),
        finished(lambda: attribution_floor(it.model, it.batch, steps, size), it.device),
        rounds,
    )


def circuit_over_forwards(it: Case, circuit: Circuit, rounds: Rounds) -> Ratio:
    """One circuit from nothing, references included, over two plain forward passes.

    Both run all pairs at once.
    """
    size = len(it.batch)
    return compare(
        finished(
            lambda: evaluate_circuit(it.bridge, it.batch, circuit, "corrupted", batch_size=size),
            it.device,
        ),
        finished(lambda: two_forwards(it.model, it.batch, size), it.device),
        rounds,
    )


def strongest(it: Case, sizes: Sequence[int]) -> list[Circuit]:
    """The circuits of so many of the strongest edges by EAP."""
    settings = AttributionSettings("eap", batch_size=it.shape.batch_size)
    return top_sizes(attribute(it.bridge, it.batch, settings), graph_of(it.bridge), sizes)


def strongest_half(it: Case) -> Circuit:
    """Half of the edges, so that every part of the model has work: a small circuit of a small
    model leaves some out."""
    return strongest(it, [graph_of(it.bridge).n_edges // 2])[0]


def within(rounds: Rounds, seconds: float) -> Rounds:
    """The same rounds, for at most ``seconds`` once the least number of them is done."""
    return replace(rounds, seconds=min(rounds.seconds, seconds))


def recorded(key: str, ratio: Ratio) -> Values:
    """Values for ``bench.json``: ``key`` is the median of the ratios of wall times."""
    return {
        key: ratio.median,
        f"{key}_min": ratio.of_least,
        f"{key}_cpu": ratio.of_cpu,
        f"{key}_seconds": median(ratio.wall),
        f"{key}_floor_seconds": median(ratio.floor_wall),
        f"{key}_rounds": len(ratio.wall),
    }
