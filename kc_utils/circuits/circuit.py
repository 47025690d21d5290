"""Circuits: the edges that are kept, without nodes that lead nowhere.

A circuit is cut from a matrix of edge scores: the ``n`` possible edges of largest |score| are kept.
Then nodes without a kept edge in or without a kept edge out are dropped with their edges, again and
again until nothing changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from kc_utils.circuits.graph import Graph
from kc_utils.errors import KcError

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
    return top_sizes(scores, graph, [n])[0]


def top_sizes(
    scores: Float[Tensor, "n_forward n_backward"] | Float[np.ndarray, "n_forward n_backward"],
    graph: Graph,
    sizes: Sequence[int],
) -> list[Circuit]:
    """``top_n`` for several sizes, in their order; the scores are sorted once."""
    order = strongest_first(scores, graph)
    for n in sizes:
        _check_size(graph, n, "n")
    return [circuit_from_edges(graph, _from_flat(graph, order[:n]), n) for n in sizes]


def top_edges(
    scores: Float[Tensor, "n_forward n_backward"] | Float[np.ndarray, "n_forward n_backward"],
    graph: Graph,
    n: int,
) -> Bool[np.ndarray, "n_forward n_backward"]:
    """The ``n`` possible edges of largest |score|, not pruned."""
    order = strongest_first(scores, graph)
    _check_size(graph, n, "n")
    return _from_flat(graph, order[:n])


def strongest_first(
    scores: Float[Tensor, "n_forward n_backward"] | Float[np.ndarray, "n_forward n_backward"],
    graph: Graph,
) -> Int[np.ndarray, " n_edges"]:
    """Flat indices of the possible edges by falling |score|, equal scores in row order.

    KcError if the shape is not the graph's, or if a score is not a finite number.
    """
    values = scores.detach().cpu().numpy() if isinstance(scores, torch.Tensor) else scores
    if values.shape != graph.real_edges.shape:
        raise KcError(
            f"Scores have shape {tuple(values.shape)}, the graph needs {graph.real_edges.shape}."
        )
    real = np.flatnonzero(graph.real_edges)
    strength = np.abs(values.astype(np.float64).ravel()[real])
    if not np.isfinite(strength).all():
        raise KcError(f"{int((~np.isfinite(strength)).sum())} edge scores are not finite numbers.")
    return real[np.argsort(-strength, kind="stable")]


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
    writer, reader = np.nonzero(edges)
    node = graph.column_row[reader]
    while True:
        alive = np.zeros(graph.n_forward + 1, dtype=bool)
        alive[node] = True
        alive[0] = True  # the embedding reads tokens
        writes = np.zeros_like(alive)
        writes[writer] = True
        alive &= writes
        alive[-1] = True  # logits, whose row is -1
        stay = alive[writer] & alive[node]
        if stay.all():
            break
        writer, reader, node = writer[stay], reader[stay], node[stay]
    kept = np.zeros_like(edges)
    kept[writer, reader] = True
    return kept


def weighted_edges(
    circuit: Circuit, writer_shares: Float[np.ndarray, " n_forward"] | None = None
) -> float:
    """Size of a circuit as MIB counts it (arXiv 2504.13151): edges weighted by their writer.

    An edge counts as much as the share of its writer's neurons that the circuit keeps
    (``writer_shares``, 0 to 1). Circuits of edges keep writers whole, so without shares this is
    ``circuit.n_edges``. KcError if a share is not in 0..1.
    """
    if writer_shares is None:
        return float(circuit.n_edges)
    if writer_shares.shape != (circuit.graph.n_forward,):
        raise KcError(
            f"There are {writer_shares.size} shares of writers; the graph has "
            f"{circuit.graph.n_forward} writers."
        )
    outside = ~((writer_shares >= 0) & (writer_shares <= 1))
    if outside.any():
        raise KcError(f"{writer_shares[outside][0]} is not a share of neurons between 0 and 1.")
    return float(circuit.edges.sum(axis=1) @ writer_shares)


def random_circuit(graph: Graph, n_edges: int, seed: int) -> Circuit:
    """A random circuit of ``n_edges`` edges in which, after pruning, every node is alive.

    Edges are put in random order, and the shortest beginning of that order is taken whose pruned
    part has at least ``n_edges`` edges. Edges in surplus are then removed in reverse order, each
    only if pruning leaves no fewer than ``n_edges``. If no removal gives the exact number (possible
    only for a handful of edges), the result has the nearest number that was met.

    KcError if ``n_edges`` is not in 0..graph.n_edges.
    """
    _check_size(graph, n_edges, "n_edges")
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


def _check_size(graph: Graph, n: int, name: str) -> None:
    if not 0 <= n <= graph.n_edges:
        asked = "edges were" if name == "n" else "was"
        raise KcError(f"{name}={n} {asked} asked for; the graph allows 0 to {graph.n_edges}.")


def _from_flat(graph: Graph, flat: np.ndarray) -> np.ndarray:
    edges = np.zeros(graph.real_edges.shape, dtype=bool)
    edges.flat[flat] = True
    return edges


def strongest_edges(scores, circuit: Circuit, n: int) -> pd.DataFrame:
    """The circuit's ``n`` edges of largest |score|: source, target, score."""
    table = circuit.table()
    rows, columns = circuit.edges.nonzero()
    table["score"] = scores.numpy()[rows, columns].astype(float)
    order = table["score"].abs().sort_values(ascending=False, kind="stable").index[:n]
    table = table.loc[order].rename(columns={"writer": "source", "reader": "target"})
    return table[["source", "target", "score"]].reset_index(drop=True)
