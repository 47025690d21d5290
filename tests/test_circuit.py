"""Circuits: cutting, pruning, running and measuring them."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import (
    GOLDEN,
    KINDS,
    SETS,
    golden_batch,
    golden_bridge,
    tiny_batch,
    tiny_model,
    tokenizer,
)

from kc_utils.circuits import (
    circuit_from_edges,
    evaluate_circuit,
    faithfulness,
    mean_outputs,
    random_circuit,
    top_n,
)
from kc_utils.circuits.ablation import references
from kc_utils.circuits.adapter import graph_of
from kc_utils.circuits.attribution import AttributionSettings, attribute
from kc_utils.circuits.bridge import boot_bridge
from kc_utils.circuits.circuit import circuit_from_names, full_circuit, prune
from kc_utils.circuits.circuit_run import run_circuit
from kc_utils.circuits.evaluation import BatchEvaluation, hit
from kc_utils.circuits.graph import Graph
from kc_utils.circuits.metrics import rank
from kc_utils.circuits.recovery import recovery
from kc_utils.errors import KcError

graphs = st.builds(Graph, st.integers(1, 4), st.integers(1, 4), st.booleans())
ABLATIONS = {"patching": "corrupted", "zero": "zero"}


def random_edges(graph: Graph, seed: int, share: float) -> np.ndarray:
    return (np.random.default_rng(seed).random(graph.real_edges.shape) < share) & graph.real_edges


def slow_prune(graph: Graph, names: set[str]) -> set[str]:
    """The rule of pruning, on sets of names."""
    pairs = {tuple(name.split("->")) for name in names}
    while True:
        node = {reader: reader.split("<")[0] for _, reader in pairs}
        fed = {node[reader] for _, reader in pairs} | {"input"}
        writes = {writer for writer, _ in pairs}
        alive = fed & writes
        kept = {(u, v) for u, v in pairs if u in alive and (v == "logits" or node[v] in alive)}
        if kept == pairs:
            return {f"{u}->{v}" for u, v in pairs}
        pairs = kept


@settings(max_examples=60, deadline=None)
@given(graphs, st.integers(0, 2**32), st.floats(0, 0.6))
def test_pruning(graph: Graph, seed: int, share: float) -> None:
    edges = random_edges(graph, seed, share)
    kept = prune(graph, edges)
    assert set(graph.edge_names(kept)) == slow_prune(graph, set(graph.edge_names(edges)))
    assert not (kept & ~edges).any()
    assert (prune(graph, kept) == kept).all()
    more = edges | random_edges(graph, seed + 1, 0.2)
    assert not (kept & ~prune(graph, more)).any(), "more edges never lose an edge"


def test_pruning_by_hand() -> None:
    graph = Graph(2, 1)
    names = ["input->m0", "m0->a1.h0<q>", "input->a0.h0<k>", "m0->logits", "m1->logits"]
    circuit = circuit_from_names(graph, names)
    assert set(circuit.edge_names) == {"input->m0", "m0->logits"}
    assert circuit.nodes == ("input", "m0")
    assert (circuit.n, circuit.n_edges) == (5, 2)
    table = circuit.table()
    assert table["writer"].tolist() == ["input", "m0"]
    assert table["reader_layer"].tolist() == [0, 2]


@settings(max_examples=40, deadline=None)
@given(graphs, st.integers(0, 2**32), st.floats(0, 1))
def test_top_n_keeps_the_strongest(graph: Graph, seed: int, share: float) -> None:
    n = round(share * graph.n_edges)
    values = np.random.default_rng(seed).normal(size=graph.real_edges.shape)
    values[~graph.real_edges] = 100.0  # must not matter
    circuit = top_n(torch.from_numpy(values), graph, n)
    limit = np.sort(np.abs(values[graph.real_edges]))[::-1][: max(n, 1)][-1]
    kept = (np.abs(values) >= limit) & graph.real_edges & (n > 0)
    assert (circuit.edges == prune(graph, kept)).all()
    assert circuit.n == n


def test_impossible_cuts_are_named() -> None:
    graph = Graph(2, 2)
    scores = np.zeros(graph.real_edges.shape)
    for n in (-1, graph.n_edges + 1):
        with pytest.raises(KcError, match=f"n={n} "):
            top_n(scores, graph, n)
        with pytest.raises(KcError, match=f"n_edges={n} "):
            random_circuit(graph, n, 0)
    scores[0, 0] = np.nan
    with pytest.raises(KcError, match="1 edge scores are not finite"):
        top_n(scores, graph, 3)
    with pytest.raises(KcError, match="shape"):
        top_n(scores[1:], graph, 3)


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 6), st.integers(2, 4), st.integers(0, 2**32), st.floats(0.1, 1))
def test_random_circuits_have_the_size_and_are_connected(
    n_layers: int, n_heads: int, seed: int, share: float
) -> None:
    graph = Graph(n_layers, n_heads)
    n = round(share * graph.n_edges)
    circuit = random_circuit(graph, n, seed)
    assert circuit.n_edges == n
    assert (prune(graph, circuit.edges) == circuit.edges).all()
    assert (random_circuit(graph, n, seed).edges == circuit.edges).all()


def test_random_circuits_differ_and_favour_no_edge() -> None:
    graph = Graph(3, 2)
    n = graph.n_edges // 2
    drawn = np.stack([random_circuit(graph, n, seed).edges for seed in range(300)])
    assert len({edges.tobytes() for edges in drawn}) == 300
    share = drawn.mean(0)[graph.real_edges]
    assert share.min() > 0.2
    assert share.max() < 0.8
    assert random_circuit(graph, 0, 1).n_edges == 0
    assert random_circuit(graph, graph.n_edges, 1).n_edges == graph.n_edges


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ablation", ["corrupted", "zero", "mean"])
def test_all_edges_are_the_model_and_none_the_ablation(kind: str, ablation: str) -> None:
    bridge, batch = boot_bridge(tiny_model(kind), tokenizer()), tiny_batch()
    graph, refs = graph_of(bridge), references(bridge, batch)
    means = mean_outputs(bridge, tiny_batch(seed=1))
    full = run_circuit(bridge, batch, graph.real_edges, ablation, means)
    assert torch.allclose(full, refs.clean_logits, atol=2e-4)
    empty = run_circuit(bridge, batch, np.zeros_like(graph.real_edges), ablation, means)
    assert torch.allclose(empty, refs.corrupted_logits, atol=2e-4) == (ablation == "corrupted")
    assert not torch.allclose(empty, full, atol=0.1)
    if ablation == "zero" and kind == "llama":
        assert bool((empty == 0).all()), "nothing is left in a model without biases"


@pytest.mark.parametrize("kind", KINDS)
def test_plain_runs_are_those_of_the_model(kind: str) -> None:
    model, batch = tiny_model(kind), tiny_batch()
    refs = references(boot_bridge(model, tokenizer()), batch, batch_size=2)
    for i in range(len(batch)):
        ids = batch.slice(i, i + 1)
        assert torch.allclose(model(ids.clean_ids).logits[0, -1], refs.clean_logits[i], atol=2e-4)
        corrupted = model(ids.corrupted_ids).logits[0, -1]
        assert torch.allclose(corrupted, refs.corrupted_logits[i], atol=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ablation", ["corrupted", "zero", "mean"])
def test_batches_padding_and_references_change_nothing(kind: str, ablation: str) -> None:
    bridge, batch = boot_bridge(tiny_model(kind), tokenizer()), tiny_batch(7)
    means = mean_outputs(bridge, batch)
    assert torch.allclose(mean_outputs(bridge, batch, batch_size=2).rows, means.rows, atol=1e-5)
    edges = random_circuit(graph_of(bridge), 60, 0).edges
    whole = run_circuit(bridge, batch, edges, ablation, means)
    refs = references(bridge, batch, batch_size=3)
    shared = run_circuit(bridge, batch, edges, ablation, means, batch_size=2, refs=refs)
    assert torch.allclose(shared, whole, atol=2e-4)


def test_a_dropped_edge_is_felt_by_its_reader_alone() -> None:
    """Cutting input->logits changes the logits by exactly the difference that the edge carries."""
    bridge = boot_bridge(tiny_model("gpt2", torch.float64), tokenizer())
    batch, graph = tiny_batch(1), graph_of(bridge)
    edges = graph.real_edges.copy()
    edges[0, -1] = False
    model = bridge.original_model
    seen = {}

    def keep(x: torch.Tensor, hook: Any) -> None:
        seen[hook.name] = x

    with bridge.hooks(fwd_hooks=[("ln_final.hook_in", keep), ("embed.hook_out", keep)]):
        bridge(batch.clean_ids)
    residual = seen["ln_final.hook_in"][0, -1] - seen["embed.hook_out"][0, -1]
    expected = model.lm_head(model.transformer.ln_f(residual[None, None]))[0, 0]
    assert torch.allclose(run_circuit(bridge, batch, edges, "zero")[0], expected, atol=1e-10)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("ablation", ABLATIONS)
def test_golden_circuits(name: str, ablation: str) -> None:
    golden = json.loads((GOLDEN / name / "circuits.json").read_text())
    bridge, batch = golden_bridge(name), golden_batch(name)
    scores = attribute(bridge, batch, AttributionSettings())
    refs = references(bridge, batch)
    for entry in golden["circuits"]:
        circuit = top_n(scores, graph_of(bridge), entry["n"])
        assert set(circuit.edge_names) == set(entry["edges"])
        assert set(circuit.nodes) == set(entry["nodes"])
        result = evaluate_circuit(bridge, batch, circuit, ABLATIONS[ablation], refs=refs)
        stored = entry[ablation]
        assert np.abs(result.logit_diff - stored["logit_diff_per_pair"]).max() < 2e-4
        if stored["hit_per_pair"] is not None:
            assert hit(result.rank, 10).astype(int).tolist() == stored["hit_per_pair"]
            assert result.hit_at(10) == pytest.approx(stored["hit_at_10"])
        if ablation == "patching":
            assert result.faithfulness == pytest.approx(stored["faithfulness"], abs=1e-5)


@pytest.mark.parametrize("name", SETS)
def test_random_and_shuffled_circuits_do_worse(name: str) -> None:
    """Control: edges chosen by chance, or by other pairs' labels, do not carry the behaviour."""
    bridge, batch = golden_bridge(name), golden_batch(name)
    graph, refs = graph_of(bridge), references(bridge, batch)
    ours = top_n(attribute(bridge, batch, AttributionSettings()), graph, 60)
    good = evaluate_circuit(bridge, batch, ours, refs=refs).faithfulness
    assert good > 0.75
    for seed in range(3):
        control = random_circuit(graph, ours.n_edges, seed)
        assert evaluate_circuit(bridge, batch, control, refs=refs).faithfulness < good - 0.3


