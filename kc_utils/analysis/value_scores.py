"""What a model says of every value of a relation, and how far that is above what it says of others.

A value is scored by the probability of its first token right after the prompt, renormalised over
the values of the relation; their first tokens have to differ. Its *lift* for a person is

    log p(value | prompt of the person) - mean over people of log p(value | their prompts)

so that a model that gives everybody the commonest value lifts nothing. Not implemented: values of
which later tokens matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kc_utils.errors import KcError
from kc_utils.training.answers import token_log_probabilities

#: Lifts that differ by less (nats) tie; rounding must not decide.
TIE = 1e-4


@dataclass(frozen=True)
class ValueScores:
    """What a model says of every value of one relation.

    ``log_prob``: nats, by wording, name and value; over the values, probabilities sum to 1.
    """

    wordings: tuple[str, ...]
    names: tuple[str, ...]
    values: tuple[str, ...]
    log_prob: Float[np.ndarray, "wordings names values"]


def score_values(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    names: Sequence[str],
    facts: pd.DataFrame,
    wordings: Mapping[str, Sequence[str]],
    batch_size: int = 64,
) -> dict[str, ValueScores]:
    """Ask about every name in every wording; the values of a relation are those in ``facts``.

    Args:
        model: any causal language model in eval mode; its own device is used.
        tokenizer: its tokenizer; a value follows its prompt after one space.
        names: who is asked about.
        facts: a column of values for each relation of ``wordings``.
        wordings: prompts with ``{name}`` per relation.
        batch_size: prompts per forward pass.

    Raises:
        KcError: nobody is asked about, a relation has fewer than two values, or two values of one
            begin with the same token.
    """
    if not len(names):
        raise KcError("0 people are asked about; at least 1 is needed.")
    scores = {}
    for relation, texts in wordings.items():
        values = tuple(sorted(set(facts[relation])))
        tokens = _first_tokens(tokenizer, relation, values)
        prompts = [text.replace("{name}", name) for text in texts for name in names]
        ids = [list(tokenizer(prompt)["input_ids"]) for prompt in prompts]
        logs = token_log_probabilities(model, ids, tokens, batch_size)
        logs = logs - np.logaddexp.reduce(logs, axis=1, keepdims=True)
        shaped = logs.reshape(len(texts), len(names), len(values))
        scores[relation] = ValueScores(tuple(texts), tuple(names), values, shaped)
    return scores


def _first_tokens(
    tokenizer: PreTrainedTokenizerBase, relation: str, values: Sequence[str]
) -> list[int]:
    if len(values) < 2:
        raise KcError(f"The facts hold {len(values)} value of {relation!r}; at least 2 are needed.")
    owner: dict[int, str] = {}
    for value in values:
        first = tokenizer(f" {value}", add_special_tokens=False)["input_ids"][0]
        if first in owner:
            raise KcError(
                f"{owner[first]!r} and {value!r} begin with the same token; the values of "
                f"{relation!r} must begin with different ones."
            )
        owner[first] = value
    return list(owner)


def lifts(asked: ValueScores, people: ValueScores) -> Float[np.ndarray, "wordings names values"]:
    """Log-probabilities (nats) above the mean over ``people``, who were asked the same."""
    return asked.log_prob - people.log_prob.mean(1, keepdims=True)


def picked_values(
    lift: Float[np.ndarray, "wordings names values"], margin: float = TIE
) -> Int[np.ndarray, "wordings names"]:
    """Place of the value of highest lift, -1 if another one comes as near as ``margin`` (nats)."""
    top = np.sort(lift, axis=-1)
    return np.where(top[..., -1] - top[..., -2] > margin, lift.argmax(-1), -1)
