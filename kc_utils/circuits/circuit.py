"""Circuits: the edges that are kept, without nodes that lead nowhere.

A circuit is cut from a matrix of edge scores: the n possible edges of largest absolute score are
kept. Then nodes without a kept edge in or without a kept edge out are dropped with their edges,
again and again until nothing changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from torch import Tensor

from kc_utils.circuits.arguments import whole
from kc_utils.circuits.graph import Graph
from kc_utils.errors import KcError


@dataclass(frozen=True, eq=False)
class Circuit:
    """Kept edges of ``graph`` after pruning.

    Args:
        graph: writers and readers.
        edges: True for edges that are kept.
        n: number of edges asked for before pruning.

    Raises:
        KcError: edges of another shape, or where the graph has none.
    """

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
        """Names of the kept edges, ``writer->reader``, in row order."""
        return self.graph.edge_names(self.edges)

    def table(self) -> pd.DataFrame:
        """One row per kept edge, in row order.

        Columns: writer, reader, writer_layer, reader_layer (as in the graph: -1 is ``input``,
        n_layers is ``logits``) and reader_kind.
        """
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
    absolute: bool = True,
) -> Circuit:
    """Keep the ``n`` possible edges of largest absolute score, then prune.

    Without ``absolute`` the sign counts: edges that work against the answer come last. Equal scores
    are taken in row order.

    Raises:
        KcError: scores of another shape than the graph's, a score that is not a finite number, or
            ``n`` not in 0 to ``graph.n_edges``.
    """
    return top_sizes(scores, graph, [n], absolute)[0]


def top_sizes(
    scores: Float[Tensor, "n_forward n_backward"] | Float[np.ndarray, "n_forward n_backward"],
    graph: Graph,
    sizes: Sequence[int],
    absolute: bool = True,
) -> list[Circuit]:
    """``top_n`` for several sizes, in their order; the scores are sorted once."""
    order = strongest_first(scores, graph, absolute)
    for n in sizes:
        check_size(graph, n, "n")
    return [circuit_from_edges(graph, from_flat(graph, order[:n]), n) for n in sizes]


def top_edges(
    scores: Float[Tensor, "n_forward n_backward"] | Float[np.ndarray, "n_forward n_backward"],
    graph: Graph,
    n: int,
) -> Bool[np.ndarray, "n_forward n_backward"]:
    """The ``n`` possible edges of largest absolute score, not pruned.

    Raises:
        KcError: as :func:`top_n`.
    """
    order = strongest_first(scores, graph)
    check_size(graph, n, "n")
    return from_flat(graph, order[:n])


def strongest_first(
    scores: Float[Tensor, "n_forward n_backward"] | Float[np.ndarray, "n_forward n_backward"],
    graph: Graph,
    absolute: bool = True,
) -> Int[np.ndarray, " n_edges"]:
    """Flat indices of the possible edges by falling absolute score, equal scores in row order.

    Without ``absolute`` by falling score.

    KcError if the shape is not the graph's, or if a score is not a finite number.
    """
    values = matrix_of(scores, graph)
    real = np.flatnonzero(graph.real_edges)
    strength = values.astype(np.float64).ravel()[real]
    if not np.isfinite(strength).all():
        raise KcError(f"{int((~np.isfinite(strength)).sum())} edge scores are not finite numbers.")
    strength = np.abs(strength) if absolute else strength
    return real[np.argsort(-strength, kind="stable")]


def as_array(
    values: Float[Tensor, "*shape"] | Float[np.ndarray, "*shape"],
) -> Float[np.ndarray, "*shape"]:
    """Scores as an array, also of a tensor that takes gradients or lies on another device.

    KcError for what holds no numbers.
    """
    if isinstance(values, Tensor):
        return values.detach().cpu().double().numpy()
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "biuf":
        kind = f"{values.dtype}" if isinstance(values, np.ndarray) else type(values).__name__
        raise KcError(f"Scores are a tensor or an array of real numbers, not {kind}.")
    return values


def matrix_of(
    scores: Float[Tensor, "n_forward n_backward"] | Float[np.ndarray, "n_forward n_backward"],
    graph: Graph,
) -> Float[np.ndarray, "n_forward n_backward"]:
    """:func:`as_array`, and a KcError for scores of another shape than the graph's."""
    values = as_array(scores)
    check_graph(graph)
    if values.shape != graph.real_edges.shape:
        raise KcError(
            f"Scores have shape {tuple(values.shape)}, the graph needs {graph.real_edges.shape}."
        )
    return values


