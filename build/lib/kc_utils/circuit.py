"""Circuits: the edges that are kept, without nodes that lead nowhere.

A circuit is cut from a matrix of edge scores: the ``n`` possible edges of largest |score| are kept.
Then nodes without a kept edge in or without a kept edge out are dropped with their edges, again and
again until nothing changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from kc_utils.errors import KcError
from kc_utils.graph import Graph

RANDOM_CIRCUIT = 7301  # stream number of the generator that draws random circuits


@dataclass(frozen=True, eq=False)
class Circuit:
    """Kept edges of ``graph`` after pruning; ``n`` is the number of edges asked for before it."""

    graph: Graph
    edges: Bool[np.ndarray, "n_forward n_backward"]
    n: int

    def __post_init__(self) -> None:
        self.graph.check_edges(self.edges)

    @property
    def n_edges(self) -> int:
        """Number of edges after pruning."""
        return int(self.edges.sum())

    @cached_property
    def node_mask(self) -> Bool[np.ndarray, " n_forward"]:
        """True for writers with a kept edge (``logits`` is no writer)."""
        return self.edges.any(axis=1)

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of the writers in the circuit."""
        return tuple(self.graph.rows[u] for u in np.flatnonzero(self.node_mask))

    @property
    def edge_names(self) -> tuple[str, ...]:
        """Names of the kept edges, ``writer->reader``."""
        return self.graph.edge_names(self.edges)

    def table(self) -> pd.DataFrame:
        """One row per kept edge: writer, reader, their layers, and the kind of reader."""
        u, v = np.nonzero(self.edges)
        return pd.DataFrame(
            {
                "writer": [self.graph.rows[i] for i in u],
                "reader": [self.graph.columns[i] for i in v],
                "writer_layer": self.graph.row_layer[u],
                "reader_layer": self.graph.column_layer[v],
                "reader_kind": [self.graph.column_kind[i] for i in v],
            }
        )


def top_n(
    scores: Float[Tensor, "n_forward n_backward"] | Float[np.ndarray, "n_forward n_backward"],
    graph: Graph,
    n: int,
) -> Circuit:
    """Keep the ``n`` possible edges of largest |score|, then prune.

    Equal scores are taken in row order. KcError if ``n`` is not in 0..graph.n_edges, or if a score
    is not a finite number.
    """
    return circuit_from_edges(graph, top_edges(scores, graph, n), n)


def top_edges(
    scores: Float[Tensor, "n_forward n_backward"] | Float[np.ndarray, "n_forward n_backward"],
    graph: Graph,
    n: int,
) -> Bool[np.ndarray, "n_forward n_backward"]:
    """The ``n`` possible edges of largest |score|, not pruned."""
    values = scores.detach().cpu().numpy() if isinstance(scores, torch.Tensor) else scores
    if values.shape != graph.real_edges.shape:
        raise KcError(
            f"Scores have shape {tuple(values.shape)}, the graph needs {graph.real_edges.shape}."
        )
    if not 0 <= n <= graph.n_edges:
        raise KcError(f"n={n} edges were asked for; the graph allows 0 to {graph.n_edges}.")
    real = np.flatnonzero(graph.real_edges)
    strength = np.abs(values.astype(np.float64).ravel()[real])
    if not np.isfinite(strength).all():
        raise KcError(f"{int((~np.isfinite(strength)).sum())} edge scores are not finite numbers.")
    return _from_flat(graph, real[np.argsort(-strength, kind="stable")[:n]])


def circuit_from_edges(
    graph: Graph, edges: Bool[np.ndarray, "n_forward n_backward"], n: int | None = None
) -> Circuit:
    """The circuit of given edges, pruned; ``n`` defaults to their number.

    This is how one checkpoint's edges are taken over to another (aligned circuits).
    """
    return Circuit(graph, prune(graph, edges), int(edges.sum()) if n is None else n)


def circuit_from_names(graph: Graph, names: Iterable[str]) -> Circuit:
    """The circuit of named edges, pruned."""
    return circuit_from_edges(graph, graph.edges_from_names(names))


def full_circuit(graph: Graph) -> Circuit:
    """All possible edges: the model itself."""
    return Circuit(graph, graph.real_edges, graph.n_edges)


def prune(
    graph: Graph, edges: Bool[np.ndarray, "n_forward n_backward"]
) -> Bool[np.ndarray, "n_forward n_backward"]:
    """Drop edges from and to dead nodes until nothing changes.

    A head or MLP is alive if it has a kept edge in (a head: into q, k or v) and a kept edge out;
    ``input`` is alive if it has a kept edge out; ``logits`` always is.
    """
    graph.check_edges(edges)
    kept = edges.copy()
    of_node = graph.column_row[:-1]  # all readers but logits
    while True:
        hears = np.zeros(graph.n_forward, dtype=bool)
        np.logical_or.at(hears, of_node, kept[:, :-1].any(axis=0))
        hears[0] = True  # the embedding hears tokens
        alive = hears & kept.any(axis=1)
        reader_alive = np.append(alive[of_node], True)
        smaller = kept & alive[:, None] & reader_alive[None, :]
        if (smaller == kept).all():
            return smaller
        kept = smaller


def random_circuit(graph: Graph, n_edges: int, seed: int) -> Circuit:
    """A random circuit of ``n_edges`` edges in which, after pruning, every node is alive.

    Edges are put in random order, and the shortest beginning of that order is taken whose pruned
    part has at least ``n_edges`` edges. Edges in surplus are then removed in reverse order, each
    only if pruning leaves no fewer than ``n_edges``. If no removal gives the exact number (possible
    only for a handful of edges), the result has the nearest number that was met.

    KcError if ``n_edges`` is not in 0..graph.n_edges.
    """
    if not 0 <= n_edges <= graph.n_edges:
        raise KcError(f"n_edges={n_edges} was asked for; the graph allows 0 to {graph.n_edges}.")
    rng = np.random.default_rng([seed, RANDOM_CIRCUIT])
    order = rng.permutation(np.flatnonzero(graph.real_edges))

    def first(m: int) -> np.ndarray:
        return prune(graph, _from_flat(graph, order[:m]))

    low, high = 0, graph.n_edges  # pruned size grows with m
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if first(middle).sum() >= n_edges else (middle + 1, high)
    edges = _remove_surplus(graph, first(low), order[:low], n_edges)
    below = first(max(low - 1, 0))
    nearest = min((edges, below), key=lambda e: abs(int(e.sum()) - n_edges))
    return Circuit(graph, nearest, n_edges)


def _remove_surplus(graph: Graph, edges: np.ndarray, order: np.ndarray, n_edges: int) -> np.ndarray:
    for edge in order[::-1]:
        if edges.sum() <= n_edges:
            break
        if edges.flat[edge]:
            fewer = edges.copy()
            fewer.flat[edge] = False
            fewer = prune(graph, fewer)
            edges = fewer if fewer.sum() >= n_edges else edges
    return edges


def _from_flat(graph: Graph, flat: np.ndarray) -> np.ndarray:
    edges = np.zeros(graph.real_edges.shape, dtype=bool)
    edges.flat[flat] = True
    return edges
