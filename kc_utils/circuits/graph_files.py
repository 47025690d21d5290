"""Circuits and scores in the files of the published library, and as graphs for other programs.

The EAP-IG library (Hanna et al., arXiv 2403.17806) writes a graph as ``.json`` (one entry per node
and per edge) or as ``.pt`` (score and membership matrices). Its rows, columns and names are those
of :class:`Graph`, so both are read and written here without a copy of the model. The circuit track
of the Mechanistic Interpretability Benchmark (MIB, arXiv 2504.13151) takes the same files as
``<method>_<ablation>_<level>/<task>_<model>/importances.json``.

A ``.pt`` file is opened with ``weights_only=True``: it holds tensors and plain values, never code.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from kc_utils import artifacts
from kc_utils.circuits.circuit import Circuit
from kc_utils.circuits.graph import Graph
from kc_utils.errors import KcError, shown

if TYPE_CHECKING:
    import networkx as nx

SUFFIXES = (".json", ".pt")
LOGITS = "logits"  # the one node that writes nothing
#: Tasks of MIB's circuit track.
MIB_TASKS = ("ioi", "mcqa", "arithmetic-addition", "arithmetic-subtraction", "arc-easy",
             "arc-challenge")  # fmt: skip


@dataclass(frozen=True, eq=False)
class GraphFile:
    """What a file of the published library holds.

    Args:
        scores: in float64; higher means that the edge helps, 0 where there is no edge.
        circuit: the edges marked as in the graph, none in a file of importances only.
        d_model: width of the model, which the published library stores with the graph.
    """

    scores: Float[Tensor, "n_forward n_backward"]
    circuit: Circuit
    d_model: int

    @property
    def graph(self) -> Graph:
        """Writers and readers of scores and circuit."""
        return self.circuit.graph


def write_graph(path: str | Path, file: GraphFile) -> None:
    """Write ``file`` as the published library does, as JSON or as ``.pt`` by the name of ``path``.

    Raises:
        KcError: the name ends otherwise, or the scores are not finite numbers of this graph.
    """
    path = _checked(path)
    graph, scores = file.graph, file.scores.detach().cpu()
    if scores.shape != graph.real_edges.shape:
        raise KcError(
            f"The scores have shape {tuple(scores.shape)}; the graph needs "
            f"{graph.real_edges.shape}."
        )
    if not torch.isfinite(scores).all():
        raise KcError(f"{int((~torch.isfinite(scores)).sum())} edge scores are not finite numbers.")
    cfg = {"n_layers": graph.n_layers, "n_heads": graph.n_heads,
           "parallel_attn_mlp": graph.parallel, "d_model": file.d_model}  # fmt: skip
    if path.suffix == ".pt":
        content = {
            "cfg": cfg,
            "src_nodes": [*graph.rows],
            "dst_nodes": [*graph.columns],
            "edges_scores": scores,
            "edges_in_graph": torch.from_numpy(file.circuit.edges.copy()),
            "nodes_in_graph": torch.from_numpy(file.circuit.node_mask.copy()),
        }
        artifacts.write_atomically(path, lambda p: torch.save(content, p))
    else:
        artifacts.write_atomically(
            path, lambda p: p.write_text(json.dumps(_as_json(file, cfg)), encoding="utf-8")
        )


def read_graph(path: str | Path) -> GraphFile:
    """Read a graph that the published library, or :func:`write_graph`, wrote.

    Raises:
        KcError: the file is missing, damaged, holds something else, or a graph whose names, shape
            or scores are not those of a decoder-only transformer.
    """
    path = _checked(path)
    if not path.is_file():
        raise KcError(f"{path} is missing.")
    content = _load_pt(path) if path.suffix == ".pt" else _load_json(path)
    try:
        return _from_pt(content) if path.suffix == ".pt" else _from_json(content)
    except KcError as error:
        raise KcError(f"{path} holds no graph of the published library: {error}") from None


def submission_path(folder: str | Path, method: str, task: str, model: str,
                    ablation: str = "patching", level: str = "edge") -> Path:  # fmt: skip
    """Where the circuit track of MIB looks for the importances of one task and model.

    Args:
        folder: of the submissions.
        method: names the submission, together with ``ablation`` and ``level``.
        task: one of :data:`MIB_TASKS`.
        model: MIB's short name, for example ``gpt2`` or ``qwen2.5``.

    Raises:
        KcError: MIB has no such task, or a name cannot be part of a path.
    """
    if task not in MIB_TASKS:
        raise KcError(f"MIB has no task {shown(task)}; allowed are {', '.join(MIB_TASKS)}.")
    for name in (method, model, ablation, level):
        if not name or set(name) & set("/\\\0") or name.startswith("."):
            raise KcError(f"{shown(name)} cannot be part of a file name.")
    return Path(folder) / f"{method}_{ablation}_{level}" / f"{task}_{model}" / "importances.json"


def network(circuit: Circuit, scores: Float[Tensor, "n_forward n_backward"]) -> nx.MultiDiGraph:
    """The circuit for NetworkX, for example for ``networkx.write_graphml``.

    Nodes have ``kind`` (input, head, mlp, logits) and ``layer`` (-1 for ``input``, n_layers for
    ``logits``). Edges have ``score`` and ``reader`` (q, k, v, mlp, logits), which is also their
    key: an edge per input of a head.
    """
    import networkx as nx

    graph = circuit.graph
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
        drawn.add_edge(graph.rows[u], target, key=kind, reader=kind, score=float(scores[u, v]))
    return drawn


def _checked(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise KcError(f"A graph file ends in {' or '.join(SUFFIXES)}, not {shown(path.name)}.")
    return path


def _as_json(file: GraphFile, cfg: Mapping[str, Any]) -> dict[str, Any]:
    graph = file.graph
    inside = file.circuit.node_mask.tolist()
    nodes = {name: {"in_graph": used} for name, used in zip(graph.rows, inside, strict=True)}
    real = graph.real_edges
    rows = zip(
        graph.edge_names(real),
        file.scores.detach().cpu().double().numpy()[real].tolist(),
        file.circuit.edges[real].tolist(),
        strict=True,
    )
    edges = {name: {"score": score, "in_graph": kept} for name, score, kept in rows}
    return {"cfg": dict(cfg), "nodes": nodes | {LOGITS: {"in_graph": True}}, "edges": edges}


def _load_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise KcError(f"{path} is damaged: {str(error).rstrip('.')}.") from None
    return _mapping(content, str(path))


def _load_pt(path: Path) -> dict[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        # what follows the first sentence advises, in colours, to load the file without this check
        reason = (str(error).splitlines() or ["it cannot be read"])[0].split(". ")[0].rstrip(".")
        raise KcError(f"{path} is damaged, or holds more than tensors: {reason}.") from None
    return _mapping(content, str(path))


def _mapping(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise KcError(f"{name} is {type(value).__name__}, not a mapping.")
    return value


def _from_json(content: dict[str, Any]) -> GraphFile:
    nodes = _mapping(content.get("nodes"), "'nodes'")
    edges = _mapping(content.get("edges"), "'edges'")
    graph, d_model = _graph(content, len(nodes) - 1)
    index = {name: i for i, name in enumerate(graph.edge_names(graph.real_edges))}
    if unknown := [name for name in edges if name not in index]:
        raise KcError(f"{shown(unknown[0])} is not one of its {len(index)} edges.")
    values, kept = np.zeros(len(index)), np.zeros(len(index), dtype=bool)
    for name, entry in edges.items():
        entry = _mapping(entry, f"edge {shown(name)}")
        values[index[name]] = _number(entry.get("score"), name)
        kept[index[name]] = _truth(entry.get("in_graph"), name)
    scores = np.zeros(graph.real_edges.shape)
    scores[graph.real_edges] = values
    inside = np.zeros(graph.real_edges.shape, dtype=bool)
    inside[graph.real_edges] = kept
    return GraphFile(torch.from_numpy(scores), Circuit(graph, inside, int(kept.sum())), d_model)


def _from_pt(content: dict[str, Any]) -> GraphFile:
    sources = content.get("src_nodes")
    if not isinstance(sources, list):
        raise KcError("'src_nodes' is not a list of names.")
    graph, d_model = _graph(content, len(sources))
    if tuple(sources) != graph.rows or tuple(content.get("dst_nodes") or ()) != graph.columns:
        raise KcError("its nodes have other names, or stand in another order.")
    found = []
    for key in ("edges_scores", "edges_in_graph"):
        tensor = content.get(key)
        if not isinstance(tensor, Tensor) or tensor.shape != graph.real_edges.shape:
            raise KcError(f"{key!r} is not a matrix of shape {graph.real_edges.shape}.")
        found.append(tensor)
    scores, edges = found[0].double(), found[1].bool().numpy() & graph.real_edges
    real = torch.from_numpy(graph.real_edges.copy())
    if not torch.isfinite(scores[real]).all():
        raise KcError("some of its scores are not finite numbers.")
    return GraphFile(scores.where(real, 0.0), Circuit(graph, edges, int(edges.sum())), d_model)


def _graph(content: dict[str, Any], n_writers: int) -> tuple[Graph, int]:
    """The graph that ``cfg`` names, if it is as large as the list of its nodes says."""
    cfg = _mapping(content.get("cfg"), "'cfg'")
    sizes = [cfg.get(key) for key in ("n_layers", "n_heads", "d_model")]
    if not all(isinstance(s, int) and not isinstance(s, bool) and s > 0 for s in sizes):
        raise KcError("'cfg' does not give n_layers, n_heads and d_model as positive numbers.")
    layers, heads, width = sizes
    if 1 + layers * (heads + 1) != n_writers:  # before anything of that size is laid out
        raise KcError(f"{layers} layers of {heads} heads do not have {shown(n_writers)} nodes.")
    parallel = _truth(cfg.get("parallel_attn_mlp", False), "parallel_attn_mlp")
    return Graph(layers, heads, parallel), width


def _number(value: Any, name: str) -> float:
    real = isinstance(value, int | float) and not isinstance(value, bool)
    if not real or not np.isfinite(value):
        raise KcError(f"the score of {shown(name)} is {shown(value)}, not a finite number.")
    return float(value)


def _truth(value: Any, name: str) -> bool:
    if value not in (True, False):
        raise KcError(f"{shown(name)} is {shown(value)}, not true or false.")
    return bool(value)
