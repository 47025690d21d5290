"""Which kind of missing edge costs how much: faithfulness per class of reader.

An edge belongs to the class of its reader: ``qk`` (where a head looks), ``v`` (what it fetches),
``mlp``, ``logits``; ``all`` is every edge. Two views of the edges that the circuit leaves out:

- ``cut``: the whole model without the class's edges outside the circuit. 1 - faithfulness is what
  these missing edges cost when everything else is there.
- ``restored``: the circuit with all edges of the class. Faithfulness minus the circuit's own is
  what these edges give back when everything else stays missing.

The views of ``all`` are the circuit (cut) and the model (restored). Costs of the classes need not
add up to that of all, because edges of different classes lie on the same paths.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Bool

from kc_utils.circuits.circuit import Circuit, check_circuit
from kc_utils.circuits.evaluation import BatchEvaluation
from kc_utils.circuits.graph import Graph
from kc_utils.errors import KcError

_KINDS = {"qk": ("q", "k"), "v": ("v",), "mlp": ("mlp",), "logits": ("logits",)}
#: Names of the classes of readers.
READER_CLASSES = (*_KINDS, "all")
VIEWS = ("cut", "restored")


def class_edges(graph: Graph, reader_class: str) -> Bool[np.ndarray, "n_forward n_backward"]:
    """The possible edges into readers of a class, one of :data:`READER_CLASSES`.

    Raises:
        KcError: another name.
    """
    if reader_class not in READER_CLASSES:
        allowed = ", ".join(READER_CLASSES)
        raise KcError(f"{reader_class!r} is not a class of readers; allowed are {allowed}.")
    kinds = _KINDS.get(reader_class, graph.column_kind)
    return graph.real_edges & np.isin(graph.column_kind, kinds)[None, :]


def view_edges(
    circuit: Circuit, reader_class: str, view: str
) -> Bool[np.ndarray, "n_forward n_backward"]:
    """The edges kept in a view, ``cut`` or ``restored``, not pruned.

    With corrupted values pruning would change nothing: a node that reads nothing writes what it
    writes in the corrupted run, which is also what replaces it.

    Raises:
        KcError: a class or view of another name.
    """
    edges = class_edges(circuit.graph, reader_class)
    if view == "cut":
        return circuit.graph.real_edges & ~(edges & ~circuit.edges)
    if view == "restored":
        return circuit.edges | edges
    raise KcError(f"{view!r} is not a view; allowed are {', '.join(VIEWS)}.")


def recovery(
    evaluation: BatchEvaluation, circuit: Circuit, ablation: str = "corrupted"
) -> pd.DataFrame:
    """Run both views of every class on one batch, a row per pair.

    Columns: reader_class, view, n_edges_in_class (possible), n_kept (of these, in the circuit),
    and those of :meth:`BatchEvaluation.table`, whose n_edges counts the edges of the view.

    Args:
        evaluation: of the pairs.
        circuit: whose missing edges are asked about.
        ablation: what they carry, one of :data:`kc_utils.circuits.ablation.ABLATIONS`.

    Raises:
        KcError: as :func:`kc_utils.circuits.evaluation.evaluate_circuit`.
    """
    check_circuit(circuit)
    evaluation.edges_of(circuit)  # of this model's graph, or refused
    tables = []
    for reader_class in READER_CLASSES:
        edges = class_edges(circuit.graph, reader_class)
        counts = {
            "n_edges_in_class": int(edges.sum()),
            "n_kept": int((edges & circuit.edges).sum()),
        }
        for view in VIEWS:
            table = evaluation.table(view_edges(circuit, reader_class, view), ablation)
            tables.append(table.assign(reader_class=reader_class, view=view, **counts))
    return pd.concat(tables, ignore_index=True)
