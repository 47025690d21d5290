"""Runs that are shared change nothing: ablations of one circuit, steps of one integral."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from tiny_models import KINDS, tiny_batch, tiny_model, tokenizer

from kc_utils.circuits import (
    ABLATIONS,
    BatchEvaluation,
    batch_sizes,
    circuit_run,
    evaluate_circuit,
    mean_outputs,
    random_circuit,
)
from kc_utils.circuits.ablation import references
from kc_utils.circuits.adapter import Adapter, adapter_of, graph_of
from kc_utils.circuits.attribution import AttributionSettings, attribute
from kc_utils.circuits.bridge import boot_bridge
from kc_utils.circuits.by_position import attribute_by_position
from kc_utils.circuits.metrics import METRICS
from kc_utils.errors import KcError

pytestmark = pytest.mark.slow


def bridge_of(kind: str):
    return boot_bridge(tiny_model(kind, torch.float64), tokenizer())


@pytest.fixture
def runs(monkeypatch):
    """Number of prompts in every run of a plain model."""
    sizes: list[int] = []
    hidden = Adapter.hidden

    def counted(self, ids, at=None):
        sizes.append(len(ids))
        return hidden(self, ids, at)

    monkeypatch.setattr(Adapter, "hidden", counted)
    return sizes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch_size", [64, 3])
def test_ablations_together_are_those_apart(kind, batch_size):
    bridge, batch = bridge_of(kind), tiny_batch(7)
    means = mean_outputs(bridge, tiny_batch(4, seed=1))
    edges = random_circuit(graph_of(bridge), 60, 0).edges
    found = BatchEvaluation(bridge, batch, means, batch_size).results(edges)
    assert list(found) == list(ABLATIONS)
    for ablation, result in found.items():
        alone = evaluate_circuit(bridge, batch, edges, ablation, means)
        np.testing.assert_allclose(result.logit_diff, alone.logit_diff, atol=1e-10)
        np.testing.assert_array_equal(result.rank, alone.rank)
        np.testing.assert_allclose(result.clean_logit_diff, alone.clean_logit_diff, atol=1e-10)
    differences = [found[a].logit_diff for a in ABLATIONS]
    assert all(np.abs(a - b).max() > 1e-3 for a, b in pairwise(differences))


@pytest.mark.parametrize(("room", "sizes"), [(2**26, [15]), (1, [5, 5, 5])])
def test_large_models_do_not_share_runs(room, sizes, runs, monkeypatch):
    bridge, batch = bridge_of("gpt2"), tiny_batch()
    evaluation = BatchEvaluation(bridge, batch, mean_outputs(bridge, batch))
    edges = random_circuit(graph_of(bridge), 60, 0).edges
    assert len(evaluation.references.clean_logits) == 5
    monkeypatch.setattr(circuit_run, "SHARED_BYTES", room)
    runs.clear()
    results = evaluation.results(edges)
    assert runs == sizes
    assert evaluation.result(edges, "zero") is results["zero"]
    assert runs == sizes, "what was asked together is known alone"


def test_references_serve_other_answers_to_the_same_prompts():
    bridge, batch = bridge_of("gpt2"), tiny_batch()
    other = replace(batch, right_ids=batch.wrong_ids, wrong_ids=batch.right_ids)
    refs, edges = references(bridge, batch), random_circuit(graph_of(bridge), 60, 0).edges
    ours = evaluate_circuit(bridge, batch, edges, refs=refs)
    theirs = evaluate_circuit(bridge, other, edges, refs=refs)
    fresh = evaluate_circuit(bridge, other, edges)
    for name in ("logit_diff", "clean_logit_diff", "corrupted_logit_diff"):
        np.testing.assert_allclose(getattr(theirs, name), -getattr(ours, name), atol=1e-12)
    for name in ("rank", "clean_rank", "corrupted_rank"):
        np.testing.assert_array_equal(getattr(theirs, name), getattr(fresh, name))
        assert (getattr(theirs, name) != getattr(ours, name)).any()


def test_shared_ablations_need_what_each_needs():
    bridge, batch = bridge_of("gpt2"), tiny_batch()
    edges = graph_of(bridge).real_edges
    with pytest.raises(KcError, match="ablation='mean' needs means"):
        BatchEvaluation(bridge, batch).results(edges)
    with pytest.raises(KcError, match="'noise' is not one of"):
        BatchEvaluation(bridge, batch).results(edges, ("zero", "noise"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", ["1..m", "0..m-1"])
@pytest.mark.parametrize("metric", [m for m in METRICS if m != "answer_log_prob"])
def test_steps_together_are_those_apart(kind, path, metric, monkeypatch):
    bridge, batch = bridge_of(kind), tiny_batch()
    settings = AttributionSettings(steps=4, path=path, metric=metric)
    together = attribute_by_position(bridge, batch, settings)
    monkeypatch.setattr(batch_sizes, "SHARED_BYTES", 1)
    apart = attribute_by_position(bridge, batch, settings)
    assert max(float(x.abs().max()) for x in apart.values()) > 1e-3
    for name, scores in apart.items():
        torch.testing.assert_close(together[name], scores, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("settings", "sizes"),
    [
        ({"steps": 4}, [5, 5, 15]),  # corrupted, clean which is step 4, steps 1 to 3
        ({"steps": 4, "path": "0..m-1"}, [5, 5, 20]),
        ({"method": "eap"}, [5, 5]),
        ({"method": "clean-corrupted"}, [5, 5, 5]),
        ({"method": "relp"}, [5, 5, 5]),
        ({"steps": 4, "metric": "kl"}, [5, 5, 20]),
    ],
    ids=str,
)
def test_every_run_is_made_once(settings, sizes, runs):
    bridge = bridge_of("gpt2")
    runs.clear()
    attribute(bridge, tiny_batch(), AttributionSettings(**settings))
    assert runs == sizes


def test_a_memory_bound_sets_steps_apart(runs):
    bridge, batch = bridge_of("gpt2"), tiny_batch()
    adapter, pos = adapter_of(bridge), batch.clean_ids.shape[1]
    one_step = 2 * len(batch) * batch_sizes.bytes_per_pair(adapter, pos, 4)
    settings = AttributionSettings(steps=4, max_bytes=one_step)
    runs.clear()
    few = attribute(bridge, batch, settings)
    assert runs == [5] * 5
    torch.testing.assert_close(few, attribute(bridge, batch, AttributionSettings(steps=4)))
