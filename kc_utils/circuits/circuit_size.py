"""Faithfulness over circuit size, f(k), and the two areas that sum it up.

Shares, counting and areas are those of MIB (arXiv 2504.13151, section 3): the share k keeps
``int(k * number of edges)`` edges before pruning, the trapezoid rule is applied over k itself (not
over its logarithm), CPR is the area under f, and CMD the area between f and 1.

:func:`minimal_size` turns the question round: how small may a circuit be that reaches a wanted
faithfulness? That size makes circuits of different models comparable, which circuits of one size
are not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor

from kc_utils.circuits.ablation import ABLATIONS
from kc_utils.circuits.arguments import whole
from kc_utils.circuits.circuit import Circuit, check_graph, top_sizes
from kc_utils.circuits.evaluation import BatchEvaluation
from kc_utils.circuits.graph import Graph
from kc_utils.circuits.random_circuits import random_circuit, random_circuit_per_layer
from kc_utils.errors import KcError, shown

#: Shares of the edges at which MIB takes f.
SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
#: Discovered circuits (stored as ``own``), random ones of the same size, and random ones of the
#: same size in every layer.
CIRCUITS = ("own", "random", "random_per_layer")


class Areas(NamedTuple):
    """Two areas that sum up a size curve, over shares from the smallest to the largest.

    Args:
        cpr: the area under f; higher is better.
        cmd: the area between f and 1; lower is better.
    """

    cpr: float
    cmd: float


def sizes_of(graph: Graph, shares: Sequence[float] = SHARES) -> list[int]:
    """Number of edges that each share keeps before pruning, rounded down as MIB does.

    Raises:
        KcError: a share outside of 0 to 1.
    """
    check_graph(graph)
    for share in shares:
        _check_share(share)
    return [int(share * graph.n_edges) for share in shares]


def curve_circuits(
    scores: Float[Tensor, "n_forward n_backward"] | Float[np.ndarray, "n_forward n_backward"],
    graph: Graph,
    seed: int,
    shares: Sequence[float] = SHARES,
    absolute: bool = True,
) -> dict[tuple[float, str], Circuit]:
    """The circuits of a size curve, by share and name (one of :data:`CIRCUITS`).

    They are cut as :func:`kc_utils.circuits.circuit.top_n` does, by ``absolute`` score or by score.

    Random circuits follow the discovered circuit's size after pruning, and share one ``seed``, so
    that a larger one mostly holds the smaller.

    Raises:
        KcError: one of the ``shares`` outside of 0 to 1; otherwise as
            :func:`kc_utils.circuits.circuit.top_n`.
    """
    found = {}
    sizes = sizes_of(graph, shares)
    for share, own in zip(shares, top_sizes(scores, graph, sizes, absolute), strict=True):
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

    Columns: share, circuit, weighted_edges (the size after pruning as MIB counts it: edges, each
    by the share of its writer that is kept, which is all of it here), and those of
    :meth:`BatchEvaluation.table`. f of a share is a ratio of means over its rows.

    Args:
        evaluation: of the pairs; its metric is what f is the faithfulness of.
        circuits: what :func:`curve_circuits` gives.
        ablations: some of :data:`kc_utils.circuits.ablation.ABLATIONS`.

    Raises:
        KcError: no circuit or no ablation; otherwise as
            :func:`kc_utils.circuits.evaluation.evaluate_circuit`.
    """
    if isinstance(ablations, str) or not (ablations and circuits):
        raise KcError(
            f"A size curve needs circuits and a list of ablations, not {len(circuits)} circuits "
            f"and ablations={shown(ablations)}."
        )
    if not isinstance(circuits, Mapping):
        raise KcError(
            "The circuits of a size curve are by share and name, as curve_circuits gives them, and "
            f"no {type(circuits).__name__}."
        )
    tables = [
        evaluation.tables(circuit, ablations).assign(
            share=share, circuit=name, weighted_edges=float(circuit.n_edges)
        )
        for (share, name), circuit in circuits.items()
    ]
    return pd.concat(tables, ignore_index=True)