def circuit_from_edges(
    graph: Graph,
    edges: Bool[np.ndarray, "n_forward n_backward"] | Bool[Tensor, "n_forward n_backward"],
    n: int | None = None,
) -> Circuit:
    """The circuit of given edges, pruned; ``n`` defaults to their number.

    This is how one checkpoint's edges are taken over to another (aligned circuits).

    Raises:
        KcError: edges of another shape, or where the graph has none.
    """
    check_graph(graph)
    edges = edges.detach().cpu().numpy() if isinstance(edges, Tensor) else edges
    return Circuit(graph, prune(graph, edges), int(edges.sum()) if n is None else n)


def circuit_from_names(graph: Graph, names: Iterable[str]) -> Circuit:
    """The circuit of the edges ``names``, each ``writer->reader``, pruned.

    Raises:
        KcError: a name is not that of an edge of the graph.
    """
    return circuit_from_edges(graph, graph.edges_from_names(names))


def circuit_of_nodes(
    graph: Graph, nodes: Bool[np.ndarray, " n_forward"] | Bool[Tensor, " n_forward"]
) -> Circuit:
    """All edges between the writers ``nodes``, and from them to ``logits``, pruned.

    Raises:
        KcError: another number of nodes than the graph has, or no boolean vector.
    """
    nodes = nodes.detach().cpu().numpy() if isinstance(nodes, Tensor) else np.asarray(nodes)
    if nodes.shape != (graph.n_forward,) or nodes.dtype != bool:
        raise KcError(
            f"Nodes have shape {nodes.shape} and {nodes.dtype}; the graph needs "
            f"({graph.n_forward},) and bool."
        )
    reads = np.append(nodes, True)[graph.column_row]  # logits, whose row is -1, always reads
    return circuit_from_edges(graph, graph.real_edges & nodes[:, None] & reads[None, :])


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


def strongest_edges(
    scores: Float[Tensor, "n_forward n_backward"] | Float[np.ndarray, "n_forward n_backward"],
    circuit: Circuit,
    n: int | None = None,
) -> pd.DataFrame:
    """The circuit's edges by falling absolute score: all, or the first ``n``.

    Columns: source (writer), target (reader), score (in the unit of ``scores``).

    Raises:
        KcError: scores of another shape than the graph's, or ``n`` below 0.
    """
    check_circuit(circuit)
    table, values = circuit.table(), matrix_of(scores, circuit.graph)
    rows, columns = circuit.edges.nonzero()
    table["score"] = values[rows, columns].astype(float)
    n = None if n is None else whole(n, "n", 0)
    order = table["score"].abs().sort_values(ascending=False, kind="stable").index[:n]
    table = table.loc[order].rename(columns={"writer": "source", "reader": "target"})
    return table[["source", "target", "score"]].reset_index(drop=True)


def check_graph(graph: Graph) -> None:
    """KcError for something else, such as the bridge that it is of."""
    if not isinstance(graph, Graph):
        raise KcError(f"A {type(graph).__name__} is no Graph; graph_of(bridge) is the model's.")


def check_circuit(circuit: Circuit) -> None:
    """KcError for something else, such as the edges of one."""
    if not isinstance(circuit, Circuit):
        kind = type(circuit).__name__
        raise KcError(f"{kind} is no Circuit; Circuit(graph, edges, n) makes one of edges.")


def check_size(graph: Graph, n: int, name: str) -> None:
    """KcError unless the graph has ``n`` edges; ``name`` is what the caller calls them."""
    check_graph(graph)
    if whole(n, name, 0) > graph.n_edges:
        raise KcError(f"{name}={n} is too many; the graph allows 0 to {graph.n_edges}.")


def from_flat(
    graph: Graph, flat: Int[np.ndarray, " some"]
) -> Bool[np.ndarray, "n_forward n_backward"]:
    """Edges from the flat indices of those that are kept."""
    edges = np.zeros(graph.real_edges.shape, dtype=bool)
    edges.flat[flat] = True
    return edges
