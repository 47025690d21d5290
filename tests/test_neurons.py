"""Nodes and neurons: scores and circuits, each against another way of computing."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from edge_masks import error
from families import FAMILIES, family_bridge
from tiny_models import KINDS, tiny_batch, tiny_model, tokenizer
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kc_utils.circuits import evaluate_circuit, mean_outputs
from kc_utils.circuits.ablation import ABLATIONS
from kc_utils.circuits.adapter import adapter_of, graph_of
from kc_utils.circuits.attribution import AttributionSettings, attribute
from kc_utils.circuits.bridge import boot_bridge
from kc_utils.circuits.circuit import circuit_of_nodes
from kc_utils.circuits.neurons import (
    attribute_neurons,
    attribute_nodes,
    evaluate_neurons,
    strongest,
)
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.circuits.written import record
from kc_utils.errors import KcError
from kc_utils.kernels.hooks import Hooks

EAP = AttributionSettings(method="eap")
METHODS = ("eap", "eap-ig", "eap-ig-activations", "clean-corrupted", "relp")


def bridge_of(kind: str) -> TransformerBridge:
    return boot_bridge(tiny_model(kind, torch.float64), tokenizer())


def differences(bridge: TransformerBridge, batch: PairBatch) -> Tensor:
    """Corrupted minus clean output of every writer [n_forward, batch, pos, d_model]."""
    adapter = adapter_of(bridge)
    clean, corrupted = (
        record(adapter, ids)[1].outputs(adapter) for ids in (batch.clean_ids, batch.corrupted_ids)
    )
    return corrupted - clean


def moved(bridge: TransformerBridge, batch: PairBatch, row: int, change: Tensor) -> Tensor:
    """Logit difference per pair when ``change`` is added to what one writer writes."""
    adapter = adapter_of(bridge)
    graph = adapter.graph
    layer = int(graph.row_layer[row])
    if graph.row_kind[row] == "input":
        module = adapter.embed
    elif graph.row_kind[row] == "mlp":
        module = adapter.blocks[layer].mlp_writer
    else:
        post = adapter.blocks[layer].attention_post
        module = adapter.blocks[layer].o if post is None else post.module
    with torch.no_grad(), Hooks() as hooks:
        hooks.output(module, lambda x: x + change)
        logits = adapter.logits(adapter.hidden(batch.clean_ids), batch.read_at)[:, -1]
    pairs = torch.arange(len(batch))
    return logits[pairs, batch.right_ids] - logits[pairs, batch.wrong_ids]


def some_neurons(bridge: TransformerBridge) -> list[tuple[int, int]]:
    graph, width = graph_of(bridge), adapter_of(bridge).model.config.hidden_size
    rows = (0, graph.heads(0).start + 1, graph.mlp(0), graph.heads(1).start, graph.mlp(1))
    return [(row, (7 * row + 3) % width) for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("method", METHODS)
def test_a_nodes_score_is_the_sum_of_its_edges(name: str, method: str) -> None:
    bridge, batch = family_bridge(name), tiny_batch(3)
    settings = AttributionSettings(method=method, steps=2)
    edges = attribute(bridge, batch, settings)
    nodes = attribute_nodes(bridge, batch, settings)
    assert error(nodes, edges.sum(1)) < 1e-5
    assert error(nodes.roll(1), edges.sum(1)) > 1e-2, "control: another node's"


@pytest.mark.parametrize("kind", KINDS)
def test_a_neurons_score_is_the_slope_along_its_own_change(kind: str) -> None:
    bridge, batch = bridge_of(kind), tiny_batch(4)
    scores = attribute_neurons(bridge, batch, EAP)
    change = differences(bridge, batch)
    # A Llama in float64 still has float32 inside of its normalisations.
    step, near = (1e-2, 5e-3) if kind == "llama" else (1e-4, 1e-5)
    for row, neuron in some_neurons(bridge):
        only = torch.zeros_like(change[row])
        only[..., neuron] = step * change[row][..., neuron]
        up, down = moved(bridge, batch, row, only), moved(bridge, batch, row, -only)
        slope = -float((up - down).mean()) / (2 * step)  # the loss is minus the logit difference
        assert float(scores[row, neuron]) == pytest.approx(slope, rel=near)
        assert float(scores[row, neuron - 1]) != pytest.approx(slope, rel=5e-2), "control"


def test_scores_do_not_depend_on_batches_and_every_metric_is_taken() -> None:
    bridge, batch = bridge_of("llama"), tiny_batch(5)
    found = {}
    for metric in ("logit_diff", "prob_diff", "kl"):
        whole, parts = (
            attribute_neurons(bridge, batch, AttributionSettings(metric=metric, batch_size=size))
            for size in (64, 2)
        )
        assert error(parts, whole) < 1e-9
        found[metric] = whole
    assert error(found["kl"], found["logit_diff"]) > 1e-2


@pytest.mark.parametrize("kind", KINDS)
def test_a_circuit_without_one_neuron_is_a_run_with_that_one_moved(kind: str) -> None:
    bridge, batch = bridge_of(kind), tiny_batch(4)
    change = differences(bridge, batch)
    for row, neuron in some_neurons(bridge):
        kept = np.ones((graph_of(bridge).n_forward, change.shape[-1]), dtype=bool)
        kept[row, neuron] = False
        only = torch.zeros_like(change[row])
        only[..., neuron] = change[row][..., neuron]
        found = evaluate_neurons(bridge, batch, kept)
        expected = moved(bridge, batch, row, only)
        torch.testing.assert_close(torch.from_numpy(found.logit_diff), expected)
        assert np.abs(found.logit_diff - found.clean_logit_diff).max() > 1e-6, "control: it matters"


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_all_neurons_are_the_clean_run_and_none_the_corrupted_one(name: str) -> None:
    bridge, batch = family_bridge(name), tiny_batch(4)
    means = mean_outputs(bridge, tiny_batch(4, seed=1))
    shape = (graph_of(bridge).n_forward, adapter_of(bridge).model.config.hidden_size)
    for ablation in ABLATIONS:
        full = evaluate_neurons(bridge, batch, np.ones(shape, dtype=bool), ablation, means)
        np.testing.assert_allclose(full.logit_diff, full.clean_logit_diff, rtol=0, atol=1e-4)
        none = evaluate_neurons(bridge, batch, np.zeros(shape, dtype=bool), ablation, means, 2)
        same = np.allclose(none.logit_diff, none.corrupted_logit_diff, rtol=0, atol=1e-4)
        assert same == (ablation == "corrupted")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ablation", ABLATIONS)
def test_whole_rows_are_the_circuit_of_the_nodes(kind: str, ablation: str) -> None:
    bridge, batch = bridge_of(kind), tiny_batch(4)
    graph, width = graph_of(bridge), adapter_of(bridge).model.config.hidden_size
    means = mean_outputs(bridge, tiny_batch(4, seed=1))
    nodes = np.random.default_rng(1).random(graph.n_forward) < 0.6
    nodes[0] = True  # every other node reads from it
    circuit = circuit_of_nodes(graph, nodes)
    assert np.array_equal(circuit.node_mask, nodes), "nothing to prune"
    edges = evaluate_circuit(bridge, batch, circuit, ablation, means)
    rows = np.repeat(nodes[:, None], width, axis=1)
    neurons = evaluate_neurons(bridge, batch, rows, ablation, means)
    np.testing.assert_allclose(neurons.logit_diff, edges.logit_diff, rtol=0, atol=1e-5)
    others = evaluate_neurons(bridge, batch, ~rows, ablation, means)
    assert not np.allclose(others.logit_diff, edges.logit_diff, atol=1e-2), "control"


def test_the_strongest_are_those_of_largest_score_in_their_order() -> None:
    scores = torch.tensor([[1.0, -3.0], [3.0, 0.0]])
    assert strongest(scores, 1).tolist() == [[False, True], [False, False]]
    assert strongest(scores, 3).tolist() == [[True, True], [True, False]]
    assert strongest(scores[0], 0).tolist() == [False, False]
    with pytest.raises(KcError, match="n=5 were asked for; there are 4"):
        strongest(scores, 5)
    with pytest.raises(KcError, match="1 scores are not finite"):
        strongest(torch.tensor([torch.nan, 1.0]), 1)


def test_tensors_say_what_is_kept_as_arrays_do() -> None:
    bridge, batch = family_bridge("gpt2"), tiny_batch(2)
    scores = torch.randn(graph_of(bridge).n_forward, 32, generator=torch.Generator().manual_seed(0))
    kept = strongest(scores, 90)
    assert (strongest(scores.clone().requires_grad_(True), 90) == kept).all()
    result = evaluate_neurons(bridge, batch, torch.from_numpy(kept))
    assert (result.logit_diff == evaluate_neurons(bridge, batch, kept).logit_diff).all()
    with pytest.raises(KcError, match="Kept neurons have shape"):
        evaluate_neurons(bridge, batch, torch.from_numpy(kept[:3]))


@pytest.mark.parametrize("metric", ["prob_diff", "kl", "a function"])
def test_neurons_are_judged_by_any_metric_as_circuits_are(metric: str) -> None:
    asked = (lambda last, batch: last.logsumexp(-1)) if metric == "a function" else metric
    bridge, batch = bridge_of("gpt2"), tiny_batch(4)
    graph = graph_of(bridge)
    nodes = np.random.default_rng(1).random(graph.n_forward) < 0.6
    nodes[0] = True
    rows = np.repeat(nodes[:, None], 32, axis=1)
    edges = evaluate_circuit(bridge, batch, circuit_of_nodes(graph, nodes), metric=asked)
    found = evaluate_neurons(bridge, batch, rows, metric=asked, batch_size=3)
    for name in ("logit_diff", "clean_logit_diff", "corrupted_logit_diff", "rank"):
        ours, theirs = getattr(found, name), getattr(edges, name)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
    logits = evaluate_neurons(bridge, batch, rows)
    assert not np.allclose(found.logit_diff, logits.logit_diff, atol=1e-3), "control"
    assert (found.rank == logits.rank).all(), "the rank is that of the answer, by any metric"


def test_a_metric_that_does_not_fit_is_refused() -> None:
    bridge, batch = family_bridge("gpt2"), tiny_batch(2)
    kept = np.ones((graph_of(bridge).n_forward, 32), dtype=bool)
    with pytest.raises(KcError, match="metric='accuracy' is neither"):
        evaluate_neurons(bridge, batch, kept, metric="accuracy")
    with pytest.raises(KcError, match="needs whole answers"):
        evaluate_neurons(bridge, batch, kept, metric="answer_log_prob")
    with pytest.raises(KcError, match="for 2 pairs; it has to give"):
        evaluate_neurons(bridge, batch, kept, metric=lambda last, batch: last.sum())


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_masks_that_are_not_boolean_are_refused(dtype: torch.dtype) -> None:
    bridge, batch = family_bridge("gpt2"), tiny_batch(2)
    mask = torch.ones(graph_of(bridge).n_forward, 32, dtype=dtype)
    unchecked = inspect.unwrap(evaluate_neurons)  # tests check shapes and dtypes before it can
    for kept in (mask, mask.numpy()):
        with pytest.raises(KcError, match=f"{dtype}; the model needs .* and torch.bool"):
            unchecked(bridge, batch, kept)
    unchecked(bridge, batch, mask.bool())  # control


def test_what_cannot_be_computed_is_refused() -> None:
    bridge, batch = family_bridge("gpt2"), tiny_batch(2)
    graph = graph_of(bridge)
    with pytest.raises(KcError, match="patches edges"):
        attribute_neurons(bridge, batch, AttributionSettings(method="exact"))
    with pytest.raises(KcError, match="Nodes have shape"):
        circuit_of_nodes(graph, np.ones(3, dtype=bool))
    kept = np.ones((graph.n_forward, 32), dtype=bool)
    with pytest.raises(KcError, match="Kept neurons have shape"):
        evaluate_neurons(bridge, batch, kept[:, :5])
    with pytest.raises(KcError, match="'half' is not one of"):
        evaluate_neurons(bridge, batch, kept, "half")
    with pytest.raises(KcError, match="needs means"):
        evaluate_neurons(bridge, batch, kept, "mean")
