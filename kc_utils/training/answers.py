"""How probable are the right answers to a model, and how sure is it of what it answers?

Log-probabilities are of token spans inside texts, a few texts of like length at a time. A query is
a prompt and its answer, whose tokens are the span; a biography holds one span for each attribute.
Only the tokens of the spans are unembedded.

A model can be sure of a first token and wrong, and it holds a fact only as far as it gives the
whole value a probability. An answer is taken to end with the full stop of its sentence, so that a
value counts only if the model also knows that it ends there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kc_utils.errors import KcError


def refuse_training(model: PreTrainedModel) -> None:
    """Raise :class:`KcError` if dropout is on."""
    if model.training:
        raise KcError("The model is in training mode, so dropout is on; call model.eval() first.")


def like_length(lengths: Sequence[int] | np.ndarray, batch_size: int) -> Iterator[list[int]]:
    """Indices in batches of ``batch_size``, shortest texts first, so that little is padded."""
    order = np.argsort(np.asarray(lengths), kind="stable").tolist()
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def equal_length(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Indices in batches of texts of one length, so that nothing is padded."""
    groups: dict[int, list[int]] = {}
    for index, length in enumerate(lengths):
        groups.setdefault(length, []).append(index)
    for length in sorted(groups):
        for start in range(0, len(groups[length]), batch_size):
            yield groups[length][start : start + batch_size]


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


def next_tokens(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], batch_size: int = 64
) -> pd.DataFrame:
    """The distribution of the next token after every prompt.

    Args:
        model: any causal language model; its own device is used.
        prompts: token ids, at least one each.
        batch_size: prompts per forward pass; prompts of like length share one.

    Returns:
        One row per prompt, in their order: entropy (nats), top_id (the most likely token),
        top_probability.

    Raises:
        KcError: the model is in training mode, or a prompt is empty.
    """
    refuse_training(model)
    _refuse_empty(prompts)
    entropy, probability = np.zeros(len(prompts)), np.zeros(len(prompts))
    top = np.zeros(len(prompts), np.int64)
    for rows in like_length([len(prompt) for prompt in prompts], batch_size):
        ends = [(i, len(prompts[row]) - 1) for i, row in enumerate(rows)]
        logs = _log_probabilities(model, [prompts[row] for row in rows], ends)
        entropy[rows] = -torch.special.xlogy(logs.exp(), logs.exp()).sum(-1).numpy()
        best = logs.max(-1)
        probability[rows], top[rows] = best.values.exp().numpy(), best.indices.numpy()
    return pd.DataFrame({"entropy": entropy, "top_id": top, "top_probability": probability})


@torch.inference_mode()
def token_log_probabilities(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    tokens: Sequence[int],
    batch_size: int = 64,
) -> Float[np.ndarray, "prompts tokens"]:
    """Log-probability (nats) of each of ``tokens`` right after each prompt.

    Only the last position of a prompt is unembedded.

    Args:
        model: any causal language model in eval mode; its own device is used.
        prompts: token ids, at least one each.
        tokens: ids of the tokens to compare, the same after every prompt.
        batch_size: prompts per forward pass; only prompts of one length share one.

    Raises:
        KcError: the model is in training mode, or a prompt is empty.
    """
    refuse_training(model)
    _refuse_empty(prompts)
    out = np.zeros((len(prompts), len(tokens)))
    for rows in equal_length([len(prompt) for prompt in prompts], batch_size):
        ends = [(i, len(prompts[row]) - 1) for i, row in enumerate(rows)]
        logs = _log_probabilities(model, [prompts[row] for row in rows], ends)
        out[rows] = logs[:, list(tokens)].double().numpy()
    return out


def _refuse_empty(prompts: Sequence[Sequence[int]]) -> None:
    if not all(len(prompt) for prompt in prompts):
        raise KcError("A prompt has 0 tokens, and at least 1 is needed.")


def first_answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    answers: Sequence[str],
    batch_size: int = 64,
) -> pd.DataFrame:
    """Is the first token of each answer the most likely one after its prompt?

    Args:
        model: any causal language model in eval mode; its own device is used.
        tokenizer: its tokenizer; an answer follows its prompt after one space.
        prompts: texts without the answer and without a space at the end.
        answers: one for each prompt.
        batch_size: prompts per forward pass.

    Returns:
        One row per prompt: right_id, predicted_id (tokens), correct (bool).

    Raises:
        KcError: as :func:`answer_log_probabilities`.
    """
    texts = [f"{prompt} {answer}" for prompt, answer in zip(prompts, answers, strict=True)]
    asked, whole = _split(tokenizer, prompts, texts)
    right = np.array([row[len(begin)] for begin, row in zip(asked, whole, strict=True)], np.int64)
    predicted = next_tokens(model, asked, batch_size)["top_id"].to_numpy()
    table = {"right_id": right, "predicted_id": predicted, "correct": right == predicted}
    return pd.DataFrame(table)


def _split(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], texts: Sequence[str]
) -> tuple[list[list[int]], list[list[int]]]:
    """Token ids of prompts and of the texts that they begin, which must be split at their end."""
    asked = [list(tokenizer(prompt)["input_ids"]) for prompt in prompts]
    whole = [list(tokenizer(text)["input_ids"]) for text in texts]
    for text, begin, row in zip(texts, asked, whole, strict=True):
        if row[: len(begin)] != begin or len(row) == len(begin):
            raise KcError(f"The tokenizer does not split {text!r} where the prompt ends.")
    return asked, whole


def answer_log_probabilities(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    answers: Sequence[str],
    batch_size: int = 64,
) -> np.ndarray:
    """Log-probability (nats) of each whole answer after its prompt, shape [n_prompts].

    What is scored is a space, the answer and a full stop; the sum runs over all of their tokens.

    Args:
        model: any causal language model; its own device is used.
        tokenizer: its tokenizer.
        prompts: texts without the answer and without a space at the end.
        answers: one for each prompt.
        batch_size: prompts per forward pass; texts of like length share one.

    Raises:
        KcError: the model is in training mode, the lists differ in length, or the tokenizer does
            not split a text where its prompt ends.
    """
    refuse_training(model)
    if len(prompts) != len(answers):
        raise KcError(f"{len(prompts)} prompts came with {len(answers)} answers; each needs one.")
    texts = [f"{prompt} {answer}." for prompt, answer in zip(prompts, answers, strict=True)]
    asked, ids = _split(tokenizer, prompts, texts)
    spans = np.array(
        [(i, len(p), len(row)) for i, (p, row) in enumerate(zip(asked, ids, strict=True))]
    )
    return recall(model, ids, spans.reshape(-1, 3), batch_size).log_prob


@torch.inference_mode()
def _log_probabilities(
    model: PreTrainedModel, ids: Sequence[Sequence[int]], places: list[tuple[int, int]]
) -> Float[Tensor, "places vocabulary"]:
    """Next-token log-probabilities at (row, position); padding on the right disturbs nothing."""
    width = max(len(row) for row in ids)
    padded = torch.tensor([[*row, *[0] * (width - len(row))] for row in ids], device=model.device)
    hidden: Tensor = model.base_model(input_ids=padded, use_cache=False).last_hidden_state
    rows, positions = zip(*places, strict=True)
    logits = model.get_output_embeddings()(hidden[list(rows), list(positions)])
    return logits.float().log_softmax(-1).cpu()
