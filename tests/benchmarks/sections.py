"""What is measured: each section returns the values that ``bench.json`` holds for it.

A section takes whether toy shapes will do, how many rounds to time, and the device of the models.
The graph, files and memory are those of the CPU on every device.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch

from kc_utils.circuits import evaluate_circuit
from kc_utils.circuits.ablation import references
from kc_utils.circuits.circuit import top_sizes
from kc_utils.circuits.graph import Graph
from kc_utils.circuits.score_files import write_scores
from kc_utils.circuits.settings import METHODS
from kc_utils.models.devices import has_bfloat16
from kc_utils.training.trainer import fast_kernels, next_token_loss

from . import shapes
from .both_sides import (
    Values,
    attribution_over_floor,
    case,
    circuit_over_forwards,
    recorded,
    strongest,
)
from .family_times import families
from .memory import peak_bytes
from .on_device import finished
from .scaling import scaling
from .sizes import named
from .timing import Rounds, compare, timed

Section = Callable[[bool, Rounds, torch.device], Values]
N_CIRCUITS = 10
CIRCUIT_SIZES = {"5000": 5_000, "all": None, "300": 300}  # edges kept; None: all of them


def attribution(name: str, key: str, quick: bool, rounds: Rounds, device: torch.device) -> Values:
    """EAP-IG, over the passes of the plain model that it needs."""
    return recorded(key, attribution_over_floor(case(named(name, quick), device), rounds))


def methods(quick: bool, rounds: Rounds, device: torch.device) -> Values:
    """Every method over the floor of one step: two forward passes, one forward and backward.

    Of profile ``tiny``. ``exact`` is left out: it runs the model once per edge.
    """
    it = case(named("tiny", quick), device)
    names = [method for method in METHODS if method != "exact"]
    ratios = {name: attribution_over_floor(it, rounds, name, floor_steps=1) for name in names}
    return {"methods": {name: ratio.median for name, ratio in ratios.items()}}


def circuit_evaluation(quick: bool, rounds: Rounds, device: torch.device) -> Values:
    """One circuit from nothing, references included, over two plain forward passes.

    Measured for 5,000 edges, all edges and 300 edges of its own scores; the key is the worst.
    """
    key = "circuit_eval_gpt2_small_over_two_forwards"
    it = case(named("gpt2_small", quick), device)
    n_edges = it.shape.graph.n_edges
    kept = [n_edges if size is None else min(size, n_edges) for size in CIRCUIT_SIZES.values()]
    values: Values = {}
    for label, circuit in zip(CIRCUIT_SIZES, strongest(it, kept), strict=True):
        values |= recorded(f"{key}_{label}", circuit_over_forwards(it, circuit, rounds))
    worst = max(CIRCUIT_SIZES, key=lambda label: values[f"{key}_{label}"])
    suffixes = ("", "_min", "_cpu", "_seconds", "_floor_seconds", "_rounds")
    return {f"{key}{suffix}": values[f"{key}_{worst}{suffix}"] for suffix in suffixes} | values


def ten_circuits(quick: bool, rounds: Rounds, device: torch.device) -> Values:
    """Ten circuits of one checkpoint that share their references, over ten times one from nothing.

    Sizes are spread evenly in the logarithm from 0.1 % to 100 % of the edges.
    """
    it = case(named("gpt2_small", quick), device)
    circuits = strongest(it, sizes(it.shape.graph))

    def shared() -> None:
        refs = references(it.bridge, it.batch)
        for circuit in circuits:
            evaluate_circuit(it.bridge, it.batch, circuit, "corrupted", refs=refs)

    def separate() -> None:
        for circuit in circuits:
            evaluate_circuit(it.bridge, it.batch, circuit, "corrupted")

    ratio = compare(finished(shared, device), finished(separate, device), rounds)
    return recorded("ten_circuits_over_ten_times_one", ratio)


def graph_work(quick: bool, rounds: Rounds, device: torch.device) -> Values:
    """Seconds to make the graph, cut and prune ten circuits and write the scores; bytes of the
    scores of one circuit on disk."""
    shape = named("gpt2_small", quick)
    real = shape.graph.real_edges
    values = np.random.default_rng(shapes.SEED).standard_normal(real.shape, dtype=np.float32)
    scores = torch.from_numpy(values * real)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "scores.safetensors"

        def work() -> None:
            graph = shape.graph  # a new one: nothing is cached in it
            top_sizes(scores, graph, sizes(graph))
            write_scores(path, {"all": scores}, graph)

        work()
        seconds = [timed(work)[0] for _ in range(rounds.most)]
        size = path.stat().st_size
    return {
        "graph_topn_prune_write_seconds": median(seconds),
        "graph_topn_prune_write_seconds_min": min(seconds),
        "scores_file_bytes": size,
    }


def training_precision(quick: bool, rounds: Rounds, device: torch.device) -> Values:
    """A step of 512 tokens in mixed precision, over the same step in float32; tokens a second.

    Where the processor has no products of bfloat16, both are the same.
    """
    model = shapes.random_model(named("gpt2_small", quick)).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    tokens = min(512, model.config.n_positions)
    drawn = np.random.default_rng(shapes.SEED).integers(0, model.config.vocab_size, (1, tokens))
    ids = torch.from_numpy(drawn).to(device)

    def step(mixed: bool) -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
            outputs = model(input_ids=ids, use_cache=False)
        next_token_loss(outputs, ids).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    with fast_kernels(model):
        for _ in range(2):  # the first ones ask for the memory
            step(False)
        mixed = finished(partial(step, has_bfloat16()), device)
        ratio = compare(mixed, finished(partial(step, False), device), rounds)
    key = "training_mixed_over_float32"
    found = recorded(key, ratio)
    return found | {
        f"{key}_tokens_per_second": tokens / found[f"{key}_seconds"],
        f"{key}_floor_tokens_per_second": tokens / found[f"{key}_floor_seconds"],
    }


def memory_small(quick: bool, rounds: Rounds, device: torch.device) -> Values:
    """Peak bytes of a process that attributes with GPT-2 Small, without its parameters."""
    peak = peak_bytes("gpt2_small", quick)
    return {
        "peak_bytes_gpt2_small_over_model": peak["peak"] - peak["model"],
        **{f"peak_bytes_gpt2_small_{stage}": value for stage, value in peak.items()},
    }


def memory_xl(quick: bool, rounds: Rounds, device: torch.device) -> Values:
    """Peak bytes of a process that attributes with a model of GPT-2 XL's size, in all."""
    peak = peak_bytes("gpt2_xl", quick)
    return {
        "peak_bytes_gpt2_xl": peak["peak"],
        **{f"peak_bytes_gpt2_xl_{stage}": value for stage, value in peak.items()},
    }


SECTIONS: dict[str, Section] = {
    "eapig_gpt2_small": partial(attribution, "gpt2_small", "eapig_gpt2_small_over_floor"),
    "eapig_tiny": partial(attribution, "tiny", "eapig_tiny_over_floor"),
    "circuit_eval": circuit_evaluation,
    "ten_circuits": ten_circuits,
    "graph": graph_work,
    "training_precision": training_precision,
    "memory_gpt2_small": memory_small,
    "memory_gpt2_xl": memory_xl,
    "methods": methods,
    "families": families,
    "scaling": scaling,
}


def sizes(graph: Graph) -> list[int]:
    """Ten circuit sizes from 0.1 % to 100 % of the edges."""
    shares = np.geomspace(0.001, 1, N_CIRCUITS)
    return [max(1, round(share * graph.n_edges)) for share in shares]
