"""MIB's two areas for every method on a task: how faithful are circuits of all sizes?

Circuits are cut from the scores of one half of the pairs and run on the other half. CPR is the area
under faithfulness over the share of edges kept, CMD the area between it and 1 (Mueller et al. 2025,
arXiv 2504.13151; :mod:`kc_utils.circuits.circuit_size`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from kc_utils.circuits.adapter import graph_of
from kc_utils.circuits.attribution import AttributionSettings, attribute
from kc_utils.circuits.circuit import top_sizes
from kc_utils.circuits.circuit_size import SHARES, areas, sizes_of
from kc_utils.circuits.evaluation import BatchEvaluation
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.circuits.random_circuits import random_circuit
from kc_utils.errors import KcError

#: ``exact`` runs the model once per edge, which is for tiny models.
GRADIENT_METHODS = ("eap", "eap-ig", "eap-ig-activations", "clean-corrupted", "relp")
RANDOM = "random circuits"
_SIGN = {True: "|score|", False: "score"}


def faithfulness_by_size(
    evaluation: BatchEvaluation,
    discovery: PairBatch,
    methods: Sequence[str] = GRADIENT_METHODS,
    steps: int = 5,
    signs: Sequence[bool] = (True,),
    seed: int = 0,
    progress: Callable[[str], None] = lambda what: None,
) -> pd.DataFrame:
    """Faithfulness on held-out pairs of circuits of ``SHARES`` of the edges, by every method.

    Args:
        evaluation: the model, the held-out pairs that circuits run on, with corrupted values
            elsewhere, and the metric that edges are scored and circuits judged by.
        discovery: pairs that scores are taken on.
        methods: see :mod:`kc_utils.circuits.attribution`.
        steps: of integrated gradients.
        signs: cut by |score| (True), by score (False), or both.
        seed: of the random circuits.
        progress: is told the method that begins.

    Returns:
        One row per method, cut and share: method, cut (``|score|``, ``score`` or nothing for
        random circuits of the sizes of the first method), share, n_edges (after pruning) and
        faithfulness.

    Raises:
        KcError: as :func:`kc_utils.circuits.attribute`, or no method.
    """
    if not methods:
        raise KcError("No method was named; areas need at least one.")
    graph = graph_of(evaluation.bridge)
    sizes = sizes_of(graph)
    rows: list[tuple[str, str, float, int, float]] = []
    for method in methods:
        progress(method)
        settings = AttributionSettings(
            method, steps, metric=evaluation.metric, batch_size=evaluation.batch_size
        )
        scores = attribute(evaluation.bridge, discovery, settings)
        for absolute in signs:
            circuits = top_sizes(scores, graph, sizes, absolute)
            for share, circuit in zip(SHARES, circuits, strict=True):
                f = evaluation.result(circuit).faithfulness
                rows.append((method, _SIGN[absolute], share, circuit.n_edges, f))
    progress(RANDOM)
    for _, _, share, n, _ in rows[: len(SHARES)]:
        circuit = random_circuit(graph, n, seed)
        f = evaluation.result(circuit).faithfulness
        rows.append((RANDOM, "", share, circuit.n_edges, f))
    return pd.DataFrame(rows, columns=["method", "cut", "share", "n_edges", "faithfulness"])


def areas_by_method(curves: pd.DataFrame) -> pd.DataFrame:
    """CPR (more is better) and CMD (less is better) of every method and cut of such a table."""
    found = [
        (*group, *areas(table["share"], table["faithfulness"]))
        for group, table in curves.groupby(["method", "cut"], sort=False)
    ]
    return pd.DataFrame(found, columns=["method", "cut", "cpr", "cmd"])
