"""How sure is a model of an answer? The next token's distribution, and whole answers' probability.

The two are different questions: a model can be sure of a first token and wrong, and it holds a fact
only as far as it gives the whole value a probability. An answer is taken to end with the full stop
of its sentence, so that a value counts only if the model also knows that it ends there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kc_utils.errors import KcError
from kc_utils.training.batches import like_length, refuse_training
from kc_utils.training.recall import recall


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
    if not all(len(prompt) for prompt in prompts):
        raise KcError("A prompt has 0 tokens, and at least 1 is needed.")
    entropy, probability = np.zeros(len(prompts)), np.zeros(len(prompts))
    top = np.zeros(len(prompts), np.int64)
    for rows in like_length([len(prompt) for prompt in prompts], batch_size):
        ends = [(i, len(prompts[row]) - 1) for i, row in enumerate(rows)]
        logs = _log_probabilities(model, [prompts[row] for row in rows], ends)
        entropy[rows] = -torch.special.xlogy(logs.exp(), logs.exp()).sum(-1).numpy()
        best = logs.max(-1)
        probability[rows], top[rows] = best.values.exp().numpy(), best.indices.numpy()
    return pd.DataFrame({"entropy": entropy, "top_id": top, "top_probability": probability})


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
    asked = [list(tokenizer(prompt)["input_ids"]) for prompt in prompts]
    starts, ids = [len(row) for row in asked], [list(tokenizer(t)["input_ids"]) for t in texts]
    for text, begin, row in zip(texts, asked, ids, strict=True):
        if row[: len(begin)] != begin or len(row) == len(begin):
            raise KcError(f"The tokenizer does not split {text!r} where the prompt ends.")
    spans = np.array([(i, n, len(row)) for i, (n, row) in enumerate(zip(starts, ids, strict=True))])
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
