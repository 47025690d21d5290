"""What a circuit looks like: entropy, overlap with another circuit, and where its edges sit.

Every number comes with its chance level, because a number alone does not say what noise would
give. "Chance" here is a set of edges drawn uniformly without replacement from the real edges of
the graph, before pruning; its counts are hypergeometric, so the levels are exact. Nodes of a
pruned random circuit are not a uniform set of nodes: draw random circuits for those.

Masks and scores are arrays [n_forward, n_backward]: rows are writers, columns are readers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy import stats as scipy_stats
from torch import Tensor

from kc_utils.analysis.stats.intervals import Interval
from kc_utils.circuits import Circuit, random_circuit
from kc_utils.circuits.graph import Graph
from kc_utils.errors import KcError

# Entropy of the shares of n independent |N(0, 1)| scores is ln(n) - HALF_NORMAL_LOSS for large n:
# E[|z| ln|z|] / E|z| - ln E|z| = (ln 2 - gamma) / 2 - ln(2 / pi) / 2.
HALF_NORMAL_LOSS = (np.log(2) - np.euler_gamma - np.log(2 / np.pi)) / 2


@dataclass(frozen=True)
class CentreOfMass:
    """Mean layer at which edges leave (``source``) and arrive (``destination``), in layers."""

    source: float
    destination: float


def entropy(
    scores: Float[Tensor, "rows columns"] | Float[np.ndarray, "rows columns"],
    real_edges: Bool[np.ndarray, "n_forward n_backward"],
) -> float:
    """Circuit entropy H = -sum p(e) ln p(e) in nats, p(e) = |score(e)| / sum |score|.

    The sum runs over the real edges. H = ln(number of edges) when all edges matter alike, 0 when
    one edge carries everything (Ou et al. 2025, knowledge circuit entropy).

    Raises:
        KcError: if shapes differ, a score is not finite, or all scores are zero.
    """
    weights = np.abs(_real_values(scores, real_edges))
    if not weights.any():
        raise KcError(
            f"All {weights.size} edge scores are zero, and entropy needs at least one that is not."
        )
    return float(scipy_stats.entropy(weights))


def normalised_entropy(
    scores: Float[Tensor, "rows columns"] | Float[np.ndarray, "rows columns"],
    real_edges: Bool[np.ndarray, "n_forward n_backward"],
) -> float:
    """Circuit entropy divided by ln(number of real edges): 0 to 1, comparable between models."""
    return entropy(scores, real_edges) / float(np.log(np.count_nonzero(real_edges)))


def noise_entropy(n_edges: int) -> float:
    """Entropy in nats that ``n_edges`` independent normal scores would have (large n limit)."""
    if n_edges < 2:
        raise KcError(f"Noise entropy of {n_edges} edges is not defined; at least 2 are needed.")
    return float(np.log(n_edges) - HALF_NORMAL_LOSS)


def jaccard(first: Bool[np.ndarray, "*shape"], second: Bool[np.ndarray, "*other"]) -> float:
    """Intersection over union of two masks of the same shape; 1 when both are empty.

    Raises:
        KcError: if the shapes differ.
    """
    if first.shape != second.shape:
        raise KcError(f"Masks of shapes {first.shape} and {second.shape} must have one shape.")
    return _ratio(int(np.count_nonzero(first & second)), int(np.count_nonzero(first | second)))


def node_jaccard(first: Iterable[str], second: Iterable[str]) -> float:
    """Intersection over union of two collections of node names; 1 when both are empty."""
    one, two = set(first), set(second)
    return _ratio(len(one & two), len(one | two))


def expected_jaccard(k1: int, k2: int, n: int) -> float:
    """Mean Jaccard similarity of two random subsets of sizes ``k1`` and ``k2`` of ``n`` items.

    Exact: the size i of the intersection is hypergeometric, and the mean of i / (k1 + k2 - i)
    is summed over its whole support.
    """
    return chance_jaccard(k1, k2, n).mean


def chance_jaccard(k1: int, k2: int, n: int, *, level: float = 0.95) -> Interval:
    """Mean and central ``level`` range of the Jaccard similarity of two random subsets.

    Raises:
        KcError: if a size is negative or above ``n``.
    """
    if not (0 <= k1 <= n and 0 <= k2 <= n):
        raise KcError(f"Subset sizes {k1} and {k2} must lie between 0 and n={n}.")
    if k1 + k2 == 0:
        return Interval(1.0, 1.0, 1.0)
    law = scipy_stats.hypergeom(n, k1, k2)
    shared = np.arange(max(0, k1 + k2 - n), min(k1, k2) + 1)
    mean = float(law.pmf(shared) @ (shared / (k1 + k2 - shared)))
    low, high = law.ppf([(1 - level) / 2, (1 + level) / 2])
    return Interval(mean, float(low / (k1 + k2 - low)), float(high / (k1 + k2 - high)))


def edge_activation_ratio(
    edges: Bool[np.ndarray, "n_forward n_backward"], graph: Graph, *, level: float = 0.95
) -> pd.DataFrame:
    """Share of the edges leaving each layer that a circuit keeps (Ou et al. 2025).

    A layer's writers are its heads and its MLP. The ``input`` node has a row of its own
    (layer -1, node "input").

    Returns:
        One row per layer: layer, node ("input" or "layer"), kept and possible (edges), ratio,
        and for a random circuit of the same number of edges expected (ratio), low and high.

    Raises:
        KcError: if the mask has another shape than the graph or keeps an impossible edge.
    """
    graph.check_edges(edges)
    layers = np.arange(-1, graph.n_layers)
    per_row = np.stack([edges.sum(axis=1), graph.real_edges.sum(axis=1)])
    kept, possible = np.stack(
        [np.bincount(graph.row_layer + 1, weights=row, minlength=len(layers)) for row in per_row]
    ).astype(int)
    law = scipy_stats.hypergeom(int(possible.sum()), int(kept.sum()), possible)
    return pd.DataFrame(
        {
            "layer": layers,
            "node": np.where(layers < 0, "input", "layer"),
            "kept": kept,
            "possible": possible,
            "ratio": kept / possible,
            "expected": kept.sum() / possible.sum(),
            "low": law.ppf((1 - level) / 2) / possible,
            "high": law.ppf((1 + level) / 2) / possible,
        }
    )


def published_activation_ratio(ratios: pd.DataFrame, *, level: float = 0.95) -> pd.DataFrame:
    """The edge activation ratio as it was published, from rows of :func:`edge_activation_ratio`.

    Layer 0 also holds the edges that leave ``input``, and the last layer is left out (Ou et al.
    2025). Columns besides those of :func:`edge_activation_ratio` tell circuits apart.

    Returns:
        These columns, layer, kept and possible (edges), ratio, and for a random circuit of the same
        size expected (ratio), low and high.
    """
    own = ["layer", "node", "kept", "possible", "ratio", "expected", "low", "high"]
    keys = [name for name in ratios.columns if name not in own]
    counts = ratios.assign(layer=ratios["layer"].clip(lower=0))
    counts = counts.groupby([*keys, "layer"], sort=False)[["kept", "possible"]].sum().reset_index()
    totals = counts.groupby(keys, sort=False) if keys else counts.groupby(lambda _: 0)
    kept, possible = (totals[name].transform("sum") for name in ("kept", "possible"))
    law = scipy_stats.hypergeom(possible, kept, counts["possible"])
    found = counts.assign(
        ratio=counts["kept"] / counts["possible"],
        expected=kept / possible,
        low=law.ppf((1 - level) / 2) / counts["possible"],
        high=law.ppf((1 + level) / 2) / counts["possible"],
    )
    return found[found["layer"] < found["layer"].max()].reset_index(drop=True)


def centre_of_mass(
    weights: Bool[np.ndarray, "n_forward n_backward"]
    | Float[np.ndarray, "n_forward n_backward"]
    | Float[Tensor, "n_forward n_backward"],
    graph: Graph,
) -> CentreOfMass:
    """Mean layer of the writers and of the readers of a circuit's edges.

    ``weights`` is a mask of kept edges or a score matrix (absolute values count). Edges from
    ``input`` say nothing about the depth of writers and are left out of ``source``; edges to
    ``logits`` are left out of ``destination``. A mean without any edge is NaN.
    """
    values = np.zeros(graph.real_edges.shape)
    values[graph.real_edges] = np.abs(_real_values(weights, graph.real_edges))
    return CentreOfMass(
        source=_mean_layer(values.sum(axis=1), graph.row_layer, graph.row_layer >= 0),
        destination=_mean_layer(
            values.sum(axis=0), graph.column_layer, graph.column_layer < graph.n_layers
        ),
    )


def chance_centre_of_mass(
    n_edges: int, graph: Graph, *, n: int = 200, seed: int, level: float = 0.95
) -> tuple[Interval, Interval]:
    """Centre of mass of ``n`` random circuits of ``n_edges`` edges: (source, destination).

    Raises:
        KcError: if ``n_edges`` is not between 1 and the number of real edges.
    """
    if not 1 <= n_edges <= graph.n_edges:
        raise KcError(f"n_edges={n_edges} must lie between 1 and the graph's {graph.n_edges}.")
    rng = np.random.default_rng([seed, 41])
    rows, columns = np.nonzero(graph.real_edges)
    drawn = np.empty((n, 2))
    for i in range(n):
        chosen = rng.choice(len(rows), size=n_edges, replace=False)
        source = graph.row_layer[rows[chosen]]
        destination = graph.column_layer[columns[chosen]]
        drawn[i] = (
            _mean_layer(np.ones(n_edges), source, source >= 0),
            _mean_layer(np.ones(n_edges), destination, destination < graph.n_layers),
        )
    return _summary(drawn[:, 0], level), _summary(drawn[:, 1], level)


def _mean_layer(weights: np.ndarray, layers: np.ndarray, use: np.ndarray) -> float:
    total = weights[use].sum()
    return float(weights[use] @ layers[use] / total) if total > 0 else float("nan")


def _summary(values: np.ndarray, level: float) -> Interval:
    values = values[np.isfinite(values)]
    if not len(values):
        return Interval(float("nan"), float("nan"), float("nan"))
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(values.mean()), float(low), float(high))


def _ratio(shared: int, union: int) -> float:
    return shared / union if union else 1.0


def _real_values(scores: np.ndarray | Tensor, real_edges: np.ndarray) -> np.ndarray:
    array = scores.detach().cpu().double().numpy() if isinstance(scores, Tensor) else scores
    if array.shape != real_edges.shape:
        raise KcError(f"Scores of shape {array.shape} must have the graph's {real_edges.shape}.")
    values = np.asarray(array, dtype=np.float64)[real_edges]
    if not np.isfinite(values).all():
        raise KcError(f"{int((~np.isfinite(values)).sum())} edge scores are not finite numbers.")
    return values


def shape(scores, circuit: Circuit, last: Circuit, before: Circuit | None, seed: int) -> dict:
    """Entropy of a score matrix, size of its circuit, overlap with the last and the previous.

    ``entropy`` is over all edges; ``entropy_kept`` over the circuit's, which is what the published
    code computes (so it is at most ln(n_edges)). Each also comes divided by its maximum. A circuit
    of fewer than two edges has no entropy of its own (NaN).
    """
    some = circuit.n_edges > 1
    kept = entropy(scores, circuit.edges) if some else float("nan")
    graph = circuit.graph
    control = random_circuit(graph, circuit.n_edges, seed)
    other = random_circuit(graph, last.n_edges, seed + 1)
    return {
        "entropy": entropy(scores, graph.real_edges),
        "normalised_entropy": normalised_entropy(scores, graph.real_edges),
        "entropy_kept": kept,
        "normalised_entropy_kept": kept / np.log(circuit.n_edges) if some else float("nan"),
        "noise_entropy": noise_entropy(graph.n_edges),
        "n_edges": circuit.n_edges,
        "n_nodes": len(circuit.nodes),
        "edge_jaccard": jaccard(circuit.edges, last.edges),
        "node_jaccard": node_jaccard(circuit.nodes, last.nodes),
        "edge_jaccard_previous": jaccard(circuit.edges, before.edges) if before else float("nan"),
        "node_jaccard_previous": node_jaccard(circuit.nodes, before.nodes)
        if before
        else float("nan"),
        "random_edge_jaccard": expected_jaccard(circuit.n_edges, last.n_edges, graph.n_edges),
        "random_node_jaccard": node_jaccard(control.nodes, other.nodes),
    }
