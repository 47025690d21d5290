"""What is measured at the answer: one number per pair from the logits that predict it.

A metric is a function of last-token logits and the batch; larger means better. The loss that
attribution takes gradients of is the metric with its sign turned, so that a positive edge score
always means: corrupting this edge makes the answer worse. Circuits are judged by the same metrics.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from kc_utils.circuits.answers import Answers, place_of
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.circuits.precision import own_precision
from kc_utils.errors import KcError, cut, shown

#: A function of last-token logits [n, vocab] and their batch that gives one number per pair, larger
#: for a better answer.
Metric = Callable[[Tensor, PairBatch], Tensor]
#: Metric (the logit difference, by default) and rank of the right answer per pair.
AnswerScores = tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]
#: Names of the metrics. ``logit_diff`` is in logits, ``prob_diff`` is a difference of
#: probabilities, ``kl`` and ``answer_log_prob`` are in nats; :func:`evaluate_metric` says of what.
METRICS = ("logit_diff", "prob_diff", "kl", "answer_log_prob")


def check_metric(metric: str | Metric) -> None:
    """KcError unless ``metric`` is a known name or a function."""
    if not callable(metric) and not (isinstance(metric, str) and metric in METRICS):
        allowed = ", ".join(map(repr, METRICS))
        raise KcError(f"metric={shown(metric)} is neither a function nor one of {allowed}.")


def check_batch(metric: str | Metric, batch: PairBatch) -> None:
    """KcError for pairs that ``metric`` cannot tell apart, or whose answers it does not know."""
    if metric == "answer_log_prob":
        if batch.answer_ids is None:
            raise KcError(
                "metric='answer_log_prob' needs whole answers; make the batch with "
                "PairBatch.with_answers."
            )
        return
    if batch.answer_ids is not None:
        raise KcError(
            f"metric={metric!r} reads the last token only, and this batch has whole answers; use "
            "metric='answer_log_prob' or PairBatch.from_lists."
        )
    if metric in ("logit_diff", "prob_diff"):
        shared = batch.answers.shared()
        if shared.any():
            pair, token = int(shared.any(1).nonzero()[0]), int(batch.answers.right[shared][0])
            raise KcError(f"Pair {pair}: right and wrong answer share their first token {token}.")


def evaluate_metric(
    metric: str | Metric,
    logits: Float[Tensor, "n k vocab"],
    batch: PairBatch,
    clean_logits: Float[Tensor, "n k vocab"] | None = None,
) -> Float[Tensor, " n"]:
    """The metric of each pair, larger for a better answer.

    - ``logit_diff`` and ``prob_diff``: right minus wrong answer, at the last token; of several
      answers, the mean of their logits or the sum of their probabilities.
    - ``kl``: minus KL(clean || this run) of the next token, in nats; it needs ``clean_logits``. Its
      gradient at the clean run is zero, so it scores no edges by EAP or RelP.
    - ``answer_log_prob``: sum over the answer's tokens of log p(token given the prompt and the
      answer's tokens before it), in nats, times the row's weight.

    Args:
        metric: one of these names, or a function, which gets the last token's logits and the batch.
        logits: logits where they are read; the last token is the last of k.
        batch: the pairs.
        clean_logits: the same of the clean run.

    Raises:
        KcError: ``kl`` without ``clean_logits``; a function that does not give one number per pair.
    """
    last = logits[:, -1]
    if callable(metric):
        values = metric(last.clone(), batch)  # it may write into what it is given
        if not isinstance(values, Tensor) or values.shape != (len(batch),):
            given = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else repr(values)
            raise KcError(
                f"The metric gave {cut(given)} for {len(batch)} pairs; it has to give a tensor of "
                "one number per pair."
            )
        # Counting right answers gives bools, which are numbers too.
        return values if values.is_floating_point() else values.to(last.dtype)
    if metric == "kl":
        if clean_logits is None:
            raise KcError("metric='kl' needs the clean run's logits.")
        clean = clean_logits[:, -1].log_softmax(-1)
        return -(clean.exp() * (clean - last.log_softmax(-1))).sum(-1)
    if metric == "answer_log_prob":
        wanted = batch.answer_ids
        known = wanted >= 0
        log_p = logits.log_softmax(-1).gather(-1, wanted.clamp_min(0)[..., None])[..., 0]
        return (log_p * known).sum(-1) * batch.weight.to(log_p.dtype)
    answers = batch.answers
    return answers.prob_diff(last) if metric == "prob_diff" else answers.logit_diff(last)


def finite(scores: Float[Tensor, "*shape"], metric: str | Metric) -> Float[Tensor, "*shape"]:
    """``scores``; KcError if one of them is not a finite number."""
    if wrong := int((~torch.isfinite(scores)).sum()):
        raise KcError(
            f"{wrong} of {scores.numel()} scores are not finite numbers; metric={named(metric)} "
            "and its gradient have to be finite for every pair, in the model's dtype."
        )
    return scores


def named(metric: str | Metric) -> str:
    """The name of a metric, or of a function, for messages."""
    return repr(metric if isinstance(metric, str) else getattr(metric, "__name__", metric))


def logit_diff(
    logits: Float[Tensor, "n vocab"], right: Int[Tensor, " n"], wrong: Int[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """Logit of the right answer minus logit of the wrong one, per pair."""
    return Answers(right[:, None], wrong[:, None]).logit_diff(logits)


def rank(logits: Float[Tensor, "n vocab"], right: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Number of logits larger than the right answer's plus half of those equal to it; 0 is the top.

    So ties do not help: where all logits are equal, an answer has the middle rank, as if one drew.
    Logits that are no numbers count as ties.
    """
    return place_of(logits, logits.gather(1, right[:, None]))


