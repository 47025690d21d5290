"""Batches that are decided while training goes on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from kc_utils.errors import KcError
from kc_utils.strategies.plans import TEXTS, Plan
from kc_utils.strategies.streams import Stream
from kc_utils.training.packing import IGNORED, BlockSteps, as_batch


class OnlineSteps(BlockSteps):
    """One batch per optimiser step; a plan is asked for its blocks when the batch is drawn."""

    def __init__(self, plan: Plan, streams: Mapping[str, Stream], n_steps: int) -> None:
        super().__init__(())
        self._plan, self._streams, self._n_steps = plan, streams, n_steps
        self._drawn: list[tuple[int, ...]] = []
        self.text_tokens = 0
        """Tokens of text, without padding, in the batches drawn so far."""

    @property
    def n_steps(self) -> int:
        """Optimiser steps."""
        return self._n_steps

    def __len__(self) -> int:
        return self._n_steps

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """Draw the next batch.

        Raises:
            KcError: if it is not the next one: a batch depends on those before it.
        """
        if index != len(self._drawn):
            raise KcError(f"Step {index} was asked for, but step {len(self._drawn)} comes next.")
        counts = self._plan.counts(index)
        self._drawn.append(tuple(counts.get(kind, 0) for kind in TEXTS))
        parts = [self._streams[kind].take(counts[kind]) for kind in TEXTS if counts.get(kind)]
        input_ids, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        self.text_tokens += int((labels != IGNORED).sum())
        return as_batch(input_ids, labels)

    def blocks(self, step: int) -> dict[str, int]:
        """Blocks of each kind of text that were read in the first ``step`` steps."""
        totals = np.reshape(self._drawn[:step], (-1, len(TEXTS))).sum(axis=0)
        return dict(zip(TEXTS, map(int, totals), strict=True))
