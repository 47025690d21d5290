"""Is a fact known? First-token accuracy inside biographies, and answers to queries.

First-token accuracy (paper, section 3): at the token before an attribute's value, is the most
likely next token the value's first one? Query accuracy: does the greedy continuation of a prompt
start with the whole answer? Each has its chance level: the best guess that ignores the person.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kc_utils.config import ATTRIBUTES
from kc_utils.errors import KcError
from kc_utils.kernels.hooks import Hooks
from kc_utils.kernels.last_mlp import find_last_mlp, run_only_at
from kc_utils.training.answers import equal_length, like_length, refuse_training

KEPT = ("person_id", "kind", "band", "wording")


def first_token_accuracy(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    validation: pd.DataFrame,
    batch_size: int = 64,
) -> pd.DataFrame:
    """First-token accuracy of every attribute in every biography.

    Args:
        model: any causal language model; its own device is used.
        tokenizer: a fast one (offsets are needed).
        validation: one biography a row: ``text``, ``<attribute>_start`` (character offset of
            the value; attributes without such a column are left out, a negative offset too),
            and those of person_id, kind, band, wording that exist.
        batch_size: biographies per forward pass; rows of like length share one.

    Returns:
        One row per biography and attribute, biographies in their order: the kept columns,
        attribute, right_id, predicted_id (token ids), correct (bool).

    Raises:
        KcError: no attribute column, an offset outside the text or at its very start, or a model in
            training mode.
    """
    return FirstTokens.find(tokenizer, validation).accuracy(model, batch_size)


@dataclass(frozen=True, eq=False)
class FirstTokens:
    """Tokenised biographies and where in them values begin, to ask several models.

    ``tokens``: index of the token that holds the first character of each attribute's value, -1 for
    an attribute that is absent. ``kept``: the columns that answers carry on.
    """

    ids: list[list[int]]
    tokens: Int[np.ndarray, "biographies attributes"]
    attributes: list[str]
    kept: pd.DataFrame

    @classmethod
    def find(cls, tokenizer: PreTrainedTokenizerBase, validation: pd.DataFrame) -> FirstTokens:
        """Tokenise ``validation``; arguments and errors are those of first_token_accuracy."""
        attributes = [a for a in ATTRIBUTES if f"{a}_start" in validation.columns]
        if not attributes or "text" not in validation.columns:
            raise KcError(
                f"validation has the columns {list(validation.columns)}, but text and at least one "
                f"of {', '.join(f'{a}_start' for a in ATTRIBUTES)} are needed."
            )
        texts = validation["text"].tolist()
        encoded = tokenizer(texts, return_offsets_mapping=True)
        starts = validation[[f"{a}_start" for a in attributes]].to_numpy()
        tokens = np.array(
            [
                [_token_at(offsets, int(start), text) for start in row]
                for offsets, row, text in zip(encoded["offset_mapping"], starts, texts, strict=True)
            ]
        ).reshape(len(texts), len(attributes))
        kept = validation[[c for c in KEPT if c in validation.columns]]
        return cls([list(row) for row in encoded["input_ids"]], tokens, attributes, kept)

    def accuracy(self, model: PreTrainedModel, batch_size: int = 64) -> pd.DataFrame:
        """What :func:`first_token_accuracy` returns."""
        refuse_training(model)
        predicted = np.full(self.tokens.shape, -1, np.int64)
        # What follows the token before the last value changes no answer, so it is left out.
        lengths = self.tokens.max(axis=1, initial=1)
        for rows in like_length(lengths, batch_size):
            row, column = np.nonzero(self.tokens[rows] >= 0)
            positions = self.tokens[rows][row, column] - 1
            best = _best_tokens(model, [self.ids[i][: lengths[i]] for i in rows], row, positions)
            predicted[np.asarray(rows)[row], column] = best
        row, column = np.nonzero(self.tokens >= 0)
        table = self.kept.iloc[row].reset_index(drop=True)
        table["attribute"] = [self.attributes[c] for c in column]
        table["right_id"] = np.array(
            [self.ids[r][self.tokens[r, c]] for r, c in zip(row, column, strict=True)], np.int64
        )
        table["predicted_id"] = predicted[row, column]
        table["correct"] = table["right_id"] == table["predicted_id"]
        return table


def _token_at(offsets: Sequence[tuple[int, int]], start: int, text: str) -> int:
    """Index of the token that holds character ``start``; -1 for an attribute that is absent."""
    if start < 0:
        return -1
    for index, (begin, end) in enumerate(offsets):
        if begin <= start < end:
            if index == 0:
                break
            return index
    raise KcError(f"The value at character {start} has no token before it in {text[:60]!r}.")


@torch.inference_mode()
def _best_tokens(
    model: PreTrainedModel, ids: list[list[int]], rows: np.ndarray, positions: np.ndarray
) -> np.ndarray:
    """Most likely next token at (row, position); only these positions are unembedded."""
    width = max(len(row) for row in ids)
    padded = torch.tensor([row + [0] * (width - len(row)) for row in ids], device=model.device)
    row, position = (torch.as_tensor(x, device=model.device) for x in (rows, positions))
    with Hooks() as hooks:
        if (mlp := find_last_mlp(model)) is not None:
            run_only_at(hooks, mlp, row, position)
        hidden: Tensor = model.base_model(input_ids=padded, use_cache=False).last_hidden_state
    return _unembed(model, hidden[row, position]).argmax(-1).cpu().numpy()


def _unembed(model: PreTrainedModel, hidden: Tensor) -> Tensor:
    return model.get_output_embeddings()(hidden)


def generate_answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Iterable[str],
    answers: Iterable[str],
    batch_size: int = 64,
    max_new_tokens: int | None = None,
) -> pd.DataFrame:
    """Greedy continuation of every prompt, compared with the whole answer.

    Prompts of equal length share a batch, so nothing is padded.

    Args:
        model: any causal language model.
        tokenizer: its tokenizer; an answer follows its prompt after one space.
        prompts: texts without the answer and without a space at the end.
        answers: the right answers.
        batch_size: prompts per batch.
        max_new_tokens: of the continuation; the longest answer of the batch and one more when
            None.

    Returns:
        prompt, answer, prediction (text, without the space in front), correct (bool: the
        prediction starts with the answer, and the answer ends there or at the end of a word).

    Raises:
        KcError: the lists differ in length, or the model is in training mode.
    """
    refuse_training(model)
    prompts, answers = list(prompts), list(answers)
    if len(prompts) != len(answers):
        raise KcError(f"{len(prompts)} prompts came with {len(answers)} answers; each needs one.")
    predictions = [""] * len(prompts)
    ids = [list(tokenizer(p)["input_ids"]) for p in prompts]
    needed = [len(tokenizer(f" {a}", add_special_tokens=False)["input_ids"]) + 1 for a in answers]
    for rows in equal_length([len(row) for row in ids], batch_size):
        limit = max_new_tokens or max(needed[i] for i in rows)
        continued = _continue(model, tokenizer, [ids[i] for i in rows], limit)
        for i, text in zip(rows, continued, strict=True):
            predictions[i] = text.removeprefix(" ")
    correct = [_starts_with(p, a) for p, a in zip(predictions, answers, strict=True)]
    return pd.DataFrame(
        {
            "prompt": prompts,
            "answer": answers,
            "prediction": predictions,
            "correct": np.array(correct, bool),
        }
    )


@torch.inference_mode()
def _continue(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    ids: list[list[int]],
    max_new_tokens: int,
) -> list[str]:
    """Greedy continuations (texts) of prompts of equal length, cut at the end-of-text token."""
    current = torch.tensor(ids, device=model.device)
    cache, produced = None, []
    for _ in range(max_new_tokens):
        output = model.base_model(input_ids=current, past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        current = _unembed(model, output.last_hidden_state[:, -1]).argmax(-1, keepdim=True)
        produced.append(current)
    rows = torch.cat(produced, 1).tolist()
    end = tokenizer.eos_token_id
    return [tokenizer.decode(r[: r.index(end)] if end in r else r) for r in rows]


def _starts_with(prediction: str, answer: str) -> bool:
    rest = prediction.removeprefix(answer)
    return prediction.startswith(answer) and not (rest[:1].isalnum() and answer[-1:].isalnum())
