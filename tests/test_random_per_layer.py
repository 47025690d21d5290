"""Random circuits with as many edges into each layer as another circuit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kc_utils.circuits import Circuit, circuit_from_edges, random_circuit, top_n
from kc_utils.circuits.circuit import prune
from kc_utils.circuits.graph import Graph
from kc_utils.circuits.random_circuits import edges_per_layer, random_circuit_per_layer

graphs = st.builds(Graph, st.integers(1, 5), st.integers(1, 4), st.booleans())


def chosen(graph: Graph, seed: int, share: float) -> Circuit:
    """A circuit of a graph whose edges lie mostly between few nodes, as real ones do."""
    rng = np.random.default_rng(seed)
    shape = graph.real_edges.shape
    scores = rng.normal(size=shape) * np.exp(rng.normal(size=(shape[0], 1)))
    return top_n(scores, graph, round(share * graph.n_edges))


@settings(max_examples=60, deadline=None)
@given(graphs, st.integers(0, 2**32), st.floats(0, 1))
def test_random_circuits_per_layer(graph: Graph, seed: int, share: float) -> None:
    circuit = chosen(graph, seed, share)
    drawn = random_circuit_per_layer(circuit, seed)
    wanted = edges_per_layer(circuit.edges, graph)
    found = edges_per_layer(drawn.edges, graph)
    assert wanted.sum() == circuit.n_edges
    assert (prune(graph, drawn.edges) == drawn.edges).all()
    assert (random_circuit_per_layer(circuit, seed).edges == drawn.edges).all()
    assert not found[wanted == 0].any()
    # No repair is known to fail at any size; a few edges are allowed for the smallest graphs.
    assert np.abs(found - wanted).sum() <= 2


@pytest.mark.parametrize("parallel", [False, True])
def test_the_size_per_layer_is_exact_and_that_of_a_plain_random_circuit_is_not(
    parallel: bool,
) -> None:
    graph = Graph(6, 4, parallel)
    off = []
    for seed in range(20):
        circuit = chosen(graph, seed, 0.27)
        wanted = edges_per_layer(circuit.edges, graph)
        drawn = random_circuit_per_layer(circuit, seed)
        assert (edges_per_layer(drawn.edges, graph) == wanted).all()
        plain = random_circuit(graph, circuit.n_edges, seed)
        off.append(np.abs(edges_per_layer(plain.edges, graph) - wanted).sum())
    assert np.median(off) > 20, "the control: a wrong distribution is seen"


def test_random_circuits_per_layer_differ_and_favour_no_edge() -> None:
    graph = Graph(3, 2)
    circuit = chosen(graph, 1, 0.5)
    wanted = edges_per_layer(circuit.edges, graph)
    drawn = np.stack([random_circuit_per_layer(circuit, seed).edges for seed in range(300)])
    assert len({edges.tobytes() for edges in drawn}) > 290
    expected = wanted / edges_per_layer(graph.real_edges, graph)
    share = drawn.mean(0)
    for layer in range(graph.n_layers + 1):
        into = graph.real_edges & (graph.column_layer == layer)[None, :]
        assert np.abs(share[into] - expected[layer]).max() < 0.35
    full = circuit_from_edges(graph, graph.real_edges.copy())
    assert (random_circuit_per_layer(full, 0).edges == graph.real_edges).all()
    empty = circuit_from_edges(graph, np.zeros_like(graph.real_edges))
    assert random_circuit_per_layer(empty, 0).n_edges == 0
