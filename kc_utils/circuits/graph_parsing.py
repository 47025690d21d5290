"""Reading the JSON and ``.pt`` of the published library, with every key checked.

Importances without marks, and marks without importances, are taken too: the circuit track of the
Mechanistic Interpretability Benchmark (MIB, arXiv 2504.13151) allows either, of edges or of nodes.
Early versions of the library, such as the copy in the repository of the paper that this project
rebuilds (arXiv 2502.11196), mark nodes by true or false alone and do not store the model's width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from kc_utils.circuits.circuit import Circuit, circuit_of_nodes
from kc_utils.circuits.graph import LOGITS, Graph
from kc_utils.circuits.graph_content import GraphFile, heads_beside
from kc_utils.errors import KcError, shown


def mapping(value: Any, name: str) -> dict[str, Any]:
    """``value``; KcError, which calls it ``name``, unless it is a mapping."""
    if not isinstance(value, dict):
        raise KcError(f"{name} is {type(value).__name__}, not a mapping.")
    return value


def from_json(content: Mapping[str, Any]) -> GraphFile:
    """The graph of a JSON file; KcError says what is wrong with it."""
    nodes = mapping(content.get("nodes"), "'nodes'")
    early = bool(nodes) and all(isinstance(entry, bool) for entry in nodes.values())
    if early:
        nodes = {name: {"in_graph": mark} for name, mark in nodes.items()}
    nodes = {name: mapping(x, f"node {shown(name)}") for name, x in nodes.items() if name != LOGITS}
    graph, width = _graph(content, len(nodes), early)
    if unknown := nodes.keys() - set(graph.rows):
        raise KcError(f"{shown(min(unknown))} is not one of its {graph.n_forward} nodes.")
    entries = [nodes[name] for name in graph.rows]
    node_scores = None
    if any("score" in entry for entry in entries):
        found = [_json_score(e.get("score"), n) for n, e in zip(graph.rows, entries, strict=True)]
        node_scores = torch.tensor(found, dtype=torch.float64)
    neuron_scores = _json_neurons(graph, entries, "neurons_scores", width)
    neurons = _json_neurons(graph, entries, "neurons", width)
    if "edges" in content:
        scores, kept = _json_edges(graph, mapping(content["edges"], "'edges'"))
        circuit = Circuit(graph, kept, int(kept.sum()))
    else:
        marks = [
            _truth(e.get("in_graph", False), n) for n, e in zip(graph.rows, entries, strict=True)
        ]
        scores, circuit = np.zeros(graph.real_edges.shape), circuit_of_nodes(graph, np.array(marks))
        if not any(marks) and node_scores is None and neuron_scores is None:
            raise KcError("'edges' is missing, and no node is marked or has a score.")
    return GraphFile(
        torch.from_numpy(scores), circuit, width, node_scores,
        None if neuron_scores is None else torch.from_numpy(neuron_scores),
        None if neurons is None else neurons == 1,
    )  # fmt: skip


def from_pt(content: Mapping[str, Any]) -> GraphFile:
    """The graph of a ``.pt`` file; KcError says what is wrong with it."""
    sources = content.get("src_nodes")
    early = isinstance(sources, dict)  # names with their marks
    if not isinstance(sources, list | dict):
        raise KcError("'src_nodes' is not a list of names.")
    graph, width = _graph(content, len(sources), early)
    if tuple(sources) != graph.rows or tuple(content.get("dst_nodes") or ()) != graph.columns:
        raise KcError("its nodes have other names, or stand in another order.")
    nodes, neurons = (graph.n_forward,), (graph.n_forward, width)
    scores = _tensor(content, "edges" if early else "edges_scores", graph.real_edges.shape)
    marked = _tensor(content, "edges_in_graph", graph.real_edges.shape)
    marked_nodes = _tensor(content, "nodes_in_graph", nodes)
    node_scores = _tensor(content, "nodes_scores", nodes)
    neuron_scores = _tensor(content, "neurons_scores", neurons)
    marked_neurons = _tensor(content, "neurons_in_graph", neurons)
    if all(x is None for x in (scores, marked, marked_nodes, node_scores, neuron_scores)):
        raise KcError("it has neither scores nor marks of edges or nodes.")
    real = torch.from_numpy(graph.real_edges.copy())
    scores = torch.zeros(real.shape).double() if scores is None else scores.double()
    if not torch.isfinite(scores[real]).all():
        raise KcError("some of its scores are not finite numbers.")
    if marked is None and scores.any():
        marked = torch.zeros_like(real)
    if marked is None:
        kept = torch.zeros(nodes) if marked_nodes is None else marked_nodes
        circuit = circuit_of_nodes(graph, kept.bool().numpy())
    else:  # the library may mark edges that do not exist
        edges = marked.bool().numpy() & graph.real_edges
        circuit = Circuit(graph, edges, int(edges.sum()))
    return GraphFile(
        scores.where(real, 0.0), circuit, width, _scored(node_scores), _scored(neuron_scores),
        None if marked_neurons is None else marked_neurons.bool().numpy(),
    )  # fmt: skip


def _graph(content: Mapping[str, Any], n_writers: int, early: bool) -> tuple[Graph, int]:
    """The graph that ``cfg`` names, if it is as large as the list of its nodes says; its width, or
    0 where an early file does not give it."""
    cfg = mapping(content.get("cfg"), "'cfg'")
    has_width = not early or "d_model" in cfg
    keys = ("n_layers", "n_heads", "d_model") if has_width else ("n_layers", "n_heads")
    sizes = [cfg.get(key) for key in keys]
    if not all(isinstance(s, int) and not isinstance(s, bool) and s > 0 for s in sizes):
        raise KcError("'cfg' does not give n_layers, n_heads and d_model as positive numbers.")
    layers, heads = sizes[:2]
    width = sizes[2] if has_width else 0
    if 1 + layers * (heads + 1) != n_writers:  # before anything of that size is laid out
        raise KcError(f"{layers} layers of {heads} heads do not have {shown(n_writers)} nodes.")
    parallel = _truth(cfg.get("parallel_attn_mlp", False), "parallel_attn_mlp")
    return Graph(layers, heads, parallel), width


def _json_edges(
    graph: Graph, edges: Mapping[str, Any]
) -> tuple[Float[np.ndarray, "n_forward n_backward"], Bool[np.ndarray, "n_forward n_backward"]]:
    """Scores and marks; what no edge has is 0 or unmarked, and what one has, all need."""
    index = {name: i for i, name in enumerate(graph.edge_names(graph.real_edges))}
    if unknown := [name for name in edges if name not in index]:
        raise KcError(f"{shown(unknown[0])} is not one of its {len(index)} edges.")
    entries = {name: mapping(x, f"edge {shown(name)}") for name, x in edges.items()}
    has_scores, has_marks = (
        any(entry.get(key) is not None for entry in entries.values())
        for key in ("score", "in_graph")
    )
    values, kept = np.zeros(len(index)), np.zeros(len(index), dtype=bool)
    for name, entry in entries.items():
        if has_scores:
            values[index[name]] = _number(entry.get("score"), name)
        if has_marks:
            kept[index[name]] = _truth(entry.get("in_graph"), name)
    scores, inside = np.zeros(graph.real_edges.shape), np.zeros(graph.real_edges.shape, dtype=bool)
    scores[graph.real_edges], inside[graph.real_edges] = values, kept
    return scores, inside


def _json_neurons(
    graph: Graph, entries: Sequence[Mapping[str, Any]], key: str, width: int
) -> Float[np.ndarray, "n_forward d_model"] | None:
    """A number per neuron, of the nodes that have them: scores, else nan, or marks, else 0."""
    marks = key == "neurons"
    rows: list[np.ndarray | None] = []
    for row, (name, entry) in enumerate(zip(graph.rows, entries, strict=True)):
        rows.append(_json_row(graph, row, name, key, entry[key], width) if key in entry else None)
    if all(values is None for values in rows):
        return None
    missing = np.full(width, 0.0 if marks else np.nan)
    return np.stack([missing if values is None else values for values in rows])


def _json_row(
    graph: Graph, row: int, name: str, key: str, value: Any, width: int
) -> Float[np.ndarray, " d_model"]:
    """The neurons of one node, which may stand among those of all heads of its layer."""
    marks = key == "neurons"
    try:
        found = np.array(value)
        numbers = found.astype(np.float64)  # None, which others write for nan, becomes nan
    except (ValueError, TypeError, OverflowError):
        raise KcError(f"{key!r} of {name} is not a list of {width} {_things(marks)}.") from None
    beside = heads_beside(graph, row)
    if isinstance(beside, slice) and numbers.shape == (graph.n_heads, width):
        numbers = numbers[row - beside.start]
    allowed = np.isin(numbers, (0, 1)) if marks else ~np.isinf(numbers)
    kinds = "biuf" if marks else "iufO"
    if numbers.shape != (width,) or found.dtype.kind not in kinds or not allowed.all():
        raise KcError(f"{key!r} of {name} is not a list of {width} {_things(marks)}.")
    return numbers


def _things(marks: bool) -> str:
    return "truths" if marks else "numbers"


def _tensor(content: Mapping[str, Any], key: str, shape: tuple[int, ...]) -> Tensor | None:
    if key not in content:
        return None
    tensor = content[key]
    if not isinstance(tensor, Tensor) or tensor.shape != shape:
        kind = "matrix" if len(shape) == 2 else "vector"
        raise KcError(f"{key!r} is not a {kind} of shape {shape}.")
    return tensor


def _scored(scores: Tensor | None) -> Float[Tensor, "*shape"] | None:
    """Scores of nodes or neurons, nan where there are none."""
    if scores is not None and torch.isinf(scores).any():
        raise KcError("some of its scores are infinite.")
    return None if scores is None else scores.double()


def _json_score(value: Any, name: str) -> float:
    """The score of a node; nan, or null as others write it, is one that was not scored."""
    unscored = value is None or (isinstance(value, float) and np.isnan(value))
    return float("nan") if unscored else _number(value, name)


def _number(value: Any, name: str) -> float:
    real = isinstance(value, int | float) and not isinstance(value, bool)
    if not real or not np.isfinite(value):
        raise KcError(f"the score of {shown(name)} is {shown(value)}, not a finite number.")
    return float(value)


def _truth(value: Any, name: str) -> bool:
    if value not in (True, False):
        raise KcError(f"{shown(name)} is {shown(value)}, not true or false.")
    return bool(value)
