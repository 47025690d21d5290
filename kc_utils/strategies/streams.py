"""Endless blocks of texts: pass after pass, each in a seeded order of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from transformers import PreTrainedTokenizerBase

from kc_utils.training.packing import epoch_order, pack_blocks


class Stream:
    """Blocks of some texts in a fixed order that does not depend on how many are taken at once.

    Two strategies that read the same texts with the same seed read the same blocks in the same
    order, though not in the same steps.
    """

    def __init__(
        self, texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, block_size: int, seed: int
    ) -> None:
        self._tokens = tokenizer(list(texts)).input_ids
        self._ids = (tokenizer.eos_token_id, tokenizer.pad_token_id)
        self._block_size, self._seed = block_size, seed
        self._epoch = 0
        empty = np.zeros((0, block_size), np.int32)
        self._ahead = (empty, empty)

    def take(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """The next ``n`` blocks: ``input_ids`` and ``labels``, int32 [n, block_size]."""
        while len(self._ahead[0]) < n:
            order = epoch_order(len(self._tokens), self._seed, self._epoch)
            more = pack_blocks(self._tokens, self._block_size, *self._ids, order)
            self._ahead = tuple(map(np.concatenate, zip(self._ahead, more, strict=True)))
            self._epoch += 1
        taken = tuple(array[:n] for array in self._ahead)
        self._ahead = tuple(array[n:] for array in self._ahead)
        return taken