def test_metrics() -> None:
    logits = torch.tensor([[3.0, 1.0, 2.0], [2.0, 1.0, 1.0]])
    ranks = rank(logits, torch.tensor([2, 0])).double().numpy()
    assert ranks.tolist() == [1, 0]
    assert hit(ranks, 1).tolist() == [False, True]
    assert faithfulness(2.0, 3.0, 1.0) == 0.5
    assert math.isnan(faithfulness(2.0, 1.0, 1.0))
    with pytest.raises(KcError, match="k=0 is not"):
        hit(ranks, 0)


def test_a_circuit_of_another_graph_of_the_same_shape_is_refused() -> None:
    """All edges of a parallel graph are edges of the serial one, where they mean something else."""
    bridge, batch = boot_bridge(tiny_model("gpt2"), tokenizer()), tiny_batch(2)
    other = full_circuit(Graph(2, 4, parallel=True))
    evaluation = BatchEvaluation(bridge, batch)
    for run in (
        lambda: evaluate_circuit(bridge, batch, other),
        lambda: evaluation.results(other),
        lambda: evaluation.tables(other),
        lambda: evaluation.f_mib(other),
        lambda: recovery(evaluation, other),
    ):
        with pytest.raises(KcError, match="4 heads, attention and MLP in parallel; the model has"):
            run()
    assert evaluate_circuit(bridge, batch, other.edges).logit_diff.shape == (2,), "edges alone"


def test_impossible_runs_are_refused() -> None:
    bridge, batch = golden_bridge("gpt2_tiny"), golden_batch("gpt2_tiny")
    edges = full_circuit(Graph(4, 4)).edges
    with pytest.raises(KcError, match="'noise'"):
        run_circuit(bridge, batch, edges, "noise")
    with pytest.raises(KcError, match="needs means"):
        run_circuit(bridge, batch, edges, "mean")
    with pytest.raises(KcError, match="shape"):
        run_circuit(bridge, batch, edges[1:])
    other = references(bridge, batch.slice(0, 3))
    with pytest.raises(KcError, match="3 pairs"):
        run_circuit(bridge, batch, edges, refs=other)
    with pytest.raises(KcError, match="not a possible edge"):
        circuit_from_edges(Graph(4, 4), np.ones_like(edges))
    assert len(run_circuit(bridge, replace(batch), edges, refs=references(bridge, batch))) == 24
