"""What a graph file of the published library holds, and how it spells that as JSON and ``.pt``.

The keys are those of ``Graph.to_json`` and ``Graph.to_pt`` of the EAP-IG library (Hanna et al.,
arXiv 2403.17806); rows, columns and names are those of :class:`kc_utils.circuits.graph.Graph`. What
is read is in :mod:`kc_utils.circuits.graph_parsing`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from kc_utils.circuits.arguments import whole
from kc_utils.circuits.circuit import Circuit, as_array, check_circuit
from kc_utils.circuits.graph import LOGITS, Graph
from kc_utils.errors import KcError


@dataclass(frozen=True, eq=False)
class GraphFile:
    """What a file of the published library holds.

    Args:
        scores: of edges, in float64; higher means that the edge helps, 0 where there is no edge and
            in a file of nodes or neurons.
        circuit: the edges marked as in the graph, none in a file of importances only. Where a file
            marks nodes and has no edges, those between the marked nodes.
        d_model: width of the model, which the published library stores with the graph; 0 where a
            file of an early version does not give it.
        node_scores: as :func:`kc_utils.circuits.neurons.attribute_nodes` gives them; None in a file
            without. A node with the score nan was not scored; that library keeps it in every
            circuit.
        neuron_scores: the same of neurons.
        neurons: those marked as in the graph; None stands for none, and is written as that beside
            ``neuron_scores``.
    """

    scores: Float[Tensor, "n_forward n_backward"]
    circuit: Circuit
    d_model: int
    node_scores: Float[Tensor, " n_forward"] | None = None
    neuron_scores: Float[Tensor, "n_forward d_model"] | None = None
    neurons: Bool[np.ndarray, "n_forward d_model"] | None = None

    @property
    def graph(self) -> Graph:
        """Writers and readers of scores and circuit."""
        return self.circuit.graph


def check_content(file: GraphFile) -> None:
    """KcError for scores or marks of another shape than the graph's, or that are no numbers, and
    for a width that is none."""
    if not isinstance(file, GraphFile):
        kind = type(file).__name__
        raise KcError(f"{kind} is no GraphFile; GraphFile(scores, circuit, d_model) makes one.")
    check_circuit(file.circuit)
    graph = file.graph
    whole(file.d_model, "d_model", 1)
    neurons = (graph.n_forward, file.d_model)
    for what, scores, shape in (
        ("", file.scores, graph.real_edges.shape),
        (" of nodes", file.node_scores, (graph.n_forward,)),
        (" of neurons", file.neuron_scores, neurons),
    ):
        if scores is None:
            continue
        if not isinstance(scores, Tensor):
            raise KcError(f"The scores{what} are a {type(scores).__name__}, not a tensor.")
        if scores.shape != shape:
            raise KcError(
                f"The scores{what} have shape {tuple(scores.shape)}; the graph needs {shape}."
            )
        bad = torch.isinf(scores) if what else ~torch.isfinite(scores)
        if bad.any():
            raise KcError(f"{int(bad.sum())} {what[4:-1] or 'edge'} scores are not finite numbers.")
    outside = file.scores.detach().cpu() * torch.from_numpy(~graph.real_edges)
    if stray := int(torch.count_nonzero(outside)):
        raise KcError(f"{stray} scores are not 0 where the graph has no edge.")
    if file.neurons is not None and (
        file.neurons.shape != neurons or file.neurons.dtype != np.dtype(bool)
    ):
        raise KcError(
            f"The marked neurons are {file.neurons.dtype} of shape {file.neurons.shape}; the graph "
            f"needs bool of shape {neurons}."
        )


def as_pt(file: GraphFile) -> dict[str, Any]:
    """The content of a ``.pt`` file."""
    content = {
        "cfg": _cfg(file),
        "src_nodes": [*file.graph.rows],
        "dst_nodes": [*file.graph.columns],
        "edges_scores": file.scores.detach().cpu(),
        "edges_in_graph": torch.from_numpy(file.circuit.edges.copy()),
        "nodes_in_graph": torch.from_numpy(file.circuit.node_mask.copy()),
    }
    if file.node_scores is not None:
        content["nodes_scores"] = file.node_scores.detach().cpu()
    if (marks := _marks(file)) is not None:
        content["neurons_in_graph"] = torch.from_numpy(marks.copy())
    if file.neuron_scores is not None:
        content["neurons_scores"] = file.neuron_scores.detach().cpu()
    return content


def as_json(file: GraphFile) -> dict[str, Any]:
    """The content of a JSON file."""
    graph, real = file.graph, file.graph.real_edges
    inside = file.circuit.node_mask.tolist()
    nodes: dict[str, dict[str, Any]] = {
        name: {"in_graph": used} for name, used in zip(graph.rows, inside, strict=True)
    }
    if file.node_scores is not None:
        for entry, score in zip(nodes.values(), as_array(file.node_scores).tolist(), strict=True):
            entry["score"] = score
    scores = None if file.neuron_scores is None else as_array(file.neuron_scores)
    for key, values in (("neurons", _marks(file)), ("neurons_scores", scores)):
        if values is not None:
            for row, entry in enumerate(nodes.values()):
                entry[key] = values[heads_beside(graph, row)].tolist()
    rows = zip(
        graph.edge_names(real),
        as_array(file.scores)[real].tolist(),
        file.circuit.edges[real].tolist(),
        strict=True,
    )
    edges = {name: {"score": score, "in_graph": kept} for name, score, kept in rows}
    return {"cfg": _cfg(file), "nodes": nodes | {LOGITS: {"in_graph": True}}, "edges": edges}


def heads_beside(graph: Graph, row: int) -> int | slice:
    """The rows that JSON gives with the neurons of one writer.

    The library writes and reads the neurons of all heads of a layer with each of them.
    """
    head = graph.row_kind[row] == "head"
    return graph.heads(int(graph.row_layer[row])) if head else row


def _cfg(file: GraphFile) -> dict[str, Any]:
    graph = file.graph
    return {"n_layers": graph.n_layers, "n_heads": graph.n_heads,
            "parallel_attn_mlp": graph.parallel, "d_model": int(file.d_model)}  # fmt: skip


def _marks(file: GraphFile) -> Bool[np.ndarray, "n_forward d_model"] | None:
    """The marked neurons: none of them, if there are scores, which the library marks them by."""
    if file.neurons is None and file.neuron_scores is not None:
        return np.zeros(file.neuron_scores.shape, dtype=bool)
    return file.neurons
