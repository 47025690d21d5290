"""Entropy, overlap and depth of circuits, each against its chance level."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kc_utils.analysis.topology import (
    centre_of_mass,
    chance_centre_of_mass,
    chance_jaccard,
    edge_activation_ratio,
    entropy,
    expected_jaccard,
    jaccard,
    node_jaccard,
    noise_entropy,
    normalised_entropy,
    published_activation_ratio,
    shape,
)
from kc_utils.circuits.circuit import circuit_from_edges
from kc_utils.circuits.graph import Graph
from kc_utils.errors import KcError

GRAPH = Graph(n_layers=4, n_heads=3)
REAL = GRAPH.real_edges


def random_edges(n, seed):
    rng = np.random.default_rng(seed)
    edges = np.zeros(REAL.shape, dtype=bool)
    edges.flat[rng.choice(np.flatnonzero(REAL), size=n, replace=False)] = True
    return edges


def test_entropy_of_equal_and_of_concentrated_scores():
    equal = np.where(REAL, -2.0, 99.0)  # sign and unreal entries must not matter
    assert entropy(equal, REAL) == pytest.approx(np.log(GRAPH.n_edges))
    assert normalised_entropy(equal, REAL) == pytest.approx(1)
    one = np.zeros(REAL.shape)
    one[tuple(np.argwhere(REAL)[5])] = 3.0
    assert entropy(one, REAL) == 0
    two = np.zeros(REAL.shape)
    two[tuple(np.argwhere(REAL)[[5, 9]].T)] = (0.25, -0.75)
    assert entropy(two, REAL) == pytest.approx(-0.25 * np.log(0.25) - 0.75 * np.log(0.75))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(1e-6, 1e6))
def test_entropy_ignores_scale_and_sign_and_stays_in_range(seed, scale):
    scores = np.random.default_rng(seed).normal(size=REAL.shape)
    value = entropy(scores, REAL)
    assert 0 <= value <= np.log(GRAPH.n_edges)
    assert value == pytest.approx(entropy(-scale * scores, REAL))
    assert value == pytest.approx(entropy(torch.tensor(scores), REAL))


def test_noise_entropy_is_what_normal_scores_have_and_more_than_heavy_tails_have():
    rng = np.random.default_rng(0)
    real = np.ones((300, 300), dtype=bool)
    normal = rng.normal(size=real.shape)
    assert entropy(normal, real) == pytest.approx(noise_entropy(real.size), abs=0.01)
    assert entropy(normal**5, real) < noise_entropy(real.size) - 1


def test_scores_that_mean_nothing_are_refused():
    with pytest.raises(KcError, match="are zero"):
        entropy(np.zeros(REAL.shape), REAL)
    broken = np.ones(REAL.shape)
    broken[0, 0] = np.nan
    with pytest.raises(KcError, match="not finite"):
        entropy(broken, REAL)
    with pytest.raises(KcError, match="Scores of shape"):
        entropy(np.ones((2, 2)), REAL)


def test_jaccard():
    first, second = np.array([1, 1, 1, 0], bool), np.array([0, 1, 1, 1], bool)
    assert jaccard(first, second) == 0.5 == jaccard(second, first)
    assert jaccard(first, first) == 1 and jaccard(first, ~first) == 0
    assert jaccard(first & ~first, first & ~first) == 1
    assert node_jaccard(("input", "m0"), ["m0", "a1.h0"]) == pytest.approx(1 / 3)
    assert node_jaccard([], []) == 1
    with pytest.raises(KcError, match="shape"):
        jaccard(first, first[:2])


@pytest.mark.parametrize(("k1", "k2"), [(20, 20), (60, 10), (GRAPH.n_edges, 30), (0, 5)])
def test_chance_jaccard_is_what_random_circuits_have(k1, k2):
    drawn = [
        jaccard(random_edges(k1, (0, seed)), random_edges(k2, (1, seed))) for seed in range(400)
    ]
    chance = chance_jaccard(k1, k2, GRAPH.n_edges)
    assert chance.mean == pytest.approx(np.mean(drawn), abs=0.005)
    assert expected_jaccard(k1, k2, GRAPH.n_edges) == chance.mean
    assert np.mean([chance.low <= value <= chance.high for value in drawn]) >= 0.93


def test_chance_jaccard_is_exact_in_a_case_counted_by_hand():
    # Two of three items each: they share two (1 in 3, Jaccard 1) or one (2 in 3, Jaccard 1/3).
    assert expected_jaccard(2, 2, 3) == pytest.approx(1 / 3 + 2 / 9)
    assert expected_jaccard(0, 0, 3) == 1
    with pytest.raises(KcError, match="between 0 and n=3"):
        expected_jaccard(4, 1, 3)


def test_chance_jaccard_of_a_large_model():
    assert expected_jaccard(50_000, 50_000, 886_597) == pytest.approx(0.0290, abs=1e-4)


def test_activation_ratio_counts_the_edges_that_leave_a_layer():
    edges = GRAPH.edges_from_names(["input->a0.h0<q>", "a1.h2->m3", "m1->logits", "m3->logits"])
    table = edge_activation_ratio(edges, GRAPH).set_index("layer")
    assert table["kept"].to_dict() == {-1: 1, 0: 0, 1: 2, 2: 0, 3: 1}
    assert table["node"].to_dict() == {-1: "input", 0: "layer", 1: "layer", 2: "layer", 3: "layer"}
    # Layer 3: three heads read nothing but reach m3 and logits, m3 reaches logits.
    assert table.loc[3, "possible"] == 3 * 2 + 1
    assert table["possible"].sum() == GRAPH.n_edges
    assert table.loc[3, "ratio"] == pytest.approx(1 / 7)
    assert (table["expected"] == 4 / GRAPH.n_edges).all()


def test_published_activation_ratio_has_the_input_in_layer_0_and_no_last_layer():
    edges = random_edges(80, 3)
    own = edge_activation_ratio(edges, GRAPH)
    table = published_activation_ratio(own).set_index("layer")
    assert list(table.index) == [0, 1, 2]
    first = GRAPH.row_layer <= 0
    assert table.loc[0, "ratio"] == pytest.approx(edges[first].sum() / REAL[first].sum())
    own = own.set_index("layer")
    for column in ("ratio", "expected", "low", "high"):
        assert table.loc[1, column] == pytest.approx(own.loc[1, column])
    # All edges that leave the input and none else: only one way of counting shows a layer.
    only_input = REAL & (GRAPH.row_layer < 0)[:, None]
    own = edge_activation_ratio(only_input, GRAPH)
    assert own.set_index("layer").loc[0, "ratio"] == 0
    assert published_activation_ratio(own)["ratio"].iloc[0] > 0.2


def test_published_activation_ratio_keeps_circuits_apart():
    tables = [edge_activation_ratio(random_edges(n, n), GRAPH).assign(epoch=n) for n in (40, 120)]
    both = published_activation_ratio(pd.concat(tables))
    assert both.groupby("epoch").size().tolist() == [3, 3]
    for table in tables:
        alone = published_activation_ratio(table)
        same = both[both["epoch"] == table["epoch"].iloc[0]].reset_index(drop=True)
        pd.testing.assert_frame_equal(alone, same)


def test_activation_ratio_of_everything_and_of_random_circuits():
    assert (edge_activation_ratio(REAL, GRAPH)["ratio"] == 1).all()
    tables = [edge_activation_ratio(random_edges(80, seed), GRAPH) for seed in range(200)]
    inside = [(t["ratio"] >= t["low"]) & (t["ratio"] <= t["high"]) for t in tables]
    assert np.mean(inside) >= 0.93
    deep = REAL & (GRAPH.row_layer >= 2)[:, None]
    table = edge_activation_ratio(deep, GRAPH)
    assert (table["ratio"] > table["high"]).tolist() == [False, False, False, True, True]
    impossible = REAL.copy()
    impossible[-1, 0] = True
    with pytest.raises(KcError):
        edge_activation_ratio(impossible, GRAPH)


def test_centre_of_mass():
    edges = GRAPH.edges_from_names(["input->a0.h0<q>", "a1.h2->m3", "m3->logits", "m0->m2"])
    centre = centre_of_mass(edges, GRAPH)
    assert centre.source == pytest.approx((1 + 3 + 0) / 3)
    assert centre.destination == pytest.approx((0 + 3 + 2) / 3)
    scores = np.where(edges, -1.0, 0.0)
    scores[GRAPH.edges_from_names(["a1.h2->m3"])] = 2.0
    assert centre_of_mass(torch.tensor(scores), GRAPH).source == pytest.approx((2 * 1 + 3 + 0) / 4)
    only_ends = centre_of_mass(GRAPH.edges_from_names(["input->logits"]), GRAPH)
    assert np.isnan(only_ends.source) and np.isnan(only_ends.destination)


def test_chance_centre_of_mass_surrounds_random_circuits_and_not_deep_ones():
    source, destination = chance_centre_of_mass(60, GRAPH, n=300, seed=0)
    everything = centre_of_mass(REAL, GRAPH)
    assert source.mean == pytest.approx(everything.source, abs=0.05)
    assert destination.mean == pytest.approx(everything.destination, abs=0.05)
    drawn = [centre_of_mass(random_edges(60, seed), GRAPH).source for seed in range(100)]
    assert np.mean([source.low <= value <= source.high for value in drawn]) > 0.85
    deep = REAL & (GRAPH.row_layer >= 2)[:, None]
    assert centre_of_mass(deep, GRAPH).source > source.high
    with pytest.raises(KcError, match="n_edges=0"):
        chance_centre_of_mass(0, GRAPH, seed=0)


def test_a_circuit_that_pruning_emptied_has_a_shape_without_an_entropy_of_its_own() -> None:
    graph = Graph(2, 2)
    scores = torch.from_numpy(np.where(graph.real_edges, 1.0, 0.0))
    empty, full = (
        circuit_from_edges(graph, e) for e in (graph.real_edges & False, graph.real_edges)
    )
    nothing, everything = (shape(scores, c, full, None, 0) for c in (empty, full))
    assert np.isnan(nothing["entropy_kept"]) and np.isnan(nothing["normalised_entropy_kept"])
    assert everything["entropy_kept"] == pytest.approx(everything["entropy"])
    assert everything["normalised_entropy_kept"] == pytest.approx(1.0)