def areas(
    shares: Sequence[float] | np.ndarray | pd.Series, f: Sequence[float] | np.ndarray | pd.Series
) -> Areas:
    """CPR and CMD of a curve ``f`` by the trapezoid rule over ``shares``, in any order.

    Shares from the smallest to the largest one given: over :data:`SHARES`, f = 1 everywhere gives a
    CPR of 0.999. A value of f that is nan (undefined) makes both areas nan.

    Raises:
        KcError: fewer than two shares, a repeated one, one outside of 0 to 1, or another number of
            values of f.
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


TARGETS = (0.5, 0.8, 0.9)


@dataclass(frozen=True)
class MinimalSize:
    """A size that reaches ``target``, and the next smaller size that was tested and does not.

    Args:
        target: faithfulness to reach.
        status: ``reached``; ``not reached`` if no tested size does, all edges included; or
            ``undefined`` if a tested size has no faithfulness.
        n: the size in edges; None without ``reached``.
        faithfulness: of that size; nan without ``reached``.
        below: the next smaller size that was tested; None if 0 edges reach the target.
        faithfulness_below: of that size.
        n_evaluations: how often faithfulness was computed.
    """

    target: float
    status: Literal["reached", "not reached", "undefined"]
    n: int | None
    faithfulness: float
    below: int | None
    faithfulness_below: float
    n_evaluations: int


def minimal_size(
    evaluate: Callable[[int], float],
    target: float,
    n_max: int,
    known: Mapping[int, float] | None = None,
    tolerance: float = 0.0,
) -> MinimalSize:
    """Bisection for a size n from 0 to ``n_max`` with ``evaluate(n) >= target``.

    Faithfulness need not rise with n. What is returned is therefore the smallest size among those
    *tested* that reaches the target; every smaller tested size falls short, and ``below``, the
    largest of these, is no farther away than ``max(1, tolerance * n)``. Sizes that were never
    tested may reach it with fewer edges. At most 3 + log2(n_max) evaluations are made.

    Args:
        evaluate: faithfulness of a circuit of n edges.
        target: faithfulness to reach, between 0 and 1.
        n_max: the largest size, at least 0.
        known: values that need no evaluation, such as those of a size curve, by size from 0 to
            ``n_max``; they make the search start closer and count as tested.
        tolerance: share of the size that may stay untested below it, at least 0 and below 1.

    Raises:
        KcError: one of these numbers is not in its range.
    """
    known = {} if known is None else known
    _check(target, n_max, known, tolerance)
    tested: dict[int, float] = dict(known)
    n_evaluations = 0

    def value(n: int) -> float:
        nonlocal n_evaluations
        if n not in tested:
            tested[n] = float(evaluate(n))
            n_evaluations += 1
        return tested[n]

    def found(status: Literal["reached", "not reached", "undefined"]) -> MinimalSize:
        if status != "reached":
            return MinimalSize(target, status, None, math.nan, None, math.nan, n_evaluations)
        n = min(size for size, f in tested.items() if f >= target)
        below = max((size for size in tested if size < n), default=None)
        beside = math.nan if below is None else tested[below]
        return MinimalSize(target, status, n, tested[n], below, beside, n_evaluations)

    for n in (0, n_max):
        value(n)
    while not any(map(math.isnan, tested.values())):
        reached = [n for n, f in tested.items() if f >= target]
        if not reached:
            return found("not reached")
        high = min(reached)
        low = max((n for n in tested if n < high), default=high)
        if high - low <= max(1, tolerance * high):
            return found("reached")
        value((low + high) // 2)
    return found("undefined")


def _check(target: float, n_max: int, known: Mapping[int, float], tolerance: float) -> None:
    if not 0 < target < 1:
        raise KcError(f"target={target} is not a faithfulness above 0 and below 1.")
    whole(n_max, "n_max", 0)
    if outside := [n for n in known if not 0 <= n <= n_max]:
        raise KcError(f"The known size {outside[0]} is not in 0 to {n_max}.")
    if not 0 <= tolerance < 1:
        raise KcError(f"tolerance={tolerance} is not at least 0 and below 1.")
