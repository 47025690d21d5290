"""A circuit as a graph of NetworkX, for other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from torch import Tensor

from kc_utils.circuits.circuit import Circuit, check_circuit, matrix_of
from kc_utils.circuits.graph import LOGITS

if TYPE_CHECKING:
    import networkx as nx


def network(
    circuit: Circuit,
    scores: Float[Tensor, "n_forward n_backward"] | Float[np.ndarray, "n_forward n_backward"],
) -> nx.MultiDiGraph:
    """The circuit for NetworkX, for example for ``networkx.write_graphml``.

    Nodes have ``kind`` (input, head, mlp, logits) and ``layer`` (-1 for ``input``, n_layers for
    ``logits``). Edges have ``score`` and ``reader`` (q, k, v, mlp, logits), which is also their
    key: an edge per input of a head.

    Raises:
        KcError: scores of another shape than the graph's.
    """
    import networkx as nx

    check_circuit(circuit)
    graph, values = circuit.graph, matrix_of(scores, circuit.graph)
    drawn = nx.MultiDiGraph(n_layers=graph.n_layers, n_heads=graph.n_heads)
    rows, columns = circuit.edges.nonzero()
    used = sorted({*rows.tolist(), *graph.column_row[columns].tolist()} - {-1})
    for u in used:
        drawn.add_node(graph.rows[u], kind=graph.row_kind[u], layer=int(graph.row_layer[u]))
    if (graph.column_row[columns] == -1).any():
        drawn.add_node(LOGITS, kind=LOGITS, layer=graph.n_layers)
    for u, v in zip(rows.tolist(), columns.tolist(), strict=True):
        row, kind = int(graph.column_row[v]), graph.column_kind[v]
        target = LOGITS if row == -1 else graph.rows[row]
        drawn.add_edge(graph.rows[u], target, key=kind, reader=kind, score=float(values[u, v]))
    return drawn
