"""Measuring what a circuit does: logit difference, rank, Hit@k and faithfulness.

Metrics are taken at the last token of the clean prompts: the logit difference (right minus wrong
answer), the rank of the right answer, and
faithfulness = (circuit - corrupted) / (clean - corrupted) of mean logit differences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from transformer_lens.model_bridge import TransformerBridge

from kc_utils.circuit import Circuit
from kc_utils.errors import KcError
from kc_utils.metrics import answer_scores, logit_diff, rank
from kc_utils.prompt_batch import PairBatch
from kc_utils.running import (
    ABLATIONS,
    MeanOutputs,
    References,
    mean_outputs,
    references,
    run_ablations,
    run_circuit,
)

__all__ = [
    "ABLATIONS",
    "EvaluationResult",
    "MeanOutputs",
    "References",
    "evaluate_ablations",
    "evaluate_circuit",
    "faithfulness",
    "hit",
    "logit_diff",
    "mean_outputs",
    "rank",
    "references",
    "run_ablations",
    "run_circuit",
]


@dataclass(frozen=True, eq=False)
class EvaluationResult:
    """What a circuit does on each pair, beside the plain clean and corrupted runs.

    Ranks count the logits that are strictly larger than the right answer's: 0 is the top.
    """

    logit_diff: Float[np.ndarray, " n"]
    rank: Int[np.ndarray, " n"]
    clean_logit_diff: Float[np.ndarray, " n"]
    clean_rank: Int[np.ndarray, " n"]
    corrupted_logit_diff: Float[np.ndarray, " n"]
    corrupted_rank: Int[np.ndarray, " n"]

    @property
    def faithfulness(self) -> float:
        """(circuit - corrupted) / (clean - corrupted) of the means; nan where undefined."""
        return faithfulness(
            float(self.logit_diff.mean()),
            float(self.clean_logit_diff.mean()),
            float(self.corrupted_logit_diff.mean()),
        )

    def hit_at(self, k: int) -> float:
        """Share of pairs whose right answer is among the circuit's ``k`` largest logits."""
        return float(hit(self.rank, k).mean())


def hit(ranks: Int[np.ndarray, " n"], k: int) -> Bool[np.ndarray, " n"]:
    """Whether fewer than ``k`` logits are strictly larger than the right answer's."""
    if k < 1:
        raise KcError(f"Hit@k needs k of at least 1, not {k}.")
    return ranks < k


def faithfulness(circuit: float, clean: float, corrupted: float) -> float:
    """(circuit - corrupted) / (clean - corrupted); nan (undefined) if clean equals corrupted."""
    return (circuit - corrupted) / (clean - corrupted) if clean != corrupted else float("nan")


def evaluate_circuit(
    bridge: TransformerBridge,
    batch: PairBatch,
    circuit: Circuit | Bool[np.ndarray, "n_forward n_backward"],
    ablation: str = "corrupted",
    means: MeanOutputs | None = None,
    batch_size: int = 64,
    refs: References | None = None,
) -> EvaluationResult:
    """Logit difference and rank per pair of a circuit, beside the plain runs.

    Pass ``refs = references(bridge, batch)`` when several circuits are evaluated on one batch.
    """
    found = evaluate_ablations(bridge, batch, circuit, (ablation,), means, batch_size, refs)
    return found[ablation]


def evaluate_ablations(
    bridge: TransformerBridge,
    batch: PairBatch,
    circuit: Circuit | Bool[np.ndarray, "n_forward n_backward"],
    ablations: Sequence[str] = ABLATIONS,
    means: MeanOutputs | None = None,
    batch_size: int = 64,
    refs: References | None = None,
) -> dict[str, EvaluationResult]:
    """:func:`evaluate_circuit` under several ablations, sooner than one after the other."""
    refs = references(bridge, batch, batch_size) if refs is None else refs
    edges = circuit.edges if isinstance(circuit, Circuit) else circuit
    found = run_ablations(bridge, batch, edges, ablations, means, batch_size, refs)
    plain = refs.of_answers(batch)
    (clean, clean_rank), (corrupted, corrupted_rank) = plain.clean, plain.corrupted
    results = {}
    for ablation, logits in found.items():
        diff, ranks = answer_scores(logits[:, -1], batch.right_ids, batch.wrong_ids)
        results[ablation] = EvaluationResult(
            diff, ranks, clean, clean_rank, corrupted, corrupted_rank
        )
    return results
