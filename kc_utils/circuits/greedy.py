"""Greedy construction: a circuit that grows from the logits upstream, never with a loose end.

Top-n keeps the strongest edges wherever they are and then drops those that lead nowhere. The greedy
search of Hanna et al. (2024, arXiv 2403.17806) starts at the logits instead: of all edges into
nodes that are in the circuit already, the one of largest absolute score joins, with its writer. So
every kept edge reaches the logits by construction, and a strong edge far from them has to wait
until a path leads to it.
"""

from __future__ import annotations

import heapq

import numpy as np
from jaxtyping import Float
from torch import Tensor

from kc_utils.circuits.circuit import Circuit, check_size, circuit_from_edges, strongest_first
from kc_utils.circuits.graph import Graph


def greedy(
    scores: Float[Tensor, "n_forward n_backward"] | Float[np.ndarray, "n_forward n_backward"],
    graph: Graph,
    n: int,
    absolute: bool = True,
) -> Circuit:
    """Grow a circuit of ``n`` edges from the logits, then prune what no input reaches.

    Args:
        scores: edge scores [n_forward, n_backward].
        graph: the graph that they belong to.
        n: edges to take, 0 to ``graph.n_edges``; equal scores are taken in row order.
        absolute: their absolute values count; else edges that work against the answer come last.

    Raises:
        KcError: as :func:`kc_utils.circuits.circuit.top_n`.
    """
    order = strongest_first(scores, graph, absolute)
    check_size(graph, n, "n")
    place = np.full(graph.real_edges.size, -1)
    place[order] = np.arange(len(order))
    place = place.reshape(graph.real_edges.shape)
    # Readers by the row of their node; the logits have row -1, which is the last list.
    readers: list[list[int]] = [[] for _ in range(graph.n_forward + 1)]
    for column, row in enumerate(graph.column_row.tolist()):
        readers[row].append(column)
    edges = np.zeros_like(graph.real_edges)
    inside, waiting = np.zeros(graph.n_forward + 1, bool), []

    def join(row: int) -> None:
        inside[row] = True
        for column in readers[row]:
            writers = np.flatnonzero(graph.real_edges[:, column])
            for writer in writers:
                heapq.heappush(waiting, (int(place[writer, column]), int(writer), column))

    join(-1)
    for _ in range(n):
        if not waiting:
            break
        _, writer, column = heapq.heappop(waiting)
        edges[writer, column] = True
        if not inside[writer]:
            join(writer)
    return circuit_from_edges(graph, edges, n)
