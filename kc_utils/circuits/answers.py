"""The right and the wrong answers of pairs, one of each or several, and what is read off at them.

Several answers are right where a prompt leaves a choice: any later year, either spelling. A logit
difference then is the difference of mean logits, and a difference of probabilities that of sums;
the rank is that of the right answer with the largest logit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Answers:
    """First tokens of the answers of n pairs; -1 where a pair has fewer than others.

    Args:
        right: answers to the clean prompts.
        wrong: answers to the corrupted prompts.
    """

    right: Int[Tensor, "n a"]
    wrong: Int[Tensor, "n b"]

    def to(self, device: torch.device | str) -> Answers:
        """The same on ``device``."""
        return Answers(self.right.to(device), self.wrong.to(device))

    def same_as(self, other: Answers) -> bool:
        """Whether all pairs of ``other`` have these answers, on any device."""
        sides = ((self.right, other.right), (self.wrong, other.wrong))
        return all(torch.equal(a.cpu(), b.cpu()) for a, b in sides)

    def shared(self) -> Bool[Tensor, "n a"]:
        """Which right answers are wrong ones of their pair, too."""
        same = self.right[:, :, None] == self.wrong[:, None, :]
        return (same & (self.right >= 0)[:, :, None]).any(-1)

    def logit_diff(self, logits: Float[Tensor, "n vocab"]) -> Float[Tensor, " n"]:
        """Mean logit of the right answers minus that of the wrong ones, per pair."""
        right, wrong = (mean_at(logits.gather(1, x.clamp_min(0)), x) for x in self._sides)
        return right - wrong

    def prob_diff(self, logits: Float[Tensor, "n vocab"]) -> Float[Tensor, " n"]:
        """Probability of a right answer minus that of a wrong one, per pair."""
        p = logits.softmax(-1)
        right, wrong = (_sum_at(p.gather(1, x.clamp_min(0)), x) for x in self._sides)
        return right - wrong

    def directions(
        self, rows: Float[Tensor, "vocab ..."]
    ) -> tuple[Float[Tensor, "n ..."], Float[Tensor, "n ..."]]:
        """Mean row of the right answers and of the wrong ones, per pair."""
        right, wrong = (mean_at(rows[x.clamp_min(0)], x) for x in self._sides)
        return right, wrong

    def rank(self, logits: Float[Tensor, "n vocab"]) -> Float[Tensor, " n"]:
        """Logits larger than those of all right answers, plus half of those that equal the largest.

        0 is the top. So ties do not help: where all logits are equal, an answer has the middle
        rank, as if one drew. Logits that are no numbers count as ties.
        """
        own = logits.gather(1, self.right.clamp_min(0))
        return place_of(logits, own.masked_fill(self.right < 0, -torch.inf).amax(1, keepdim=True))

    @property
    def _sides(self) -> tuple[Int[Tensor, "n a"], Int[Tensor, "n b"]]:
        return self.right, self.wrong


def place_of(logits: Float[Tensor, "n vocab"], own: Float[Tensor, "n 1"]) -> Float[Tensor, " n"]:
    """How many logits are larger than ``own``, one of them, plus half of the others equal to it."""
    larger, not_smaller = (logits > own).sum(1), (~(logits < own)).sum(1)
    return (larger + not_smaller - 1) / 2  # not_smaller counts the logit itself


def mean_at(values: Float[Tensor, "n a ..."], ids: Int[Tensor, "n a"]) -> Float[Tensor, "n ..."]:
    """Mean of ``values`` over the answers that a pair has; of one answer, that value to the bit."""
    n = (ids >= 0).sum(1).clamp_min(1)
    return _sum_at(values, ids) / n.reshape(-1, *[1] * (values.dim() - 2))


def _sum_at(values: Float[Tensor, "n a ..."], ids: Int[Tensor, "n a"]) -> Float[Tensor, "n ..."]:
    """Sum of ``values`` over the answers that a pair has."""
    known = (ids >= 0).reshape(*ids.shape, *[1] * (values.dim() - 2))
    return values.where(known, torch.zeros_like(values[:1, :1])).sum(1)


def lists_of(answers: Sequence[int | Sequence[int] | np.ndarray]) -> list[list[Any]]:
    """A list of ``answers`` for each pair, which has one or several; nothing is checked."""
    plain = (x.tolist() if hasattr(x, "tolist") else x for x in answers)
    return [list(x) if isinstance(x, list | tuple) else [x] for x in plain]


def padded_sets(lists: Sequence[Sequence[int]]) -> Int[Tensor, "n a"] | None:
    """Different answers behind each other, padded with -1; None where every pair has one."""
    different = [list(dict.fromkeys(map(int, ids))) for ids in lists]
    most = max(map(len, different), default=1)
    if most <= 1:
        return None
    return torch.tensor([ids + [-1] * (most - len(ids)) for ids in different])
