"""Measuring what a circuit does: logit difference, rank, Hit@k and faithfulness.

Metrics are taken at the last token of the clean prompts: the logit difference (right minus wrong
answer, in logits), the rank of the right answer (the best of several), and the faithfulness of
Hanna et al. (2024, arXiv 2403.17806), of mean logit differences::

    faithfulness = (circuit - corrupted) / (clean - corrupted)

Any metric that edges can be scored by (:mod:`kc_utils.circuits.metrics`) may be used instead of the
logit difference. With ``kl``, minus KL(clean || run), the clean run has 0, and the faithfulness is
1 - KL(clean || circuit) / KL(clean || corrupted): it is never above 1, and below 0 where the
circuit is farther from the model than the corrupted run is.

For one circuit there is :func:`evaluate_circuit`; for many circuits on one batch,
:class:`BatchEvaluation` makes the plain runs and every result once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kc_utils.circuits.ablation import ABLATIONS, MeanOutputs, References, references
from kc_utils.circuits.adapter import graph_of
from kc_utils.circuits.arguments import whole
from kc_utils.circuits.checks import check_filled
from kc_utils.circuits.circuit import Circuit
from kc_utils.circuits.circuit_run import run_ablations
from kc_utils.circuits.metrics import (
    AnswerScores,
    Metric,
    check_batch,
    check_metric,
    metric_scores,
)
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.errors import KcError

#: A circuit, or edges [n_forward, n_backward] in a boolean array, which are not pruned.
Edges = Circuit | Bool[np.ndarray, "n_forward n_backward"] | Bool[Tensor, "n_forward n_backward"]


@dataclass(frozen=True, eq=False)
class EvaluationResult:
    """What a circuit does on each of n pairs, beside the plain clean and corrupted runs.

    Logit differences are right minus wrong answer, in logits; where another metric was asked for,
    the three fields named after them hold that metric, in its units. Ranks count the logits that
    are larger than the right answer's, and half of those that are equal to it: 0 is the top. Of
    whole answers a pair can have a row for each of two, whose ranks are those of their own answer;
    ``of_right`` marks the rows of right ones (None: all).
    """

    logit_diff: Float[np.ndarray, " n"]
    rank: Float[np.ndarray, " n"]
    clean_logit_diff: Float[np.ndarray, " n"]
    clean_rank: Float[np.ndarray, " n"]
    corrupted_logit_diff: Float[np.ndarray, " n"]
    corrupted_rank: Float[np.ndarray, " n"]
    of_right: Bool[np.ndarray, " n"] | None = None

    @property
    def faithfulness(self) -> float:
        """(circuit - corrupted) / (clean - corrupted) of the means; nan where undefined."""
        return faithfulness(
            float(self.logit_diff.mean()),
            float(self.clean_logit_diff.mean()),
            float(self.corrupted_logit_diff.mean()),
        )

    def hit_at(self, k: int) -> float:
        """Share of pairs whose right answer is among the circuit's ``k`` largest logits.

        Raises:
            KcError: ``k`` below 1.
        """
        rank = self.rank if self.of_right is None else self.rank[self.of_right]
        return float(hit(rank, k).mean())


def hit(ranks: Float[np.ndarray, " n"], k: int) -> Bool[np.ndarray, " n"]:
    """Whether the answer is among the ``k`` largest logits, ``ranks`` counted from 0.

    A rank of k - 1/2, a tie of the answer with the next logit, is no hit.

    Raises:
        KcError: ``k`` below 1.
    """
    return ranks <= whole(k, "k", 1) - 1


def faithfulness(circuit: float, clean: float, corrupted: float) -> float:
    """(circuit - corrupted) / (clean - corrupted) of mean logit differences: 1 is the model.

    nan (undefined) if clean equals corrupted.

    Args:
        circuit: mean logit difference of the circuit, or mean of another metric.
        clean: that of the clean run.
        corrupted: that of the corrupted run.
    """
    return (circuit - corrupted) / (clean - corrupted) if clean != corrupted else float("nan")


def evaluate_circuit(
    bridge: TransformerBridge,
    batch: PairBatch,
    circuit: Edges,
    ablation: str = "corrupted",
    means: MeanOutputs | None = None,
    batch_size: int = 64,
    refs: References | None = None,
    metric: str | Metric = "logit_diff",
) -> EvaluationResult:
    """Logit difference, or another metric, and rank per pair of a circuit, beside the plain runs.

    All edges give the clean run and, with corrupted values, none gives the corrupted one: up to
    rounding, which in a bfloat16 or float16 model is a matter of per cent. Everything is computed
    in the model's dtype, also inside of ``torch.autocast``.

    Args:
        bridge: the model.
        batch: pairs, best held out from those that were scored.
        circuit: a circuit, or edges, which are not pruned here.
        ablation: what the other edges carry, one of :data:`kc_utils.circuits.ablation.ABLATIONS`.
        means: what :func:`kc_utils.circuits.ablation.mean_outputs` gives, best of other pairs, for
            the ablation ``mean``.
        batch_size: pairs in a run.
        refs: what :func:`kc_utils.circuits.ablation.references` gives of this batch, if at hand.
        metric: one of :data:`kc_utils.circuits.metrics.METRICS`, or a function of last-token logits
            [n, vocab] and batch that gives a number per pair, larger for a better answer.

    Raises:
        KcError: a model in training mode, an empty batch, an unknown ablation or metric, means that
            are missing or of another shape of model, edges of another graph, references of another
            batch, tokens or positions that the model lacks, pairs whose answers the metric does not
            know, and a function that does not give one number per pair.
    """
    evaluation = BatchEvaluation(bridge, batch, means, batch_size, refs, metric)
    return evaluation.result(circuit, ablation)


class BatchEvaluation:
    """Evaluates circuits on the pairs of ``batch``; asking twice for one circuit runs it once.

    All arguments, here and in the methods, are those of :func:`evaluate_circuit`. What takes an
    evaluation, such as size curves and ``polish``, judges by its ``metric``; columns keep the name
    of the logit difference.

    Raises:
        KcError: here for metric, batch size, references and an empty batch, in the methods for the
            rest, as :func:`evaluate_circuit`.
    """

    def __init__(
        self,
        bridge: TransformerBridge,
        batch: PairBatch,
        means: MeanOutputs | None = None,
        batch_size: int = 64,
        refs: References | None = None,
        metric: str | Metric = "logit_diff",
    ) -> None:
        check_metric(metric)
        check_filled(batch)
        if metric != "logit_diff" or batch.answer_ids is not None:
            check_batch(metric, batch)
        self.bridge, self.batch, self.means = bridge, batch, means
        self.batch_size = whole(batch_size, "batch_size", 1)
        self.metric = metric
        if refs is not None and not isinstance(refs, References):
            kind = type(refs).__name__
            raise KcError(f"refs is a {kind}; it has to be References, as references gives them.")
        self._refs = refs
        self._results: dict[tuple[str, bytes], EvaluationResult] = {}

    @cached_property
    def references(self) -> References:
        """The plain clean and corrupted runs of the batch."""
        if self._refs is None:
            return references(self.bridge, self.batch, self.batch_size)
        return self._refs.of_answers(self.batch)

    @cached_property
    def _plain(self) -> tuple[AnswerScores, AnswerScores]:
        """Metric and rank of the clean and of the corrupted run."""
        refs = self.references
        if self.metric == "logit_diff":
            return refs.clean, refs.corrupted
        return self._scores(refs.clean_logits), self._scores(refs.corrupted_logits)

    def _scores(self, logits: Float[Tensor, "n k vocab"]) -> AnswerScores:
        clean = self.references.clean_logits
        return metric_scores(self.metric, logits, self.batch, clean, self.batch_size)

    @property
    def n_runs(self) -> int:
        """Number of different circuits and ablations that were run."""
        return len(self._results)

    def result(self, circuit: Edges, ablation: str = "corrupted") -> EvaluationResult:
        """Logit differences and ranks of a circuit, or of edges, which are not pruned here."""
        return self.results(circuit, (ablation,))[ablation]

    def results(
        self, circuit: Edges, ablations: Sequence[str] = ABLATIONS
    ) -> dict[str, EvaluationResult]:
        """The same under several ablations, sooner than one after the other."""
        edges = self.edges_of(circuit)
        digest = blake2b(edges.tobytes(), digest_size=16).digest()
        known = {ablation for ablation, of in self._results if of == digest}
        if missing := [a for a in ablations if not isinstance(a, str) or a not in known]:
            logits = run_ablations(
                self.bridge, self.batch, edges, missing, self.means, self.batch_size,
                self.references,
            )  # fmt: skip
            for ablation in missing:
                self._results[ablation, digest] = self.result_of(logits[ablation])
        return {ablation: self._results[ablation, digest] for ablation in ablations}

    def result_of(self, logits: Float[Tensor, "n k vocab"]) -> EvaluationResult:
        """The result of a run that gave these logits, whatever was changed in it."""
        clean, corrupted = self._plain
        whole_answers = self.batch.answer_ids is not None
        right = (self.batch.weight > 0).cpu().numpy() if whole_answers else None
        return EvaluationResult(*self._scores(logits), *clean, *corrupted, right)

    def empty_logit_diff(self, circuit: Edges, ablation: str) -> Float[np.ndarray, " n"]:
        """Logit difference per pair when no edge is kept; ``circuit`` only gives the shape.

        With corrupted values this is the corrupted run. With zeros or means it is not: what is in
        no node, such as biases, stays, and the two answers' logits can differ by any amount.
        """
        if ablation == "corrupted":
            return self.result(circuit, ablation).corrupted_logit_diff
        return self.result(np.zeros_like(self.edges_of(circuit)), ablation).logit_diff

    def f_mib(self, circuit: Edges, ablation: str = "corrupted") -> float:
        """Faithfulness as MIB takes it: 0 is the circuit without edges under the same ablation.

        f = (m(C) - m(empty)) / (m(full) - m(empty)) of means m of the metric
        (arXiv 2504.13151); nan where m(full) equals m(empty). ``EvaluationResult.faithfulness``
        takes the corrupted run as 0 under every ablation. The two agree with corrupted values.
        """
        result = self.result(circuit, ablation)
        empty = self.empty_logit_diff(circuit, ablation)
        return faithfulness(
            float(result.logit_diff.mean()),
            float(result.clean_logit_diff.mean()),
            float(empty.mean()),
        )

    def table(self, circuit: Edges, ablation: str = "corrupted") -> pd.DataFrame:
        """One row per pair, in the order of the batch.

        Columns: pair (position in the batch), ablation, n_edges, logit_diff, rank (1 = best; ties
        count as half), clean_logit_diff, clean_rank, corrupted_logit_diff, empty_logit_diff.
        """
        result, edges = self.result(circuit, ablation), self.edges_of(circuit)
        return pd.DataFrame(
            {
                "pair": np.arange(len(self.batch)),
                "ablation": ablation,
                "n_edges": int(edges.sum()),
                "logit_diff": result.logit_diff,
                "rank": result.rank + 1,
                "clean_logit_diff": result.clean_logit_diff,
                "clean_rank": result.clean_rank + 1,
                "corrupted_logit_diff": result.corrupted_logit_diff,
                "empty_logit_diff": self.empty_logit_diff(edges, ablation),
            }
        )

    def tables(self, circuit: Edges, ablations: Sequence[str] = ABLATIONS) -> pd.DataFrame:
        """:meth:`table` under several ablations, which share their runs, one below the other."""
        self.results(circuit, ablations)
        return pd.concat([self.table(circuit, a) for a in ablations], ignore_index=True)

    def edges_of(self, circuit: Edges) -> Bool[np.ndarray, "n_forward n_backward"]:
        """The edges; KcError for a circuit of another graph, which may have the same shape."""
        if isinstance(circuit, Tensor):
            circuit = circuit.detach().cpu().numpy()
        if isinstance(circuit, np.ndarray):
            return circuit
        if not isinstance(circuit, Circuit):
            raise KcError(
                f"A circuit is a Circuit or a boolean matrix, not {type(circuit).__name__}."
            )
        if circuit.graph != (own := graph_of(self.bridge)):
            raise KcError(f"The circuit is of {circuit.graph.words}; the model has {own.words}.")
        return circuit.edges
