"""Models whose circuits are known: a linear one, and one that was wired by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from edge_masks import error
from tiny_models import tiny_batch, tiny_model, tokenizer
from transformer_lens.model_bridge import TransformerBridge

from kc_utils.benchmark.linear import CIRCUIT, VOCAB, linear_model, wired_batch, wired_model
from kc_utils.circuits.adapter import graph_of
from kc_utils.circuits.attribution import attribute
from kc_utils.circuits.bridge import boot_bridge
from kc_utils.circuits.circuit import top_n
from kc_utils.circuits.evaluation import evaluate_circuit
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.circuits.settings import METHODS, AttributionSettings


def settings(method: str) -> AttributionSettings:
    return AttributionSettings(method=method, steps=3)


def plain_difference(bridge: TransformerBridge, batch: PairBatch) -> float:
    result = evaluate_circuit(bridge, batch, graph_of(bridge).real_edges)
    return float((result.clean_logit_diff - result.corrupted_logit_diff).mean())


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_on_a_linear_model_every_method_is_complete_and_exact(method: str) -> None:
    """What the embedding sends adds up to the whole difference, and patching gives the same."""
    bridge, batch = boot_bridge(linear_model(), tokenizer()), tiny_batch(4)
    batch = replace(
        batch, clean_ids=batch.clean_ids % VOCAB, corrupted_ids=batch.corrupted_ids % VOCAB
    )
    scores = attribute(bridge, batch, settings(method))
    whole = plain_difference(bridge, batch)
    assert float(scores[0].sum()) == pytest.approx(whole, rel=1e-5)
    assert error(scores, attribute(bridge, batch, settings("exact"))) < 1e-5


def test_on_a_model_that_is_not_linear_only_integrated_gradients_come_close() -> None:
    bridge, batch = boot_bridge(tiny_model("gpt2", torch.float64), tokenizer()), tiny_batch(4)
    whole = plain_difference(bridge, batch)

    def gap(**values: object) -> float:
        scores = attribute(bridge, batch, AttributionSettings(**values))
        return abs(float(scores[0].sum()) / whole - 1)

    assert gap(method="eap") > 0.1
    fine = [attribute(bridge, batch, AttributionSettings(steps=200, path=p))[0].sum()
            for p in ("1..m", "0..m-1")]  # fmt: skip
    assert float(sum(fine)) / 2 == pytest.approx(whole, rel=2e-3)


@pytest.mark.parametrize("method", METHODS)
def test_a_wired_circuit_is_found_edge_by_edge(method: str) -> None:
    bridge = boot_bridge(wired_model(), tokenizer())
    scores = attribute(bridge, wired_batch(), settings(method))
    graph = graph_of(bridge)
    circuit = top_n(scores, graph, len(CIRCUIT))
    assert set(circuit.edge_names) == set(CIRCUIT)
    others = np.abs(scores.numpy())[graph.real_edges & ~circuit.edges]
    assert others.max() < 1e-6 * np.abs(scores.numpy()).max()
    assert evaluate_circuit(bridge, wired_batch(), circuit).faithfulness == pytest.approx(1)


def test_another_wiring_is_another_circuit() -> None:
    bridge = boot_bridge(wired_model(first=3), tokenizer())
    circuit = top_n(attribute(bridge, wired_batch(), settings("eap")), graph_of(bridge), 5)
    assert set(circuit.edge_names) == {name.replace("a0.h1", "a0.h3") for name in CIRCUIT}
