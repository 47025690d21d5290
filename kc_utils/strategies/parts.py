"""Which parts of a model does its circuit use most?

A part is an attention head or an MLP, one row of the graph. The masks are boolean [n_forward]; the
row of ``input`` is never among the parts.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from kc_utils.graph import Graph

KINDS = ("head", "mlp")


def part_importance(
    scores: Float[Tensor, "n_forward n_backward"], graph: Graph
) -> Float[np.ndarray, " n_forward"]:
    """Sum of |score| over all edges that leave or enter each writer's node."""
    strength = np.where(graph.real_edges, np.abs(scores.double().numpy()), 0.0)
    importance = strength.sum(axis=1)
    entering = graph.column_row >= 0
    np.add.at(importance, graph.column_row[entering], strength.sum(axis=0)[entering])
    return importance


def circuit_parts(
    importance: Float[np.ndarray, " n_forward"], graph: Graph, share: float
) -> Bool[np.ndarray, " n_forward"]:
    """The most important ``share`` of the heads, and of the MLPs, at least one of each.

    Heads and MLPs are ranked apart: an MLP has many times the parameters of a head, and only equal
    numbers of both make another choice of parts comparable.
    """
    chosen = np.zeros(graph.n_forward, dtype=bool)
    for kind in KINDS:
        rows = _rows(graph, kind)
        order = rows[np.argsort(-importance[rows], kind="stable")]
        chosen[order[: max(1, round(share * len(rows)))]] = True
    return chosen


def random_parts(
    chosen: Bool[np.ndarray, " n_forward"], graph: Graph, rng: np.random.Generator
) -> Bool[np.ndarray, " n_forward"]:
    """As many heads and as many MLPs as ``chosen`` has, drawn at random."""
    drawn = np.zeros(graph.n_forward, dtype=bool)
    for kind in KINDS:
        rows = _rows(graph, kind)
        drawn[rng.permutation(rows)[: int(chosen[rows].sum())]] = True
    return drawn


def _rows(graph: Graph, kind: str) -> np.ndarray:
    return np.flatnonzero(np.array(graph.row_kind) == kind)
