"""Prompts and answers as text, split into the tokens of a prompt and of its answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from kc_utils.errors import KcError, shown

#: Tokens of a prompt, and of each of its answers.
Question = tuple[list[int], list[list[int]]]


def split_texts(
    tokenizer: PreTrainedTokenizerBase,
    prompts: tuple[Sequence[str], Sequence[str]],
    answers: tuple[Sequence[str | Sequence[str]], Sequence[str | Sequence[str]]],
) -> tuple[list[Question], list[Question]]:
    """Clean and corrupted prompts, each with its answers behind it and a blank.

    A blank that the tokenizer keeps apart from all answers of a pair belongs to its prompts.

    Args:
        tokenizer: of the model.
        prompts: clean and corrupted ones.
        answers: to either, one or several to each prompt.

    Raises:
        KcError: lists of unequal length; names the first pair with an empty answer, or one that the
            tokenizer joins with the end of its prompt; something else for the tokenizer or a list
            of texts.
    """
    if not callable(tokenizer):
        raise KcError(f"tokenizer={shown(tokenizer)} is no tokenizer; bridge.tokenizer is one.")
    for texts in prompts:
        if not _are_texts(texts):
            raise KcError(f"{shown(texts)} is not a list of texts.")
    lists = [_lists_of_texts(side) for side in answers]
    for side in lists:
        for i, texts in enumerate(side):
            if empty := [text for text in texts if not text.strip()]:
                raise KcError(f"Pair {i}: an answer is {empty[0]!r}, no text.")
    split: list[list[Question]] = []
    for texts, side in zip(prompts, lists, strict=True):
        if len(texts) != len(side):
            raise KcError(f"There are {len(texts)} prompts and {len(side)} answers.")
        both = enumerate(zip(texts, side, strict=True))
        split.append([_question(tokenizer, i, *question) for i, question in both])
    for (one, right), (other, wrong) in zip(*split, strict=False):
        _move_blanks(tokenizer, (one, other), [*right, *wrong])
    return split[0], split[1]


def _move_blanks(
    tokenizer: PreTrainedTokenizerBase, prompts: tuple[list[int], ...], answers: list[list[int]]
) -> None:
    """Tokens of white space that all answers begin with go to the end of the prompts."""
    while all(len(ids) > 1 for ids in answers) and len({ids[0] for ids in answers}) == 1:
        if tokenizer.decode(answers[0][:1]).strip():
            return  # part of all answers, which is an error of the caller
        for prompt in prompts:
            prompt.append(answers[0][0])
        for ids in answers:
            del ids[0]


def _are_texts(texts: Any) -> bool:
    listed = hasattr(texts, "__len__") and not isinstance(texts, str)
    return listed and all(isinstance(text, str) for text in texts)


def _lists_of_texts(answers: Any) -> list[list[str]]:
    """A list of texts for each prompt, which may have one or several answers."""
    if hasattr(answers, "__len__") and not isinstance(answers, str):
        lists = [[x] if isinstance(x, str) else x for x in answers]
        if all(_are_texts(texts) and len(texts) for texts in lists):
            return [list(texts) for texts in lists]
    raise KcError(f"{shown(answers)} is not a list of texts.")


def _question(
    tokenizer: PreTrainedTokenizerBase, pair: int, prompt: str, answers: list[str]
) -> Question:
    """Tokens of a prompt, and of each answer behind it and a blank; KcError if one spans both."""
    prompt = prompt.rstrip(" ")
    known, found = list(tokenizer(prompt)["input_ids"]), []
    for answer in answers:
        whole = f"{prompt} {answer.lstrip(' ')}"
        ids = list(tokenizer(whole)["input_ids"])
        if ids[: len(known)] != known or len(ids) == len(known):
            raise KcError(
                f"Pair {pair}: the tokenizer does not split {whole!r} where the answer begins."
            )
        found.append(ids[len(known) :])
    return known, found
