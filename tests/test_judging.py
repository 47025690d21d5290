"""Circuits judged by other metrics than the logit difference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_models import golden_batch, golden_bridge, tiny_batch, tiny_model, tokenizer
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kc_utils.circuits import (
    ABLATIONS,
    METRICS,
    BatchEvaluation,
    PairBatch,
    areas,
    curve_circuits,
    evaluate_circuit,
    graph_of,
    mean_outputs,
    random_circuit,
    size_curve,
)
from kc_utils.circuits.ablation import references
from kc_utils.circuits.bridge import boot_bridge
from kc_utils.circuits.circuit_run import run_circuit
from kc_utils.circuits.metrics import Metric
from kc_utils.circuits.polish import polish
from kc_utils.errors import KcError

SECOND = 20  # the second right answer of each pair, counted from the first


def bridge_of(kind: str, dtype: torch.dtype = torch.float64) -> TransformerBridge:
    return boot_bridge(tiny_model(kind, dtype), tokenizer())


def either_answer(logits: Tensor, pairs: PairBatch) -> Tensor:
    """Two right answers: the sum of their probabilities."""
    p = logits.softmax(-1)
    return sum(p.gather(1, x[:, None])[:, 0] for x in (pairs.right_ids, pairs.right_ids + SECOND))


def is_top(logits: Tensor, pairs: PairBatch) -> Tensor:
    """Accuracy, which has no gradient."""
    return logits.argmax(-1) == pairs.right_ids


def batch_for(metric: str | Metric) -> PairBatch:
    if metric != "answer_log_prob":
        return tiny_batch()
    clean, corrupted = [[3, 4, 5], [6, 7, 8, 9]], [[3, 9, 5], [6, 1, 8, 9]]
    return PairBatch.with_answers(clean, corrupted, [[11, 12, 13], [14]], [[11, 21], [22, 23]])


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("metric", [*METRICS, either_answer])
def test_the_model_has_faithfulness_1_and_its_corrupted_run_0(
    kind: str, metric: str | Metric
) -> None:
    bridge, batch = bridge_of(kind), batch_for(metric)
    graph = graph_of(bridge)
    evaluation = BatchEvaluation(bridge, batch, mean_outputs(bridge, batch), metric=metric)
    nothing, half = np.zeros_like(graph.real_edges), random_circuit(graph, 90, 0)
    for ablation in ABLATIONS:
        whole = evaluation.result(graph.real_edges, ablation)
        assert whole.faithfulness == pytest.approx(1, abs=1e-6)
        assert (whole.rank == whole.clean_rank).all()
        assert evaluation.f_mib(graph.real_edges, ablation) == pytest.approx(1, abs=1e-6)
        assert evaluation.f_mib(nothing, ablation) == pytest.approx(0, abs=1e-6)
        zero = evaluation.result(nothing, ablation).faithfulness
        assert (abs(zero) < 1e-6) == (ablation == "corrupted")
        some = evaluation.result(half, ablation).faithfulness
        assert min(abs(some), abs(1 - some)) > 1e-3, "control: part of the edges is neither"


def test_values_are_those_of_a_plain_computation() -> None:
    bridge, batch = bridge_of("gpt2"), tiny_batch()
    circuit, refs = random_circuit(graph_of(bridge), 90, 0), references(bridge, batch)
    logits = run_circuit(bridge, batch, circuit.edges)[:, -1]
    clean, corrupted = refs.clean_logits[:, -1], refs.corrupted_logits[:, -1]
    rows = torch.arange(len(batch))

    def far(run: Tensor) -> np.ndarray:
        loss = torch.nn.functional.kl_div(run.log_softmax(-1), clean.softmax(-1), reduction="none")
        return -loss.sum(-1).numpy()

    def answers(run: Tensor) -> np.ndarray:
        p = run.softmax(-1)
        return (p[rows, batch.right_ids] + p[rows, batch.right_ids + SECOND]).numpy()

    for metric, expected in (("kl", far), (either_answer, answers)):
        for given in (None, refs):
            # Blocks of two pairs: each has to meet its own part of the clean run.
            found = evaluate_circuit(bridge, batch, circuit, "corrupted", None, 2, given, metric)
            np.testing.assert_allclose(found.logit_diff, expected(logits), atol=1e-12)
            np.testing.assert_allclose(found.clean_logit_diff, expected(clean), atol=1e-12)
            np.testing.assert_allclose(found.corrupted_logit_diff, expected(corrupted), atol=1e-12)
        plain = evaluate_circuit(bridge, batch, circuit)
        assert (found.rank == plain.rank).all() and (found.clean_rank == plain.clean_rank).all()
        assert np.abs(found.logit_diff - plain.logit_diff).max() > 0.1, "control"
    ratio = far(logits).mean() / far(corrupted).mean()
    found = evaluate_circuit(bridge, batch, circuit, metric="kl")
    assert found.faithfulness == pytest.approx(1 - ratio) and found.faithfulness < 1
    assert (found.clean_logit_diff == 0).all(), "the clean run is no distance from itself"


def test_the_logit_difference_stays_what_it_was_to_the_bit() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        bridge, batch = golden_bridge("gpt2_tiny", dtype), golden_batch("gpt2_tiny")
        edges = random_circuit(graph_of(bridge), 300, 0).edges
        logits = run_circuit(bridge, batch, edges, refs=references(bridge, batch))[:, -1]
        rows = torch.arange(len(batch))
        expected = logits[rows, batch.right_ids] - logits[rows, batch.wrong_ids]
        for metric in ({}, {"metric": "logit_diff"}):
            found = evaluate_circuit(bridge, batch, edges, **metric).logit_diff
            assert (found == expected.double().numpy()).all()


def test_any_number_per_pair_can_judge_also_one_without_a_gradient() -> None:
    bridge, batch = golden_bridge("gpt2_tiny"), golden_batch("gpt2_tiny")
    found = evaluate_circuit(bridge, batch, graph_of(bridge).real_edges, metric=is_top)
    np.testing.assert_array_equal(found.logit_diff, found.rank == 0)
    assert 0 < found.logit_diff.mean() and found.corrupted_logit_diff.mean() < 0.5
    assert found.faithfulness == pytest.approx(1)


def test_whole_answers_are_ranked_by_their_first_token() -> None:
    bridge, prompts = bridge_of("llama"), [[3, 4, 5], [6, 7, 8]]
    others, right = [[3, 9, 5], [6, 1, 8]], [[11, 12, 13], [14]]
    edges = random_circuit(graph_of(bridge), 90, 0).edges
    whole = PairBatch.with_answers(prompts, others, right)
    found = evaluate_circuit(bridge, whole, edges, metric="answer_log_prob")
    plain = evaluate_circuit(bridge, PairBatch.from_lists(prompts, others, [11, 14], [21, 22]),
                             edges)  # fmt: skip
    np.testing.assert_array_equal(found.clean_rank, plain.clean_rank)
    np.testing.assert_array_equal(found.rank, plain.rank)
    for metric in ("logit_diff", "kl", "prob_diff"):
        with pytest.raises(KcError, match=f"metric='{metric}' reads the last token only"):
            evaluate_circuit(bridge, whole, edges, metric=metric)


def test_curves_and_polish_go_by_the_metric_of_their_evaluation() -> None:
    bridge, batch = bridge_of("gpt2"), tiny_batch()
    graph = graph_of(bridge)
    scores = np.random.default_rng(0).normal(size=graph.real_edges.shape)
    circuits = curve_circuits(scores, graph, 0, (0.0, 0.5, 1.0))
    curves, trials = {}, {}
    for metric in ("logit_diff", "kl", either_answer):
        evaluation = BatchEvaluation(bridge, batch, metric=metric)
        table = size_curve(evaluation, circuits, ["corrupted"])
        means = table[table["circuit"] == "own"].groupby("share").mean(numeric_only=True)
        low, clean = means["corrupted_logit_diff"], means["clean_logit_diff"]
        f = (means["logit_diff"] - low) / (clean - low)
        assert f[0.0] == pytest.approx(0, abs=1e-6) and f[1.0] == pytest.approx(1, abs=1e-6)
        curves[metric] = areas(f.index.to_numpy(), f).cpr
        circuit = circuits[0.5, "own"]
        done = polish(evaluation, circuit, scores, loss=0.05, most_runs=4)
        start = evaluation.result(circuit).faithfulness
        assert abs(1 - done.faithfulness) <= abs(1 - start) + 0.05
        assert done.faithfulness == evaluation.result(done.circuit).faithfulness
        trials[metric] = done.trials["faithfulness"].iloc[0]
    assert len({round(x, 6) for x in curves.values()}) == 3, "control: three different curves"
    assert len({round(x, 6) for x in trials.values()}) == 3


def test_metrics_that_cannot_judge_are_named() -> None:
    bridge, batch = bridge_of("gpt2"), tiny_batch()
    edges = graph_of(bridge).real_edges
    with pytest.raises(KcError, match="metric='accuracy' is neither a function nor one of"):
        BatchEvaluation(bridge, batch, metric="accuracy")
    with pytest.raises(KcError, match="'answer_log_prob' needs whole answers"):
        evaluate_circuit(bridge, batch, edges, metric="answer_log_prob")
    with pytest.raises(KcError, match=r"gave shape \(5, 50\) for 5 pairs"):
        evaluate_circuit(bridge, batch, edges, metric=lambda logits, pairs: logits)
    with pytest.raises(KcError, match=r"gave 1\.0 for 5 pairs"):
        evaluate_circuit(bridge, batch, edges, metric=lambda logits, pairs: 1.0)
    same = replace(batch, corrupted_ids=batch.clean_ids)
    assert np.isnan(evaluate_circuit(bridge, same, edges, metric=either_answer).faithfulness)
