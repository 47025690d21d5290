"""How probable are the right values? Log-probability of token spans inside texts, a few at a time.

A query is a prompt and its answer, whose tokens are the span; a biography holds one span for each
attribute. Only the tokens of the spans are unembedded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from kc_utils.errors import KcError
from kc_utils.training.batches import like_length, refuse_training


@dataclass(frozen=True)
class Recall:
    """What a model makes of each span.

    ``log_prob``: sum over the span's tokens of ln p(token | all tokens before it), in nats.
    ``first_correct``: whether its first token is the most likely one there.
    """

    log_prob: Float[np.ndarray, " n"]
    first_correct: np.ndarray


@torch.inference_mode()
def recall(
    model: PreTrainedModel,
    texts: Sequence[Sequence[int]],
    spans: Int[np.ndarray, "n 3"],
    batch_size: int = 64,
) -> Recall:
    """Log-probability of each span given the tokens before it in its text.

    Args:
        model: any causal language model in eval mode; its own device is used.
        texts: token ids of each text.
        spans: rows of (text, first token, one past the last token).
        batch_size: texts per forward pass; texts of like length share one.

    Raises:
        KcError: a span is empty, starts at its text's first token or ends outside of it, or the
            model is in training mode.
    """
    refuse_training(model)
    lengths = np.array([len(text) for text in texts])
    _check(spans, lengths)
    log_prob, first = np.zeros(len(spans), np.float64), np.zeros(len(spans), bool)
    for rows in like_length(lengths, batch_size):
        place = {row: i for i, row in enumerate(rows)}
        here = [i for i, span in enumerate(spans) if int(span[0]) in place]
        if not here:
            continue
        local = [(place[int(spans[i][0])], int(spans[i][1]), int(spans[i][2])) for i in here]
        values, right = _batch(model, [texts[row] for row in rows], local)
        log_prob[here], first[here] = values, right
    return Recall(log_prob, first)


def _check(spans: np.ndarray, lengths: np.ndarray) -> None:
    for text, start, stop in spans.tolist():
        if not 0 < start < stop <= lengths[text]:
            raise KcError(
                f"The span {start} to {stop} of text {text} must start after the text's first "
                f"token, hold a token and end by its last ({lengths[text]} tokens)."
            )


def _batch(
    model: PreTrainedModel, texts: list[Sequence[int]], spans: list[tuple[int, int, int]]
) -> tuple[np.ndarray, np.ndarray]:
    """Sums over the spans of one batch; right padding reaches no real token."""
    width = max(len(text) for text in texts)
    padded = torch.tensor([[*text, *[0] * (width - len(text))] for text in texts])
    row = np.concatenate([[text] * (stop - start) for text, start, stop in spans])
    at = np.concatenate([np.arange(start, stop) for _, start, stop in spans])
    of = np.concatenate([[i] * (stop - start) for i, (_, start, stop) in enumerate(spans)])
    ids = padded.to(model.device)
    hidden: Tensor = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
    logits = model.get_output_embeddings()(hidden[row, at - 1]).float()
    wanted = padded[row, at].to(logits.device)
    token = logits.log_softmax(-1).gather(-1, wanted[:, None])[:, 0].double().cpu().numpy()
    hit = (logits.argmax(-1) == wanted).cpu().numpy()
    starts = np.flatnonzero(np.diff(of, prepend=-1))
    return np.bincount(of, token, minlength=len(spans)), hit[starts]
