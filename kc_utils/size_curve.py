"""Faithfulness over circuit size, f(k), and the two areas that sum it up.

Shares, counting and areas are those of MIB (arXiv 2504.13151, section 3): the share k keeps
int(k * number of edges) edges before pruning, the trapezoid rule is applied over k itself (not over
its logarithm), CPR is the area under f, and CMD the area between f and 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor

from kc_utils.batch_evaluation import BatchEvaluation
from kc_utils.circuit import Circuit, random_circuit, top_sizes, weighted_edges
from kc_utils.errors import KcError
from kc_utils.evaluation import ABLATIONS
from kc_utils.graph import Graph
from kc_utils.random_per_layer import random_circuit_per_layer

SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
#: Own circuits, random ones of the same size, and random ones of the same size in every layer.
CIRCUITS = ("own", "random", "random_per_layer")


class Areas(NamedTuple):
    """CPR, the area under f (higher is better), and CMD, that of |1 - f| (lower is better)."""

    cpr: float
    cmd: float


def sizes_of(graph: Graph, shares: Sequence[float] = SHARES) -> list[int]:
    """Number of edges that each share keeps before pruning, rounded down as MIB does.

    KcError for a share outside of 0..1.
    """
    for share in shares:
        _check_share(share)
    return [int(share * graph.n_edges) for share in shares]


def curve_circuits(
    scores: Float[Tensor, "n_forward n_backward"] | Float[np.ndarray, "n_forward n_backward"],
    graph: Graph,
    seed: int,
    shares: Sequence[float] = SHARES,
) -> dict[tuple[float, str], Circuit]:
    """The circuits of a size curve, by share and name (``CIRCUITS``).

    Random circuits follow the own circuit's size after pruning, and share one seed, so that a
    larger one mostly holds the smaller.
    """
    found = {}
    for share, own in zip(shares, top_sizes(scores, graph, sizes_of(graph, shares)), strict=True):
        found[share, "own"] = own
        found[share, "random"] = random_circuit(graph, own.n_edges, seed)
        found[share, "random_per_layer"] = random_circuit_per_layer(own, seed)
    return found


def size_curve(
    evaluation: BatchEvaluation,
    circuits: dict[tuple[float, str], Circuit],
    ablations: Sequence[str] = ABLATIONS,
) -> pd.DataFrame:
    """Evaluate the circuits of a size curve on one batch, a row per pair.

    Columns: share, circuit, weighted_edges (after pruning), and those of
    ``BatchEvaluation.table``. f of a share is a ratio of means over its rows.
    """
    tables = [
        evaluation.tables(circuit, ablations).assign(
            share=share, circuit=name, weighted_edges=weighted_edges(circuit)
        )
        for (share, name), circuit in circuits.items()
    ]
    return pd.concat(tables, ignore_index=True)


def areas(
    shares: Sequence[float] | np.ndarray | pd.Series, f: Sequence[float] | np.ndarray | pd.Series
) -> Areas:
    """CPR and CMD of a curve by the trapezoid rule over shares, in any order.

    Shares from the smallest to the largest one given: over ``SHARES``, f = 1 everywhere gives a
    CPR of 0.999. A value of f that is nan (undefined) makes both areas nan.

    KcError for fewer than two shares, a repeated one, or one outside of 0..1.
    """
    k, values = np.asarray(shares, dtype=float), np.asarray(f, dtype=float)
    if k.ndim != 1 or k.shape != values.shape or len(k) < 2:
        raise KcError(
            f"Areas need one value for each of at least two shares; there are shares of shape "
            f"{k.shape} and values of shape {values.shape}."
        )
    for share in k:
        _check_share(share)
    order = np.argsort(k)
    k, values = k[order], values[order]
    if (np.diff(k) == 0).any():
        raise KcError(f"The share {k[1:][np.diff(k) == 0][0]:g} is given more than once.")
    return Areas(float(np.trapezoid(values, k)), float(np.trapezoid(np.abs(1 - values), k)))


def _check_share(share: float) -> None:
    if not 0 <= share <= 1:
        raise KcError(f"{share} is not a share of edges between 0 and 1.")
