"""Clean and corrupted prompts as tensors, padded on the right.

A causal model never sees what comes after a token, so right padding needs no attention mask: the
logits at the last real token, and every gradient that starts there, ignore it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int
from torch import Tensor

from kc_utils.errors import KcError

TokenIds = Sequence[int] | np.ndarray


@dataclass(frozen=True)
class PairBatch:
    """Pairs of prompts of equal length inside a pair; ``n`` pairs, ``pos`` the longest length.

    ``last`` is the position of the last real token. ``right_ids`` and ``wrong_ids`` are the first
    tokens of the clean and of the corrupted prompt's answer. ``subject_start`` and
    ``subject_stop`` bound the subject's tokens, half open (0 and 0 if unknown).
    """

    clean_ids: Int[Tensor, "n pos"]
    corrupted_ids: Int[Tensor, "n pos"]
    last: Int[Tensor, " n"]
    right_ids: Int[Tensor, " n"]
    wrong_ids: Int[Tensor, " n"]
    subject_start: Int[Tensor, " n"]
    subject_stop: Int[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.last)

    def to(self, device: torch.device | str) -> PairBatch:
        """The same pairs on ``device``."""
        return PairBatch(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    def slice(self, start: int, stop: int) -> PairBatch:
        """Pairs ``start`` to ``stop`` (half open), without the padding that they don't need."""
        part = {f.name: getattr(self, f.name)[start:stop] for f in fields(self)}
        longest = int(part["last"].max()) + 1 if len(part["last"]) else 0
        for name in ("clean_ids", "corrupted_ids"):
            part[name] = part[name][:, :longest]
        return PairBatch(**part)

    @classmethod
    def from_lists(
        cls,
        clean: Sequence[TokenIds],
        corrupted: Sequence[TokenIds],
        right: Sequence[int],
        wrong: Sequence[int],
        subject_start: Sequence[int] | None = None,
        subject_stop: Sequence[int] | None = None,
    ) -> PairBatch:
        """Build a batch from unpadded token ids; KcError names the first pair that is not valid."""
        columns = (clean, corrupted, right, wrong)
        if len({len(column) for column in columns}) != 1 or len(clean) == 0:
            raise KcError(
                "A batch needs one clean prompt, corrupted prompt, right and wrong token per pair, "
                f"not {[len(column) for column in columns]} of them."
            )
        for i, (a, b, r, w) in enumerate(zip(clean, corrupted, right, wrong, strict=True)):
            if len(a) != len(b) or len(a) == 0:
                raise KcError(
                    f"Pair {i}: the clean prompt has {len(a)} tokens and the corrupted one has "
                    f"{len(b)}; both need the same length of at least 1."
                )
            if r == w:
                raise KcError(f"Pair {i}: right and wrong answer share their first token {r}.")
        zeros = [0] * len(clean)
        return cls(
            clean_ids=_pad(clean),
            corrupted_ids=_pad(corrupted),
            last=torch.tensor([len(ids) - 1 for ids in clean]),
            right_ids=torch.tensor([int(i) for i in right]),
            wrong_ids=torch.tensor([int(i) for i in wrong]),
            subject_start=torch.tensor([int(i) for i in subject_start or zeros]),
            subject_stop=torch.tensor([int(i) for i in subject_stop or zeros]),
        )

    @classmethod
    def from_frame(cls, pairs: pd.DataFrame) -> PairBatch:
        """Build a batch from the columns clean_ids, corrupted_ids, right_id, wrong_id,
        subject_start and subject_stop (the last two may be absent)."""
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
