"""Tasks of pairs in the format of MIB's circuit track: made here, read from a file, made a batch.

A task is a JSON Lines file with a row per question, as the data sets ``mib-bench/ioi`` and
``mib-bench/arithmetic_addition`` have them (Mueller et al. 2025, arXiv 2504.13151): ``prompt``, the
answer (``choices`` and ``answerKey``, or ``label``), and one or more counterfactuals, each a
``..._counterfactual`` with a prompt and an answer of its own. The rows made here are drawn from
names, places and numbers of this module, not taken from these data sets.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from kc_utils import artifacts
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.errors import KcError, shown

Row = dict[str, Any]
SUFFIX = "_counterfactual"

_NAMES = (
    "Adam Alex Alice Amy Anna Ben Bob Carl Clara Dan David Emma Eric Eva Frank George Henry Jack "
    "James Jane Jason John Kate Laura Lisa Mark Martin Mary Michael Paul Peter Rachel Robert Rose "
    "Sam Sarah Scott Simon Steven Thomas Tom William"
).split()
_PLACES = "school store station office garden library restaurant hospital".split()
_OBJECTS = "book drink ring ball letter key computer basket".split()
_IOI = (
    "When {a} and {b} went to the {place}, {s} gave a {object} to",
    "After {a} and {b} left the {place}, {s} handed a {object} to",
    "While {a} and {b} were at the {place}, {s} wanted to give a {object} to",
)
_ADDITION = "2 + 3 = 5, 7 + 1 = 8, 4 + 2 = 6, {x} + {y} ="
_LARGEST = 9  # one digit is one token in every tokenizer that splits numbers into digits


def ioi(n: int, seed: int) -> list[Row]:
    """Indirect objects: who gets it is the one of two people who does not give.

    Counterfactuals: ``s2_io_flip_counterfactual``, in which the other one gives, and
    ``abc_counterfactual``, in which none of three people is named twice.
    """
    rng = np.random.default_rng([seed, 5])
    rows = []
    for _ in range(n):
        subject, io, *others = rng.permutation(_NAMES)[:5].tolist()
        setting = {"place": str(rng.choice(_PLACES)), "object": str(rng.choice(_OBJECTS))}
        ask = partial(_ioi_question, str(rng.choice(_IOI)), setting)
        two = (subject, io) if rng.integers(2) else (io, subject)
        row = ask(two, subject, io)
        row[f"s2_io_flip{SUFFIX}"] = ask(two, io, subject)
        row[f"abc{SUFFIX}"] = ask(others[:2], others[2], io)
        rows.append(row)
    return rows


def _ioi_question(
    template: str, setting: dict[str, str], two: Sequence[str], giver: str, io: str
) -> Row:
    return {
        "prompt": template.format(a=two[0], b=two[1], s=giver, **setting),
        "template": template,
        "choices": [giver, io],
        "answerKey": 1,
        "metadata": {"subject": giver, "indirect_object": io, **setting},
    }


def addition(n: int, seed: int) -> list[Row]:
    """Sums of one digit, behind three examples; ``random_counterfactual`` asks for another sum."""
    rng = np.random.default_rng([seed, 6])
    sums = [(x, y) for x in range(1, 10) for y in range(1, 10) if x + y <= _LARGEST]
    rows = []
    for _ in range(n):
        first = sums[rng.integers(len(sums))]
        others = [pair for pair in sums if sum(pair) != sum(first)]
        second = others[rng.integers(len(others))]
        row, other = (
            {
                "prompt": _ADDITION.format(x=x, y=y),
                "label": str(x + y),
                "operand1": x,
                "operand2": y,
            }
            for x, y in (first, second)
        )
        rows.append(
            row
            | {
                "template": _ADDITION,
                "operator": "+",
                "num_digit": 1,
                f"random{SUFFIX}": other,
            }
        )
    return rows


#: What makes the rows of a task, and the counterfactual that MIB's circuit track takes.
TASKS: dict[str, tuple[Callable[[int, int], list[Row]], str]] = {
    "ioi": (ioi, f"s2_io_flip{SUFFIX}"),
    "addition": (addition, f"random{SUFFIX}"),
}


def task_rows(name: str, n: int, seed: int) -> list[Row]:
    """``n`` rows of a task of this module, the same for a seed; KcError for another name."""
    if name not in TASKS:
        raise KcError(f"{shown(name)} is not a task; allowed are {', '.join(TASKS)}.")
    return TASKS[name][0](n, seed)


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write a task as JSON Lines."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    artifacts.write_atomically(path, lambda partial_file: partial_file.write_text(text, "utf-8"))


def read_rows(path: Path) -> list[Row]:
    """Read a task; KcError names the first line that is not a question with an answer."""
    if not path.is_file():
        raise KcError(f"There is no file {shown(str(path))} to read a task from.")
    rows = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise KcError(f"{path} is not a text file of JSON lines.") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            _answer(row)
            _check_counterfactuals(row)
        except (ValueError, RecursionError, KcError) as error:
            raise KcError(f"{path}, line {number} is no question of a task: {error}") from None
        rows.append(row)
    if not rows:
        raise KcError(f"{path} holds no question.")
    return rows


def counterfactuals(rows: Sequence[Row]) -> list[str]:
    """Names of the counterfactuals that every row has, in the order of the first."""
    return [
        name
        for name in rows[0]
        if name.endswith(SUFFIX) and all(isinstance(row.get(name), dict) for row in rows)
    ]


def pairs_of(
    rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase, counterfactual: str | None = None
) -> tuple[PairBatch, int]:
    """Pairs of a task: the question, its counterfactual, and the first token of either answer.

    Answers are joined to their prompts by a blank, unless the prompt ends in one. Tokens that both
    answers begin with (some tokenizers keep the blank apart) belong to the prompt. As MIB does, the
    wrong answer is the other choice of the question, where it has choices, and else what the
    counterfactual asks for.

    Args:
        rows: see :func:`read_rows`.
        tokenizer: that of the model.
        counterfactual: which one, with ``_counterfactual``; None is the only one, or else the one
            that MIB's circuit track takes.

    Returns:
        The pairs, and how many rows were left out because their prompts have unequal numbers of
        tokens or their answers the same first token.

    Raises:
        KcError: a counterfactual that not every row has, or no row that can be used.
    """
    if not rows:
        raise KcError("There is no row to make pairs of; at least 1 is needed.")
    there = counterfactuals(rows)
    if counterfactual is None:
        usual = [name for _, name in TASKS.values() if name in there]
        if not usual and len(there) != 1:
            if not there:
                raise KcError(f"The rows share no counterfactual, a key that ends in {SUFFIX}.")
            raise KcError(f"Rows have {len(there)} counterfactuals ({', '.join(there)}); name one.")
        counterfactual = (usual or there)[0]
    elif counterfactual not in there:
        raise KcError(
            f"Not every row has a {shown(counterfactual)}; allowed are {', '.join(there)}."
        )
    columns: tuple[list, ...] = ([], [], [], [])
    for row in rows:
        other = row[counterfactual]
        wrong = _other_choice(row) if "choices" in row else _answer(other)
        pair = _tokens(tokenizer, row["prompt"], other["prompt"], _answer(row), wrong)
        if pair is not None:
            for column, value in zip(columns, pair, strict=True):
                column.append(value)
    if not columns[0]:
        raise KcError(
            f"None of {len(rows)} rows has two prompts of one length and answers that differ in "
            "their first token."
        )
    return PairBatch.from_lists(*columns), len(rows) - len(columns[0])


def _check_counterfactuals(row: Row) -> None:
    """KcError for a counterfactual without a prompt."""
    for name, other in row.items():
        if name.endswith(SUFFIX) and isinstance(other, dict):
            if not isinstance(other.get("prompt"), str):
                raise KcError(f"its {shown(name)} has no prompt.")


def _answer(row: Any) -> str:
    """The right answer of a row or counterfactual; KcError if it has none."""
    if not isinstance(row, dict) or not isinstance(row.get("prompt"), str):
        raise KcError("it has no prompt.")
    if "choices" in row:
        choices = row["choices"]
        key = row.get("answerKey")
        named = isinstance(choices, list) and all(isinstance(c, str) for c in choices)
        if not named or type(key) is not int or not 0 <= key < len(choices) or len(choices) < 2:
            raise KcError("it needs two or more choices and an answerKey that counts them from 0.")
        return choices[key]
    if not isinstance(row.get("label"), str | int) or isinstance(row["label"], bool):
        raise KcError("it has neither choices nor a label.")
    return str(row["label"])


def _other_choice(row: Row) -> str:
    return next(c for i, c in enumerate(row["choices"]) if i != row["answerKey"])


def _tokens(
    tokenizer: PreTrainedTokenizerBase, clean: str, other: str, right: str, wrong: str
) -> tuple[list[int], list[int], int, int] | None:
    """Clean and corrupted prompt, right and wrong token, or None if they do not make a pair."""
    start = _ids(tokenizer, clean)
    answers = [_ids(tokenizer, _joined(clean, answer)) for answer in (right, wrong)]
    at = next((i for i, (r, w) in enumerate(zip(*answers, strict=False)) if r != w), None)
    if at is None or at < len(start) or answers[0][: len(start)] != start:
        return None
    shared = answers[0][len(start) : at]
    corrupted = _ids(tokenizer, other) + shared
    if len(corrupted) != at:
        return None
    return answers[0][:at], corrupted, answers[0][at], answers[1][at]


def _joined(prompt: str, answer: str) -> str:
    return f"{prompt}{answer}" if prompt.endswith(" ") else f"{prompt} {answer}"


def _ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return list(tokenizer(text)["input_ids"])
