"""How well edge scores find a circuit that is known: ROC, recovery, and faithfulness.

The known edges are the positives and all other possible edges the negatives. The area under the ROC
curve is the chance that a known edge has a larger |score| than another edge, ties counting half: 1
is perfect, 0.5 is a random order. Mueller et al. (2025, arXiv 2504.13151) judge edges of models
with known circuits by the same area.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from torch import Tensor

from kc_utils.benchmark.known_circuits import KNOWN_CIRCUITS, KnownCircuit
from kc_utils.circuits.adapter import graph_of
from kc_utils.circuits.attribution import attribute
from kc_utils.circuits.bridge import boot_bridge
from kc_utils.circuits.circuit import as_array, circuit_from_names, strongest_first, top_n
from kc_utils.circuits.evaluation import evaluate_circuit
from kc_utils.circuits.graph import Graph
from kc_utils.circuits.settings import METHODS, AttributionSettings
from kc_utils.errors import KcError
from kc_utils.models.tokenizers import train_bpe

#: Levels of random weights. At the larger one every known circuit still does what its model does.
NOISE = (0.0, 0.5)
N_PAIRS = 32
#: What is smaller than this, beside the largest |score|, is rounding and counts as equal.
ZERO = 1e-12
RANDOM = "random order"
Scores = Float[Tensor, "n_forward n_backward"] | Float[np.ndarray, "n_forward n_backward"]
Edges = Bool[np.ndarray, "n_forward n_backward"]


def roc(scores: Scores, graph: Graph, known: Edges) -> pd.DataFrame:
    """The ROC curve of |score|, a row per distinct |score| and one for the empty circuit.

    Columns: n_edges (whose |score| is at least this large), false_positive_rate,
    true_positive_rate; both rates rise from 0 to 1.

    KcError for scores that are not finite or not the graph's, and if no or every possible edge is
    known.
    """
    found, strength = _ranked(scores, graph, known)
    last = np.append(np.flatnonzero(np.diff(strength)), len(strength) - 1)  # of equal |score|
    hits = np.cumsum(found)[last]
    return pd.DataFrame(
        {
            "n_edges": np.append(0, last + 1),
            "false_positive_rate": np.append(0.0, (last + 1 - hits) / (~found).sum()),
            "true_positive_rate": np.append(0.0, hits / found.sum()),
        }
    )


def roc_area(scores: Scores, graph: Graph, known: Edges) -> float:
    """Area under :func:`roc`: 1 finds the known edges first, 0.5 is a random order."""
    curve = roc(scores, graph, known)
    return float(np.trapezoid(curve["true_positive_rate"], curve["false_positive_rate"]))


def recovered(scores: Scores, graph: Graph, known: Edges) -> float:
    """Share of the known edges among as many of largest |score|.

    Of edges with equal |score| at the end, the known ones count by their share: a tie never helps.
    """
    curve = roc(scores, graph, known)
    n = int(known.sum())
    return float(np.interp(n, curve["n_edges"], curve["true_positive_rate"]))


def find_again(
    case: KnownCircuit,
    methods: Sequence[str] = METHODS,
    noise: float = 0.0,
    seed: int = 0,
    steps: int = 5,
) -> pd.DataFrame:
    """Score the edges of a known circuit's model by every method and compare with the truth.

    Scores are taken on ``N_PAIRS`` pairs, faithfulness on as many others.

    Returns:
        One row per method, and one for a random order: circuit, method, noise, seed, n_edges
        (known), n_possible, roc_area, recovered (share), faithfulness (of the circuit of the
        strongest n_edges edges) and known_faithfulness (of the known circuit).
    """
    bridge = boot_bridge(case.model(noise, seed), train_bpe([], 258))
    graph = graph_of(bridge)
    known = graph.edges_from_names(case.edges)
    n = len(case.edges)
    pairs, others = (case.pairs(N_PAIRS, 2 * seed + part) for part in (0, 1))
    truth = evaluate_circuit(bridge, others, circuit_from_names(graph, case.edges)).faithfulness
    rows = []
    for method in (*methods, RANDOM):
        if method == RANDOM:
            scores = np.random.default_rng([seed, 4]).standard_normal(known.shape)
        else:
            scores = attribute(bridge, pairs, AttributionSettings(method, steps)).numpy()
        rows.append(
            {
                "circuit": case.name,
                "method": method,
                "noise": noise,
                "seed": seed,
                "n_edges": n,
                "n_possible": graph.n_edges,
                "roc_area": roc_area(scores, graph, known),
                "recovered": recovered(scores, graph, known),
                "faithfulness": evaluate_circuit(
                    bridge, others, top_n(scores, graph, n)
                ).faithfulness,
                "known_faithfulness": truth,
            }
        )
    return pd.DataFrame(rows)


def cases(noise: Sequence[float] = NOISE) -> list[tuple[KnownCircuit, float]]:
    """All known circuits, each at every level of noise."""
    return [(case, level) for case in KNOWN_CIRCUITS.values() for level in noise]


def _ranked(
    scores: Scores, graph: Graph, known: Edges
) -> tuple[Bool[np.ndarray, " n_edges"], Float[np.ndarray, " n_edges"]]:
    """Whether each possible edge is known, and its |score|, by falling |score|."""
    order = strongest_first(scores, graph)
    graph.check_edges(known)
    found = known.ravel()[order]
    if found.all() or not found.any():
        raise KcError(
            f"{int(found.sum())} of {graph.n_edges} possible edges are known; a ROC curve needs "
            "some that are and some that are not."
        )
    strength = np.abs(as_array(scores).astype(np.float64).ravel()[order])
    strength[strength < ZERO * strength.max()] = 0
    return found, strength
