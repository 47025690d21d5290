"""Polish: drop the edges of a circuit that it does not need, by running it without each of them.

Scores rank edges one by one, by gradients. What an edge does inside a *circuit* is another
question, and an exact one: run the circuit without the edge. That costs a run per edge, too much
for a whole model and little for the edges that are left in a circuit. Conmy et al. (2023, arXiv
2304.14997) prune whole models in this way; here it comes last, on a circuit that scores have cut.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor

from kc_utils.circuits.arguments import whole
from kc_utils.circuits.circuit import Circuit, prune, strongest_first
from kc_utils.circuits.evaluation import BatchEvaluation
from kc_utils.errors import KcError


@dataclass(frozen=True, eq=False)
class Polished:
    """What is left of a circuit, and every trial on the way.

    Args:
        circuit: what is left.
        faithfulness: of what is left.
        trials: edge, faithfulness (without it), n_edges (of the circuit without it, pruned) and
            dropped, a row per run, in their order.
        finished: whether every edge that is left was tried after the last one that went, so that
            none of them can go alone.
    """

    circuit: Circuit
    faithfulness: float
    trials: pd.DataFrame
    finished: bool

    @property
    def n_runs(self) -> int:
        """Runs of a circuit that the polish took, which are its cost."""
        return len(self.trials)


def polish(
    evaluation: BatchEvaluation,
    circuit: Circuit,
    scores: Float[Tensor, "n_forward n_backward"] | Float[np.ndarray, "n_forward n_backward"],
    loss: float = 0.01,
    ablation: str = "corrupted",
    most_runs: int | None = None,
) -> Polished:
    """Drop edges, weakest first, as long as the circuit stays about as faithful as it was.

    An edge goes, with what pruning takes along, if without it the distance of the faithfulness from
    1 is at most ``loss`` larger than at the start: the loss is one budget for all edges. Edges that
    stayed are tried again until none can go.

    Args:
        evaluation: the pairs to run on, and the metric to judge by; best those of the discovery,
            so that the held-out ones stay held out.
        circuit: what to polish; edges outside of it never come in.
        scores: edge scores [n_forward, n_backward], for the order of the trials.
        loss: how much farther from 1 the faithfulness may get, at least 0.
        ablation: what the other edges carry, one of ``ABLATIONS``.
        most_runs: end after so many runs (None: when no edge can go).

    Raises:
        KcError: a negative loss, fewer than one run, scores of another graph, and as
            :func:`kc_utils.circuits.evaluate_circuit`.
    """
    if not loss >= 0:
        raise KcError(f"loss={loss} is not a faithfulness of at least 0.")
    if most_runs is not None:
        most_runs = whole(most_runs, "most_runs", 1)
    graph, edges = circuit.graph, circuit.edges
    weakest_first = [flat for flat in strongest_first(scores, graph)[::-1] if edges.flat[flat]]
    start = now = evaluation.result(circuit, ablation).faithfulness
    if math.isnan(start):
        raise KcError(
            "The faithfulness of the circuit is undefined, because clean and corrupted runs agree "
            "in the mean; there is nothing to polish by."
        )
    allowed = abs(1 - start) + loss
    trials: list[tuple[str, float, int, bool]] = []
    stayed = 0  # trials in a row after which the edge stayed
    while stayed < int(edges.sum()) and len(trials) != most_runs:
        flat = next(f for f in weakest_first if edges.flat[f])
        weakest_first.remove(flat)
        weakest_first.append(flat)
        alone = np.zeros_like(edges)
        alone.flat[flat] = True
        without = prune(graph, edges & ~alone)
        value = evaluation.result(without, ablation).faithfulness
        dropped = bool(abs(1 - value) <= allowed)
        trials.append((graph.edge_names(alone)[0], value, int(without.sum()), dropped))
        if dropped:
            edges, now, stayed = without, value, 0
        else:
            stayed += 1
    columns = ["edge", "faithfulness", "n_edges", "dropped"]
    return Polished(
        Circuit(graph, edges, circuit.n),
        now,
        pd.DataFrame(trials, columns=columns),
        stayed == int(edges.sum()),
    )
