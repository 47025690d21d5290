"""What is measured: each section returns the values that ``bench.json`` holds for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from kc_utils.circuits import evaluate_circuit
from kc_utils.circuits.ablation import references
from kc_utils.circuits.attribution import METHODS, AttributionSettings, attribute
from kc_utils.circuits.bridge import boot_bridge
from kc_utils.circuits.circuit import top_n, top_sizes
from kc_utils.circuits.graph import Graph
from kc_utils.circuits.score_files import write_scores
from kc_utils.cli.doctor import shapes
from kc_utils.cli.doctor.shapes import Shape
from kc_utils.cli.doctor.timing import Ratio, Rounds, compare, timed

from .floor import attribution_floor, two_forwards
from .memory import peak_bytes
from .sizes import named

Values = dict[str, Any]
Section = Callable[[bool, Rounds], Values]
N_CIRCUITS = 10
CIRCUIT_SIZES = {"5000": 5_000, "all": None, "300": 300}  # edges kept; None: all of them


def attribution(name: str, key: str, quick: bool, rounds: Rounds) -> Values:
    """EAP-IG, over the passes of the plain model that it needs."""
    shape = named(name, quick)
    bridge, model, batch = _made(shape)
    settings = AttributionSettings("eap-ig", shape.steps, batch_size=shape.batch_size)
    ratio = compare(
        lambda: attribute(bridge, batch, settings),
        lambda: attribution_floor(model, batch, shape.steps, shape.batch_size),
        rounds,
    )
    return recorded(key, ratio)


def methods(quick: bool, rounds: Rounds) -> Values:
    """Every method over the floor of one step: two forward passes, one forward and backward.

    Of profile ``tiny``. ``exact`` is left out: it runs the model once per edge.
    """
    shape = named("tiny", quick)
    bridge, model, batch = _made(shape)
    ratios = {}
    for method in (name for name in METHODS if name != "exact"):
        settings = AttributionSettings(method, shape.steps, batch_size=shape.batch_size)
        ratio = compare(
            lambda settings=settings: attribute(bridge, batch, settings),
            lambda: attribution_floor(model, batch, 1, shape.batch_size),
            rounds,
        )
        ratios[method] = ratio.median
    return {"methods": ratios}


def circuit_evaluation(quick: bool, rounds: Rounds) -> Values:
    """One circuit from nothing, references included, over two plain forward passes.

    Measured for 5,000 edges, all edges and 300 edges of its own scores; the key is the worst.
    """
    key = "circuit_eval_gpt2_small_over_two_forwards"
    shape = named("gpt2_small", quick)
    bridge, model, batch = _made(shape)
    graph = shape.graph
    scores = attribute(bridge, batch, AttributionSettings("eap", batch_size=shape.batch_size))
    values: Values = {}
    for label, size in CIRCUIT_SIZES.items():
        n = graph.n_edges if size is None else min(size, graph.n_edges)
        circuit = top_n(scores, graph, n)
        ratio = compare(
            lambda circuit=circuit: evaluate_circuit(bridge, batch, circuit, "corrupted"),
            lambda: two_forwards(model, batch, len(batch)),
            rounds,
        )
        values |= recorded(f"{key}_{label}", ratio)
    worst = max(CIRCUIT_SIZES, key=lambda label: values[f"{key}_{label}"])
    suffixes = ("", "_min", "_cpu", "_seconds", "_floor_seconds", "_rounds")
    return {f"{key}{suffix}": values[f"{key}_{worst}{suffix}"] for suffix in suffixes} | values


def ten_circuits(quick: bool, rounds: Rounds) -> Values:
    """Ten circuits of one checkpoint that share their references, over ten times one from nothing.

    Sizes are spread evenly in the logarithm from 0.1 % to 100 % of the edges.
    """
    shape = named("gpt2_small", quick)
    bridge, _, batch = _made(shape)
    graph = shape.graph
    scores = attribute(bridge, batch, AttributionSettings("eap", batch_size=shape.batch_size))
    circuits = top_sizes(scores, graph, sizes(graph))

    def shared() -> None:
        refs = references(bridge, batch)
        for circuit in circuits:
            evaluate_circuit(bridge, batch, circuit, "corrupted", refs=refs)

    def separate() -> None:
        for circuit in circuits:
            evaluate_circuit(bridge, batch, circuit, "corrupted")

    return recorded("ten_circuits_over_ten_times_one", compare(shared, separate, rounds))


def graph_work(quick: bool, rounds: Rounds) -> Values:
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


def memory_small(quick: bool, rounds: Rounds) -> Values:
    """Peak bytes of a process that attributes with GPT-2 Small, without its parameters."""
    peak = peak_bytes("gpt2_small", quick)
    return {
        "peak_bytes_gpt2_small_over_model": peak["peak"] - peak["model"],
        **{f"peak_bytes_gpt2_small_{stage}": value for stage, value in peak.items()},
    }


def memory_xl(quick: bool, rounds: Rounds) -> Values:
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
    "memory_gpt2_small": memory_small,
    "memory_gpt2_xl": memory_xl,
    "methods": methods,
}


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


def sizes(graph: Graph) -> list[int]:
    """Ten circuit sizes from 0.1 % to 100 % of the edges."""
    shares = np.geomspace(0.001, 1, N_CIRCUITS)
    return [max(1, round(share * graph.n_edges)) for share in shares]


def _made(shape: Shape):
    model = shapes.random_model(shape)
    return boot_bridge(model, shapes.any_tokenizer()), model, shapes.random_batch(shape)
