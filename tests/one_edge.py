"""Exact patching by another way: the circuit of all edges but one."""

from __future__ import annotations

import numpy as np
import pytest
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kc_utils.circuits import AttributionSettings, PairBatch, attribute, graph_of
from kc_utils.circuits.ablation import references
from kc_utils.circuits.circuit_run import run_circuit
from kc_utils.circuits.metrics import evaluate_metric


def check_exact_patching(
    bridge: TransformerBridge, batch: PairBatch, n_edges: int, tolerance: float
) -> Tensor:
    """Compare exact scores with runs without one of ``n_edges`` drawn edges; returns the scores."""
    graph, refs = graph_of(bridge), references(bridge, batch)
    scores = attribute(bridge, batch, AttributionSettings(method="exact"))
    clean = evaluate_metric("logit_diff", refs.clean_logits, batch)
    found = np.argwhere(graph.real_edges)
    for u, v in found[np.random.default_rng(0).permutation(len(found))[:n_edges]]:
        edges = graph.real_edges.copy()
        edges[u, v] = False
        metric = evaluate_metric("logit_diff", run_circuit(bridge, batch, edges, refs=refs), batch)
        assert float(scores[u, v]) == pytest.approx(float((clean - metric).mean()), abs=tolerance)
    return scores
