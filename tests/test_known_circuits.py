"""Circuits put in by hand: they work, they are all there is, and scores find them again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from kc_utils.benchmark import ground_truth
from kc_utils.benchmark.known_circuits import KNOWN_CIRCUITS, known_circuit
from kc_utils.circuits import (
    AttributionSettings,
    Graph,
    attribute,
    boot_bridge,
    circuit_from_edges,
    evaluate_circuit,
    graph_of,
    top_n,
)
from kc_utils.circuits.circuit import circuit_from_names
from kc_utils.circuits.evaluation import BatchEvaluation
from kc_utils.circuits.greedy import greedy
from kc_utils.circuits.polish import polish
from kc_utils.errors import KcError
from kc_utils.models.tokenizers import train_bpe

CASES = pytest.mark.parametrize("name", KNOWN_CIRCUITS)


def wired(name: str, noise: float = 0.0):
    case = known_circuit(name)
    bridge = boot_bridge(case.model(noise), train_bpe([], 258))
    return case, bridge, graph_of(bridge)


@CASES
def test_the_model_answers_and_its_circuit_is_all_there_is(name: str) -> None:
    case, bridge, graph = wired(name)
    pairs = case.pairs(20, 7)
    result = evaluate_circuit(bridge, pairs, circuit_from_names(graph, case.edges))
    assert (result.clean_rank == 0).all() and (result.clean_logit_diff > 1).all()
    assert result.logit_diff == pytest.approx(result.clean_logit_diff, rel=1e-9)
    everything_else = graph.real_edges & ~graph.edges_from_names(case.edges)
    without = evaluate_circuit(bridge, pairs, circuit_from_edges(graph, everything_else))
    assert abs(without.faithfulness) < 1e-9


@pytest.mark.parametrize("name", sorted(set(KNOWN_CIRCUITS) - {"backup"}))
def test_without_any_one_of_its_edges_the_circuit_fails(name: str) -> None:
    case, bridge, graph = wired(name)
    whole = BatchEvaluation(bridge, case.pairs(8, 0))
    for edge in case.edges:
        rest = circuit_from_names(graph, set(case.edges) - {edge})
        assert abs(1 - whole.result(rest).faithfulness) > 0.1, edge


def test_either_head_of_the_backup_is_enough() -> None:
    case, bridge, graph = wired("backup")
    one = {edge for edge in case.edges if "a0.h2" not in edge}
    result = evaluate_circuit(bridge, case.pairs(8, 0), circuit_from_names(graph, one))
    assert result.faithfulness == pytest.approx(1)
    none = one - {"a0.h1->m0"}
    result = evaluate_circuit(bridge, case.pairs(8, 0), circuit_from_names(graph, none))
    assert result.faithfulness == 0


@CASES
def test_pairs_are_drawn_by_a_seed_and_hold_a_contrast(name: str) -> None:
    case = known_circuit(name)
    first, again, other = case.pairs(6, 1), case.pairs(6, 1), case.pairs(6, 2)
    assert torch.equal(first.clean_ids, again.clean_ids)
    assert not torch.equal(first.clean_ids, other.clean_ids)
    assert (first.right_ids != first.wrong_ids).all()


@CASES
def test_integrated_gradients_find_every_known_edge(name: str) -> None:
    case, bridge, graph = wired(name)
    scores = attribute(bridge, case.pairs(16, 0), AttributionSettings("eap-ig"))
    known = graph.edges_from_names(case.edges)
    assert ground_truth.roc_area(scores, graph, known) == 1
    assert ground_truth.roc_area(scores.bfloat16(), graph, known) == 1
    assert ground_truth.recovered(scores, graph, known) == 1


def test_a_backup_is_hidden_from_one_gradient_and_from_patching_one_edge() -> None:
    case, bridge, graph = wired("backup")
    known = graph.edges_from_names(case.edges)
    for method in ("eap", "exact"):
        scores = attribute(bridge, case.pairs(16, 0), AttributionSettings(method))
        strength = np.abs(scores.numpy()[known])
        assert (strength > 1e-6 * strength.max()).sum() == 1, method  # m0->logits alone
        assert ground_truth.recovered(scores, graph, known) < 0.5


def test_an_edge_that_works_against_the_answer_is_lost_by_its_sign() -> None:
    case, bridge, graph = wired("suppression")
    scores = attribute(bridge, case.pairs(16, 0), AttributionSettings("eap-ig"))
    n = len(case.edges)
    assert set(top_n(scores, graph, n).edge_names) == set(case.edges)
    signed = top_n(scores, graph, n, absolute=False)
    assert "a1.h3->logits" not in signed.edge_names
    assert "a1.h3->logits" not in greedy(scores, graph, n, absolute=False).edge_names
    assert "a1.h3->logits" in greedy(scores, graph, n).edge_names
    held_out = case.pairs(16, 1)
    assert evaluate_circuit(bridge, held_out, signed).faithfulness > 1.5  # twice the answer


def test_the_area_is_the_chance_that_a_known_edge_ranks_higher() -> None:
    graph = Graph(1, 2)
    real = np.flatnonzero(graph.real_edges)
    scores = np.zeros(graph.real_edges.shape)
    known = np.zeros_like(graph.real_edges)
    known.flat[real[[0, 1]]] = True
    scores.flat[real] = -np.arange(len(real), dtype=float) - 1  # known ones last, by |score|
    assert ground_truth.roc_area(scores, graph, known) == 0
    assert ground_truth.recovered(scores, graph, known) == 0
    assert ground_truth.roc_area(1 / np.where(scores, scores, 1), graph, known) == 1
    tied = np.ones_like(scores)
    assert ground_truth.roc_area(tied, graph, known) == 0.5
    assert ground_truth.recovered(tied, graph, known) == pytest.approx(2 / len(real))
    curve = ground_truth.roc(scores, graph, known)
    assert curve["n_edges"].tolist() == list(range(len(real) + 1))
    assert curve.iloc[-1][["false_positive_rate", "true_positive_rate"]].tolist() == [1, 1]


def test_a_random_order_has_half_the_area() -> None:
    graph = Graph(2, 4)
    known = graph.edges_from_names(known_circuit("copying").edges)
    rng = np.random.default_rng(0)
    areas = [
        ground_truth.roc_area(rng.standard_normal(known.shape), graph, known) for _ in range(300)
    ]
    assert np.mean(areas) == pytest.approx(0.5, abs=0.03)


def test_the_table_compares_methods_with_a_random_order() -> None:
    found = ground_truth.find_again(known_circuit("two hops"), ("eap-ig",), noise=0.5, seed=1)
    assert found["method"].tolist() == ["eap-ig", ground_truth.RANDOM]
    first, control = found.to_dict("records")
    assert first["recovered"] == 1 and first["roc_area"] == 1 > control["roc_area"]
    assert first["faithfulness"] == pytest.approx(first["known_faithfulness"])
    assert abs(first["known_faithfulness"] - 1) < 0.1 and control["faithfulness"] < 0.1


def test_what_is_not_possible_is_refused() -> None:
    graph = Graph(1, 1)
    nothing = np.zeros_like(graph.real_edges)
    with pytest.raises(KcError, match="'and gate' is not a known circuit; allowed are copying"):
        known_circuit("and gate")
    with pytest.raises(KcError, match=r"noise=2\.0 is not"):
        known_circuit("copying").model(2.0)
    with pytest.raises(KcError, match=r"0 of \d+ possible edges are known"):
        ground_truth.roc(nothing.astype(float), graph, nothing)


@pytest.mark.parametrize("name", ["copying", "two hops"])
def test_polish_leaves_the_known_circuit(name: str) -> None:
    case, bridge, graph = wired(name, noise=0.3)
    pairs = case.pairs(12, 0)
    scores = attribute(bridge, pairs, AttributionSettings("eap-ig"))
    evaluation = BatchEvaluation(bridge, pairs)
    circuit = top_n(scores, graph, 2 * len(case.edges))
    assert circuit.n_edges > len(case.edges)
    done = polish(evaluation, circuit, scores, loss=0.05)
    assert set(done.circuit.edge_names) == set(case.edges) and done.finished
    assert done.n_runs == len(done.trials) >= circuit.n_edges - done.circuit.n_edges
    assert done.faithfulness == evaluation.result(done.circuit).faithfulness
    start = abs(1 - evaluation.result(circuit).faithfulness)
    assert abs(1 - done.faithfulness) <= start + 0.05
    stayed = done.trials[~done.trials["dropped"]]
    assert (np.abs(1 - stayed["faithfulness"]) > start + 0.05).all()


def test_polish_ends_when_it_is_told_to_and_says_so() -> None:
    case, bridge, graph = wired("copying", noise=0.3)
    pairs = case.pairs(4, 0)
    scores = attribute(bridge, pairs, AttributionSettings("eap"))
    evaluation, circuit = BatchEvaluation(bridge, pairs), top_n(scores, graph, 20)
    done = polish(evaluation, circuit, scores, loss=1.0, most_runs=2)
    assert done.n_runs == 2 and not done.finished
    assert done.trials["dropped"].all() and done.circuit.n_edges <= circuit.n_edges - 2
    assert (done.circuit.edges <= circuit.edges).all()
    nothing = polish(evaluation, replace(circuit, edges=circuit.edges & False), scores)
    assert nothing.n_runs == 0 and nothing.finished
    with pytest.raises(KcError, match=r"loss=-1\.0 is not"):
        polish(evaluation, circuit, scores, loss=-1.0)
    with pytest.raises(KcError, match="most_runs=0 is not"):
        polish(evaluation, circuit, scores, most_runs=0)
