"""Metrics, answers of several tokens, and number formats."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from edge_masks import error, mask_gradient
from tiny_models import KINDS, golden_batch, golden_bridge, tiny_batch, tiny_model, tokenizer
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kc_utils.circuits import evaluate_circuit
from kc_utils.circuits.ablation import references
from kc_utils.circuits.adapter import graph_of
from kc_utils.circuits.attribution import AttributionSettings, attribute
from kc_utils.circuits.bridge import boot_bridge
from kc_utils.circuits.circuit import top_n
from kc_utils.circuits.circuit_run import run_circuit
from kc_utils.circuits.metrics import evaluate_metric
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.config.run import CircuitConfig
from kc_utils.errors import KcError

EAP = AttributionSettings(method="eap")


def bridge_of(kind: str) -> TransformerBridge:
    return boot_bridge(tiny_model(kind, torch.float64), tokenizer())


def minus_kl(logits: Tensor, clean: Tensor, pair: PairBatch) -> Tensor:
    return torch.nn.functional.kl_div(
        logits[-1].log_softmax(-1), clean[-1].softmax(-1), reduction="sum"
    )


def minus_prob_diff(logits: Tensor, clean: Tensor, pair: PairBatch) -> Tensor:
    p = logits[-1].softmax(-1)
    return p[pair.wrong_ids[0]] - p[pair.right_ids[0]]


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize(("metric", "loss"), [("kl", minus_kl), ("prob_diff", minus_prob_diff)])
def test_metrics_are_gradients_of_what_they_say(kind: str, metric: str, loss: Any) -> None:
    bridge, batch = bridge_of(kind), tiny_batch()
    corrupted = AttributionSettings(steps=1, path="0..m-1", metric=metric)
    assert (
        error(attribute(bridge, batch, corrupted), mask_gradient(bridge, batch, 0.0, loss)) < 1e-6
    )
    at_clean = attribute(bridge, batch, replace(corrupted, path="1..m"))  # EAP
    if metric == "kl":
        scale = attribute(bridge, batch, corrupted).abs().max()
        assert float(at_clean.abs().max() / scale) < 1e-9, "KL is flat at the clean run"
    else:
        assert error(at_clean, mask_gradient(bridge, batch, 1.0, loss)) < 1e-6


def test_any_function_of_last_token_logits_is_a_metric() -> None:
    bridge, batch = bridge_of("gpt2"), tiny_batch()

    def mine(logits: Tensor, pairs: PairBatch) -> Tensor:
        rows = torch.arange(len(pairs))
        return logits[rows, pairs.right_ids] - logits[rows, pairs.wrong_ids]

    own = replace(EAP, metric=mine, batch_size=2)
    assert error(attribute(bridge, batch, own), attribute(bridge, batch, EAP)) < 1e-12
    with pytest.raises(KcError, match="one number per pair"):
        attribute(bridge, batch, replace(EAP, metric=lambda logits, pairs: logits))
    with pytest.raises(KcError, match="metric='accuracy' is neither"):
        AttributionSettings(metric="accuracy")


def minus_answer_log_prob(answers: list[list[int]], weights: list[float]) -> Any:
    left = iter(zip(answers, weights, strict=True))

    def loss(logits: Tensor, clean: Tensor, pair: PairBatch) -> Tensor:
        answer, weight = next(left)
        log_p = logits[-len(answer) :].log_softmax(-1)
        return -weight * sum(log_p[i, token] for i, token in enumerate(answer))

    return loss


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_answers_of_several_tokens_count_with_all_of_them(kind: str) -> None:
    bridge = bridge_of(kind)
    clean, corrupted = [[3, 4, 5], [6, 7, 8, 9]], [[3, 9, 5], [6, 1, 8, 9]]
    right, wrong = [[11, 12, 13], [14]], [[11, 21], [22, 23]]
    batch = PairBatch.with_answers(clean, corrupted, right, wrong)
    assert batch.clean_ids[0].tolist() == [3, 4, 5, 11, 12]
    settings = AttributionSettings(method="eap", metric="answer_log_prob", batch_size=3)
    loss = minus_answer_log_prob([*right, *wrong], [2, 2, -2, -2])
    scores = attribute(bridge, batch, settings)
    assert error(scores, mask_gradient(bridge, batch, 1.0, loss)) < 1e-6
    first = PairBatch.from_lists(clean, corrupted, [11, 14], [12, 22])
    assert error(scores, attribute(bridge, first, EAP)) > 0.1
    exact = attribute(bridge, batch, replace(settings, method="exact"))
    assert np.corrcoef(exact.flatten(), scores.flatten())[0, 1] > 0.5
    with pytest.raises(KcError, match="reads the last token only"):
        attribute(bridge, batch, EAP)
    with pytest.raises(KcError, match="needs whole answers"):
        attribute(bridge, first, settings)
    with pytest.raises(KcError, match="Pair 1: right and wrong answer are the same"):
        PairBatch.with_answers(clean, corrupted, right, [[1], [14]])
    with pytest.raises(KcError, match="Pair 0: an answer has no token"):
        PairBatch.with_answers(clean, corrupted, [[], [1]])


def test_half_precision_scores_are_summed_in_float32() -> None:
    batch = golden_batch("gpt2_tiny")
    precise = attribute(golden_bridge("gpt2_tiny"), batch, AttributionSettings())
    rough = attribute(golden_bridge("gpt2_tiny", torch.bfloat16), batch, AttributionSettings())
    assert rough.dtype == torch.float32
    assert np.corrcoef(rough.flatten(), precise.flatten())[0, 1] > 0.99
    assert 1e-5 < error(rough, precise) < 0.1


def test_circuits_run_in_half_precision() -> None:
    batch = golden_batch("gpt2_tiny")
    graph = graph_of(golden_bridge("gpt2_tiny"))
    circuit = top_n(attribute(golden_bridge("gpt2_tiny"), batch, EAP), graph, 60)
    precise, rough = (
        evaluate_circuit(golden_bridge("gpt2_tiny", dtype), batch, circuit).logit_diff
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert np.abs(rough - precise).max() < 0.05 * np.abs(precise).max()
    assert np.abs(rough - precise).max() > 0


def test_a_circuit_is_judged_by_whole_answers_too() -> None:
    bridge = bridge_of("llama")
    batch = PairBatch.with_answers([[3, 4, 5], [6, 7, 8]], [[3, 9, 5], [6, 1, 8]], [[11, 12], [13]])
    refs, graph = references(bridge, batch), graph_of(bridge)
    assert refs.clean_logits.shape[:2] == (2, 2)
    whole = run_circuit(bridge, batch, graph.real_edges, refs=refs)
    values = evaluate_metric("answer_log_prob", whole, batch)
    model, expected = bridge.kc_adapter.model, []
    for ids, answer in (([3, 4, 5, 11], [11, 12]), ([6, 7, 8], [13])):
        log_p = model(torch.tensor([ids])).logits[0, -len(answer) :].detach().log_softmax(-1)
        expected.append(sum(float(log_p[i, token]) for i, token in enumerate(answer)))
    assert values.tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_on_a_gpu(kind: str) -> None:
    model, batch = tiny_model(kind), tiny_batch()
    here = attribute(boot_bridge(model, tokenizer()), batch, AttributionSettings())
    for dtype, tolerance in ((torch.float32, 1e-3), (torch.bfloat16, 0.2)):
        bridge = boot_bridge(tiny_model(kind, dtype).to("cuda"), tokenizer())
        scores = attribute(bridge, batch, AttributionSettings())
        assert scores.device.type == "cpu"
        assert scores.dtype == torch.float32
        assert error(scores, here) < tolerance


@pytest.mark.parametrize("method", ["eap", "relp"])
def test_a_method_without_a_gradient_by_kl_is_refused(method: str) -> None:
    with pytest.raises(KcError, match="no gradient at the clean run"):
        AttributionSettings(method, metric="kl")
    with pytest.raises(ValueError, match="no gradient at the clean run"):
        CircuitConfig(method=method, metric="kl")
    assert CircuitConfig(metric="kl").metric == "kl"
