"""Inject texts into training at given steps while everything else about the steps stays the same.

Every step has the same number of blocks. Its injected texts come first, and background texts fill
the room that they leave, so the blocks are as full as those of ordinary training; an injected text
displaces background texts of the same length and nothing else. Background texts that a step has no
room for come first in the next one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice

import numpy as np

from kc_utils.errors import KcError
from kc_utils.training.packing import BlockSteps, epoch_order, fit_blocks, pack_blocks

Tokens = Sequence[int]
STREAM = 91  # random stream of the order of a step's injected texts


@dataclass(frozen=True)
class Background:
    """Texts that training goes on with, pass after pass, each in its own seeded order.

    ``batch_size`` blocks of ``block_size`` tokens make a step; ``eos_id`` and ``pad_id`` as in
    :func:`~kc_utils.training.packing.pack_blocks`.
    """

    texts: Sequence[Tokens]
    batch_size: int
    block_size: int
    eos_id: int
    pad_id: int
    seed: int

    def stream(self) -> Iterator[Tokens]:
        """All texts, without end."""
        for epoch in count():
            for index in epoch_order(len(self.texts), self.seed, epoch):
                yield self.texts[index]


def inject(
    background: Background, injected: Mapping[int, Sequence[Tokens]], n_steps: int
) -> BlockSteps:
    """Batches of ``n_steps`` steps; step i (from 0) holds the texts of ``injected[i]`` once each.

    Raises:
        KcError: there is no background text, or a step's injected texts do not fit into its blocks.
    """
    if not len(background.texts):
        raise KcError("There are no background texts to train on; at least one is needed.")
    stream, waiting, steps = background.stream(), [], []
    for step in range(n_steps):
        rng = np.random.default_rng([background.seed, STREAM, step])
        wanted = injected.get(step, ())
        mine = [wanted[i] for i in rng.permutation(len(wanted))]
        blocks, waiting = _blocks(background, step, mine, waiting, stream)
        packed = [
            pack_blocks(block, background.block_size, background.eos_id, background.pad_id)
            for block in blocks
        ]
        steps.append(tuple(np.concatenate(arrays) for arrays in zip(*packed, strict=True)))
    return BlockSteps(steps)


def _blocks(
    background: Background,
    step: int,
    mine: list[Tokens],
    waiting: list[Tokens],
    stream: Iterator[Tokens],
) -> tuple[list[list[Tokens]], list[Tokens]]:
    """The texts of each block of a step, and the background texts that are left for the next."""
    room = background.batch_size * background.block_size
    texts = [*mine, *waiting]
    lengths = [_length(background, text) for text in texts]
    while sum(lengths) < 2 * room:  # more than fits, so that the last block can be filled too
        more = list(islice(stream, 32))
        texts += more
        lengths += [_length(background, text) for text in more]
    found = fit_blocks(lengths, np.arange(len(texts)), background.block_size)
    found = found[: background.batch_size]
    used = {index for block in found for index in block}
    if not used.issuperset(range(len(mine))):
        raise KcError(
            f"The {len(mine)} texts injected at step {step} do not fit into "
            f"{background.batch_size} blocks of {background.block_size} tokens; inject fewer texts "
            "in a step or raise the batch size."
        )
    left = [texts[i] for i in range(len(mine), len(texts)) if i not in used]
    return [[texts[i] for i in block] for block in found], left


def _length(background: Background, text: Tokens) -> int:
    """Tokens with the end-of-text token, as they are packed."""
    return min(len(text) + 1, background.block_size)
