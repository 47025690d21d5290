"""The graph: names, order and possible edges."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kc_utils.circuits.graph import Graph
from kc_utils.errors import KcError

GOLDEN = Path(__file__).parent / "golden"
graphs = st.builds(Graph, st.integers(1, 5), st.integers(1, 5), st.booleans())


@pytest.mark.parametrize("name", ["gpt2_tiny", "llama_tiny"])
def test_names_and_edges_are_the_golden_ones(name: str) -> None:
    nodes = json.loads((GOLDEN / name / "nodes.json").read_text())
    graph = Graph(4, 4)
    assert list(graph.rows) == nodes["rows"]
    assert list(graph.columns) == nodes["columns"]
    real = np.load(GOLDEN / name / "real_edges.npy", allow_pickle=False)
    assert (graph.real_edges == real).all()


def test_paper_sizes() -> None:
    """Counts printed in arXiv 2502.11196; logits is a node of the paper but no writer."""
    gpt2 = Graph(12, 12)
    assert gpt2.n_forward + 1 == 158
    assert gpt2.n_edges == 32_491
    assert Graph(24, 16).n_edges == 231_877


@settings(max_examples=30, deadline=None)
@given(graphs)
def test_indices_agree_with_names(graph: Graph) -> None:
    assert graph.real_edges.shape == (graph.n_forward, graph.n_backward)
    assert len(graph.rows) == len(graph.row_kind) == graph.n_forward
    assert len(graph.columns) == len(graph.column_kind) == graph.n_backward
    for layer in range(graph.n_layers):
        heads = graph.rows[graph.heads(layer)]
        assert heads == tuple(f"a{layer}.h{h}" for h in range(graph.n_heads))
        assert graph.rows[graph.mlp(layer)] == f"m{layer}"
        assert graph.columns[graph.mlp_column(layer)] == f"m{layer}"
    for v, name in enumerate(graph.columns[:-1]):
        assert graph.rows[graph.column_row[v]] == name.split("<")[0]
        assert graph.column_layer[v] == graph.row_layer[graph.column_row[v]]


@settings(max_examples=30, deadline=None)
@given(graphs)
def test_an_edge_is_possible_when_the_writer_comes_first(graph: Graph) -> None:
    for u in range(graph.n_forward):
        for v in range(graph.n_backward):
            writer, reader = graph.row_layer[u], graph.column_layer[v]
            own_head = graph.row_kind[u] == "head" and graph.column_kind[v] == "mlp"
            same_layer = writer == reader and own_head and not graph.parallel
            assert graph.real_edges[u, v] == (writer < reader or same_layer)


@settings(max_examples=30, deadline=None)
@given(graphs, st.integers(0, 2**32))
def test_edges_survive_the_way_through_their_names(graph: Graph, seed: int) -> None:
    random = np.random.default_rng(seed).random(graph.real_edges.shape) < 0.3
    edges = random & graph.real_edges
    names = graph.edge_names(edges)
    assert len(set(names)) == edges.sum()
    assert (graph.edges_from_names(names) == edges).all()


@pytest.mark.parametrize("name", ["m0->a0.h0<q>", "a0.h0->a0.h1<v>", "logits->m0", "m1", "m9->m0"])
def test_impossible_edges_are_named(name: str) -> None:
    with pytest.raises(KcError, match=name.replace(".", r"\.")):
        Graph(2, 2).edges_from_names([name])


def test_wrong_matrices_are_refused() -> None:
    graph = Graph(2, 2)
    with pytest.raises(KcError, match="shape"):
        graph.check_edges(np.zeros((2, 2), dtype=bool))
    with pytest.raises(KcError, match="not a possible edge"):
        graph.check_edges(np.ones_like(graph.real_edges))
    with pytest.raises(KcError, match="n_layers=0"):
        Graph(0, 2)


def test_cached_arrays_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        Graph(2, 2).real_edges[0, 0] = False
