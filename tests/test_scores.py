"""What is said about a matrix of scores: concentration, readers, overlap with controls."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kc_utils.analysis.scores import edges_with_half, overlaps, shares_by_reader, shuffled_scores
from kc_utils.circuits.circuit import strongest_edges, top_edges, top_n
from kc_utils.circuits.graph import Graph
from kc_utils.errors import KcError

GRAPH = Graph(2, 2)


def scores(seed: int = 0) -> torch.Tensor:
    """Normal scores on the real edges, zero elsewhere."""
    values = np.random.default_rng(seed).normal(size=GRAPH.real_edges.shape)
    return torch.from_numpy(values * GRAPH.real_edges)


@pytest.mark.parametrize(
    ("values", "n"), [([9, 0, 0, 0], 1), ([1, -1, 1, -1], 2), ([3, -3, 2, 2], 2), ([1], 1)]
)
def test_half_of_the_score_lies_on_the_strongest_edges(values, n) -> None:
    assert edges_with_half(np.array(values, dtype=float)) == n


def test_scores_that_are_all_zero_have_no_half() -> None:
    with pytest.raises(KcError, match="All 3 edge scores are zero"):
        edges_with_half(np.zeros(3))


def test_shares_of_readers_add_up_and_name_the_reader() -> None:
    only_queries = np.zeros_like(GRAPH.real_edges)
    only_queries[:, np.array(GRAPH.column_kind) == "q"] = True
    only_queries &= GRAPH.real_edges
    shares = shares_by_reader({"all": GRAPH.real_edges, "q": only_queries}, GRAPH)
    assert shares["all"].sum() == pytest.approx(1) and (shares["all"] > 0).all()
    assert shares.set_index("reader")["q"].to_dict() == dict(q=1, k=0, v=0, mlp=0, logits=0)


def test_shuffling_keeps_the_scores_and_moves_them() -> None:
    found = scores()
    one, two = shuffled_scores(found, GRAPH, n=2, seed=0)
    (again, _) = shuffled_scores(found, GRAPH, n=2, seed=0)
    assert (one == again).all() and (one != two).any() and (one != found.numpy()).any()
    assert (one[~GRAPH.real_edges] == 0).all()
    assert sorted(one[GRAPH.real_edges]) == sorted(found.numpy()[GRAPH.real_edges])


def test_overlap_is_one_with_itself_and_lower_with_shuffled_scores() -> None:
    found = scores()
    edges = top_edges(found, GRAPH, 10)
    by_chance = [top_edges(s, GRAPH, 10) for s in shuffled_scores(found, GRAPH, n=20, seed=1)]
    table = overlaps(edges, {"itself": [edges], "nothing": [], "shuffled": by_chance})
    assert table["compared with"].tolist() == ["itself", "shuffled"]
    itself, shuffled = table.itertuples(index=False)
    assert itself.Jaccard == itself.lowest == itself.highest == 1
    assert shuffled.lowest <= shuffled.Jaccard <= shuffled.highest and shuffled.Jaccard < 0.5


def test_strongest_edges_are_all_of_the_circuit_unless_a_number_is_given() -> None:
    found = scores()
    circuit = top_n(found, GRAPH, 20)
    edges = strongest_edges(found, circuit)
    assert set(edges["source"] + "->" + edges["target"]) == set(circuit.edge_names)
    assert edges["score"].abs().is_monotonic_decreasing
    assert strongest_edges(found, circuit, 3).equals(edges.head(3))


def test_strongest_edges_are_those_of_tensors_with_gradients_and_of_arrays_too() -> None:
    found = scores()
    circuit = top_n(found, GRAPH, 20)
    edges = strongest_edges(found, circuit)
    assert strongest_edges(found.clone().requires_grad_(True), circuit).equals(edges)
    assert strongest_edges(found.double().numpy(), circuit).equals(edges)
    assert len(strongest_edges(found.bfloat16(), circuit)) == circuit.n_edges