def answer_scores(logits: Float[Tensor, "n vocab"], answers: Answers) -> AnswerScores:
    """Logit difference and rank (0 is the top) of the right answer, per pair, in float64."""
    answers = answers.to(logits.device)
    difference = answers.logit_diff(logits).detach().cpu().double().numpy()
    return difference, answers.rank(logits).cpu().double().numpy()


@own_precision()
def metric_scores(
    metric: str | Metric,
    logits: Float[Tensor, "n k vocab"],
    batch: PairBatch,
    clean_logits: Float[Tensor, "n k vocab"],
    batch_size: int = 64,
) -> AnswerScores:
    """:func:`answer_scores` with any metric instead of the logit difference.

    Logits of half precision are taken in float32, where sums over the vocabulary are not rounded
    away. The rank is that of the answer's first token, also of whole answers.

    Args:
        metric: one of :data:`METRICS`, or a function; it need not have a gradient.
        logits: of a run, where they are read.
        batch: the pairs, on any device.
        clean_logits: the same of the clean run.
        batch_size: pairs whose metric is taken at once.

    Raises:
        KcError: as :func:`evaluate_metric`.
    """
    batch = batch.to(logits.device)
    if metric == "logit_diff":  # not cast: the same numbers as those of the references
        return answer_scores(logits[:, -1], batch.answers)
    first = logits[:, -1]
    if batch.answer_ids is not None:  # shorter answers are read at fewer of the last positions
        rows = torch.arange(len(batch), device=logits.device)
        first = logits[rows, (batch.answer_ids < 0).sum(1)]
    found = []
    for start in range(0, len(batch), batch_size):
        stop = start + batch_size
        run, clean = (
            x[start:stop].to(torch.promote_types(x.dtype, torch.float32))
            for x in (logits, clean_logits)
        )
        found.append(evaluate_metric(metric, run, batch.slice(start, stop), clean).detach())
    values = torch.cat(found).cpu().double().numpy()
    return values, batch.answers.rank(first).cpu().double().numpy()
