"""Clean and corrupted prompts as tensors, padded on the right.

A causal model never sees what comes after a token, so right padding needs no attention mask: the
logits at the last real token, and every gradient that starts there, ignore it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from kc_utils.circuits.answers import Answers, lists_of, padded_sets
from kc_utils.circuits.pair_checks import TokenIds, check_pairs, check_subjects, check_tokens
from kc_utils.circuits.pair_texts import split_texts
from kc_utils.errors import KcError


@dataclass(frozen=True)
class PairBatch:
    """Pairs of prompts of equal length inside a pair; ``n`` pairs, ``pos`` the longest length.

    Whole answers (:meth:`with_answers`) are read at the last k positions; without them only the
    last position is read.

    Args:
        clean_ids: token ids of the clean prompts, padded on the right.
        corrupted_ids: the same of the corrupted prompts.
        last: position of the last real token.
        right_ids: first token of the answer to the clean prompt, or of the first of several.
        wrong_ids: the same of the corrupted prompt; -1 with whole answers.
        subject_start: where the subject's tokens start; 0 if unknown.
        subject_stop: where they end, half open; 0 if unknown.
        answer_ids: tokens that should be predicted at the last k positions, -1 where an answer is
            shorter.
        weight: what a row's metric is multiplied with.
        right_sets: first tokens of all right answers if a pair has several, -1 where others have
            more; the first of them are ``right_ids``.
        wrong_sets: the same of the wrong answers.

    Raises:
        KcError: another number of rows in one of them than in another, or sets of other answers.
    """

    clean_ids: Int[Tensor, "n pos"]
    corrupted_ids: Int[Tensor, "n pos"]
    last: Int[Tensor, " n"]
    right_ids: Int[Tensor, " n"]
    wrong_ids: Int[Tensor, " n"]
    subject_start: Int[Tensor, " n"]
    subject_stop: Int[Tensor, " n"]
    answer_ids: Int[Tensor, "n k"] | None = None
    weight: Float[Tensor, " n"] | None = None
    right_sets: Int[Tensor, "n a"] | None = None
    wrong_sets: Int[Tensor, "n b"] | None = None

    def __post_init__(self) -> None:
        rows = {name: len(x) for name, x in self._tensors().items()}
        if other := [name for name, n in rows.items() if n != rows["last"]]:
            raise KcError(
                f"{other[0]} has {rows[other[0]]} rows and last has {rows['last']}; a batch has "
                "one row per pair in each."
            )
        sides = (
            ("right", self.right_sets, self.right_ids),
            ("wrong", self.wrong_sets, self.wrong_ids),
        )
        for name, sets, first in sides:
            if sets is not None and not torch.equal(sets[:, 0], first):
                raise KcError(f"{name}_ids are not the first answers of {name}_sets.")

    def __len__(self) -> int:
        return len(self.last)

    def to(self, device: torch.device | str) -> PairBatch:
        """The same pairs on ``device``, fit for gradients wherever they were made."""
        moved = {name: x.to(device) for name, x in self._tensors().items()}
        # autograd keeps no tensor that was made in torch.inference_mode
        return PairBatch(**{n: x.clone() if x.is_inference() else x for n, x in moved.items()})

    @property
    def answers(self) -> Answers:
        """The right and the wrong answers of each pair, one or several."""
        ones, sets = (self.right_ids, self.wrong_ids), (self.right_sets, self.wrong_sets)
        return Answers(*(a[:, None] if b is None else b for a, b in zip(ones, sets, strict=True)))

    @property
    def read_at(self) -> Int[Tensor, "n k"]:
        """Positions whose logits are read; the last of them is ``last``."""
        k = 1 if self.answer_ids is None else self.answer_ids.shape[1]
        back = torch.arange(k - 1, -1, -1, device=self.last.device)
        return (self.last[:, None] - back).clamp_min(0)

    def _tensors(self) -> dict[str, Tensor]:
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: x for name, x in found.items() if x is not None}

    def slice(self, start: int, stop: int) -> PairBatch:
        """Pairs ``start`` to ``stop`` (half open), without the padding that they don't need."""
        part = {name: x[start:stop] for name, x in self._tensors().items()}
        longest = int(part["last"].max()) + 1 if len(part["last"]) else 0
        for name in ("clean_ids", "corrupted_ids"):
            part[name] = part[name][:, :longest]
        return PairBatch(**part)

    def repeated(self, times: int) -> PairBatch:
        """All pairs ``times`` times, one copy of the batch after the other."""
        if times == 1:
            return self
        return PairBatch(**{name: torch.cat([x] * times) for name, x in self._tensors().items()})

    @classmethod
    def from_lists(
        cls,
        clean: Sequence[TokenIds],
        corrupted: Sequence[TokenIds],
        right: Sequence[int | TokenIds],
        wrong: Sequence[int | TokenIds],
        subject_start: Sequence[int] | None = None,
        subject_stop: Sequence[int] | None = None,
    ) -> PairBatch:
        """Build a batch from unpadded token ids.

        Args:
            clean: tokens of each clean prompt.
            corrupted: tokens of each corrupted prompt, as many as in its clean one.
            right: first token of the answer to each clean prompt, or a list of them where several
                answers are right.
            wrong: the same for each corrupted prompt.
            subject_start: where the subject's tokens start in each prompt, if that is known.
            subject_stop: where they end, half open.

        Raises:
            KcError: columns of unequal length or of none; names the first pair whose prompts differ
                in length or hold no token, that has a token that is negative or no integer, or
                whose right and wrong answers share a first token.
        """
        columns = (clean, corrupted, right, wrong)
        if len({len(column) for column in columns}) != 1 or len(clean) == 0:
            raise KcError(
                "A batch needs one clean prompt, corrupted prompt, right and wrong token per pair, "
                f"not {[len(column) for column in columns]} of them."
            )
        rights, wrongs = lists_of(right), lists_of(wrong)
        check_pairs(clean, corrupted, rights, wrongs)
        for name, bounds in (("subject_start", subject_start), ("subject_stop", subject_stop)):
            if bounds is not None and len(bounds) != len(clean):
                raise KcError(f"{name} has {len(bounds)} numbers for {len(clean)} pairs.")
        zeros = [0] * len(clean)
        start, stop = (zeros if x is None else x for x in (subject_start, subject_stop))
        check_subjects(clean, start, stop)
        return cls(
            clean_ids=_pad(clean),
            corrupted_ids=_pad(corrupted),
            last=torch.tensor([len(ids) - 1 for ids in clean]),
            right_ids=torch.tensor([int(ids[0]) for ids in rights]),
            wrong_ids=torch.tensor([int(ids[0]) for ids in wrongs]),
            subject_start=torch.tensor([int(i) for i in start]),
            subject_stop=torch.tensor([int(i) for i in stop]),
            right_sets=padded_sets(rights),
            wrong_sets=padded_sets(wrongs),
        )

    @classmethod
    def from_texts(
        cls,
        tokenizer: PreTrainedTokenizerBase,
        clean: Sequence[str],
        corrupted: Sequence[str],
        right: Sequence[str | Sequence[str]],
        wrong: Sequence[str | Sequence[str]],
    ) -> PairBatch:
        """Build a batch from prompts and answers as text, which are joined by one blank.

        A blank at the end of a prompt or in front of an answer is that one. Where the tokenizer
        keeps it apart from both answers, it belongs to the prompts.

        Args:
            tokenizer: of the model.
            clean: clean prompts.
            corrupted: corrupted prompts, each of as many tokens as its clean one.
            right: answers to the clean prompts, of which the first token counts; a list of texts
                for a prompt with several.
            wrong: the same for the corrupted prompts.

        Raises:
            KcError: lists of unequal length; names the first pair whose prompts have unequal
                numbers of tokens, whose right and wrong answers share a first token, or whose
                answer the tokenizer joins with the end of its prompt; something else for the
                tokenizer.
        """
        sides = split_texts(tokenizer, (clean, corrupted), (right, wrong))
        prompts = [[prompt for prompt, _ in side] for side in sides]
        first = [[[ids[0] for ids in answers] for _, answers in side] for side in sides]
        return cls.from_lists(*prompts, *first)

    @classmethod
    def with_answers(
        cls,
        clean: Sequence[TokenIds],
        corrupted: Sequence[TokenIds],
        right: Sequence[TokenIds],
        wrong: Sequence[TokenIds] | None = None,
        subject_start: Sequence[int] | None = None,
        subject_stop: Sequence[int] | None = None,
    ) -> PairBatch:
        """Pairs whose whole answers count, for the metric ``answer_log_prob``.

        Prompts are continued with their answer but for its last token, so that every token of it
        is predicted once. With ``wrong`` each pair becomes two rows, one per answer, whose weights
        2 and -2 make the mean over rows the mean over pairs of log p(right) - log p(wrong).

        Args:
            clean: tokens of each clean prompt.
            corrupted: tokens of each corrupted prompt, as many as in its clean one.
            right: all tokens of the answer to each clean prompt.
            wrong: all tokens of the answer to each corrupted prompt, or None.
            subject_start: where the subject's tokens start in each prompt, if that is known.
            subject_stop: where they end, half open.

        Raises:
            KcError: lists of unequal length; names the first pair whose prompts differ in length,
                with an answer of no token, two equal answers, or a negative token.
        """
        n = len(clean)
        for i, answer in enumerate((*right, *(wrong or ()))):
            check_tokens(i % max(1, len(right)), answer)
        answers = [list(a) for a in (*right, *(wrong or ()))]
        rows = [*range(n), *(range(n) if wrong is not None else ())]
        if len(answers) != len(rows) or len(corrupted) != n:
            raise KcError(
                f"{n} clean prompts need as many corrupted prompts and answers, not "
                f"{len(corrupted)} and {len(right)}{f' and {len(wrong)}' if wrong else ''}."
            )
        for i, answer in zip(rows, answers, strict=True):
            if not answer:
                raise KcError(f"Pair {i}: an answer has no token.")
        for i in range(n if wrong is not None else 0):
            if answers[i] == answers[n + i]:
                raise KcError(f"Pair {i}: right and wrong answer are the same, {answers[i]}.")
        firsts = [answer[0] for answer in answers]
        longest = max(map(len, answers), default=0)
        batch = cls.from_lists(
            [[*clean[i], *answer[:-1]] for i, answer in zip(rows, answers, strict=True)],
            [[*corrupted[i], *answer[:-1]] for i, answer in zip(rows, answers, strict=True)],
            firsts,
            [first + 1 for first in firsts],  # any other token: a row has one answer here
            None if subject_start is None else [subject_start[i] for i in rows],
            None if subject_stop is None else [subject_stop[i] for i in rows],
        )
        padded = [[-1] * (longest - len(answer)) + answer for answer in answers]
        signs = [1.0] * len(rows) if wrong is None else [2.0] * n + [-2.0] * n
        return replace(
            batch,
            wrong_ids=torch.full_like(batch.right_ids, -1),
            answer_ids=torch.tensor(padded),
            weight=torch.tensor(signs),
        )

    @classmethod
    def from_frame(cls, pairs: pd.DataFrame) -> PairBatch:
        """Build a batch from a table, a row per pair.

        Args:
            pairs: columns clean_ids, corrupted_ids, right_id, wrong_id, subject_start and
                subject_stop (the last two may be absent).

        Raises:
            KcError: a column is missing; otherwise as :meth:`from_lists`.
        """
        needed = ("clean_ids", "corrupted_ids", "right_id", "wrong_id")
        if missing := [name for name in needed if name not in pairs.columns]:
            raise KcError(f"The table of pairs has no column {missing[0]!r}.")
        subject = ("subject_start", "subject_stop")
        known = all(name in pairs.columns for name in subject)
        columns: list[Any] = [pairs[name].tolist() for name in needed]
        columns += [pairs[name].tolist() for name in subject] if known else []
        return cls.from_lists(*columns)


def _pad(sequences: Sequence[TokenIds]) -> Int[Tensor, "n pos"]:
    padded = torch.zeros(len(sequences), max(map(len, sequences)), dtype=torch.long)
    for row, ids in zip(padded, sequences, strict=True):
        row[: len(ids)] = torch.tensor([int(i) for i in ids])
    return padded
