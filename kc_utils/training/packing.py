"""Pack tokenised biographies into blocks, and plan every epoch before training starts.

A block starts at a biography's start and holds whole biographies, each followed by the
end-of-text token; the rest is padding that the loss ignores (paper, section 3: no block starts in
the middle of a biography). The order of an epoch is a seeded permutation. Where the next biography
does not fit into the block, the first one that fits among the following ``look_ahead`` takes its
place, so a biography moves by a bounded distance and little room is left empty.

The order of all steps is known beforehand: a killed run goes on by skipping the steps it has done.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np
import torch

from kc_utils.errors import KcError

IGNORED = -100
STREAM = 21  # random stream of the epoch order


def epoch_order(n: int, seed: int, epoch: int) -> np.ndarray:
    """Permutation of ``n`` biographies for ``epoch``; int64 [n], the same for the same seed."""
    return np.random.default_rng([seed, STREAM, epoch]).permutation(n)


def fit_blocks(
    lengths: Sequence[int] | np.ndarray, order: np.ndarray, block_size: int, look_ahead: int = 64
) -> list[list[int]]:
    """Group documents into blocks: first fit among the next ``look_ahead`` of ``order``.

    Args:
        lengths: tokens of each document with its end-of-text token, each at most ``block_size``.
        order: the documents in the order wanted.
        block_size: tokens per block.
        look_ahead: how many waiting documents may be tried for the room that is left.

    Returns:
        The documents of each block; each document is in exactly one block.
    """
    queue = iter(order.tolist())
    waiting = list(islice(queue, max(look_ahead, 1)))
    blocks = []
    while waiting:
        block, room, place = [], block_size, 0
        while place < len(waiting):
            length = lengths[waiting[place]]
            if length > room:
                place += 1
                continue
            block.append(waiting.pop(place))
            room -= length
            waiting.extend(islice(queue, 1))
        blocks.append(block)
    return blocks


def pack_blocks(
    token_lists: Sequence[Sequence[int] | np.ndarray],
    block_size: int,
    eos_id: int,
    pad_id: int,
    order: np.ndarray | None = None,
    look_ahead: int = 64,
) -> tuple[np.ndarray, np.ndarray]:
    """Blocks of whole biographies, as inputs and labels.

    A biography longer than a block (with its end-of-text token) is cut at the block's end.

    Args:
        token_lists: tokens of each biography.
        block_size: tokens per block.
        eos_id: follows every biography.
        pad_id: fills the rest of a block; its label is -100.
        order: which biographies, in which order; all as given when None.
        look_ahead: see :func:`fit_blocks`.

    Returns:
        ``input_ids`` and ``labels``, int32 [n_blocks, block_size].
    """
    documents = _close(token_lists, block_size, eos_id)
    lengths = [len(document) for document in documents]
    order = np.arange(len(documents)) if order is None else order
    blocks = fit_blocks(lengths, order, block_size, look_ahead)
    return _fill([[documents[d] for d in block] for block in blocks], block_size, pad_id)


def _close(
    token_lists: Sequence[Sequence[int] | np.ndarray], block_size: int, eos_id: int
) -> list[np.ndarray]:
    if not len(token_lists):
        raise KcError("There are no texts to pack; at least one is needed.")
    return [np.asarray([*tokens, eos_id][:block_size], np.int32) for tokens in token_lists]


def _fill(
    blocks: Sequence[Sequence[np.ndarray]], block_size: int, pad_id: int
) -> tuple[np.ndarray, np.ndarray]:
    input_ids = np.full((len(blocks), block_size), pad_id, np.int32)
    labels = np.full((len(blocks), block_size), IGNORED, np.int32)
    for row, documents in enumerate(blocks):
        tokens = np.concatenate(documents)
        input_ids[row, : len(tokens)] = tokens
        labels[row, : len(tokens)] = tokens
    return input_ids, labels


@dataclass(frozen=True)
class EpochPlan:
    """All epochs of a training run: which documents share a block, in which order.

    ``documents`` holds each text's tokens with its end-of-text token; ``epochs[e]`` the documents
    of each block of epoch e. Blocks are filled when they are asked for, so the plan stays small.
    """

    documents: tuple[np.ndarray, ...]
    epochs: tuple[tuple[tuple[int, ...], ...], ...]
    block_size: int
    pad_id: int

    def blocks(self, epoch: int, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """``input_ids`` and ``labels``, int32 [stop - start, block_size], of an epoch's blocks."""
        chosen = self.epochs[epoch][start:stop]
        return _fill([[self.documents[d] for d in b] for b in chosen], self.block_size, self.pad_id)

    @property
    def padding_share(self) -> float:
        """Share of all block positions that hold padding."""
        used = sum(len(self.documents[d]) for e in self.epochs for b in e for d in b)
        return 1 - used / (self.block_size * sum(len(e) for e in self.epochs))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the tokens and of their order over all epochs."""
        digest = hashlib.sha256(f"{self.block_size} {self.pad_id}".encode())
        for document in self.documents:
            digest.update(len(document).to_bytes(8, "little") + document.tobytes())
        for epoch in self.epochs:
            digest.update(len(epoch).to_bytes(8, "little"))
            for block in epoch:
                digest.update(np.asarray((len(block), *block), np.int64).tobytes())
        return digest.hexdigest()


def plan_epochs(
    token_lists: Sequence[Sequence[int] | np.ndarray],
    *,
    epochs: int,
    block_size: int,
    eos_id: int,
    pad_id: int,
    seed: int,
    look_ahead: int = 64,
) -> EpochPlan:
    """Plan ``epochs`` passes over all biographies, each with its own seeded order and packing."""
    documents = tuple(_close(token_lists, block_size, eos_id))
    lengths = [len(document) for document in documents]
    orders = (epoch_order(len(documents), seed, epoch) for epoch in range(epochs))
    plans = tuple(
        tuple(tuple(block) for block in fit_blocks(lengths, order, block_size, look_ahead))
        for order in orders
    )
    return EpochPlan(documents, plans, block_size, pad_id)


def plan_changing(
    by_epoch: Sequence[Sequence[Sequence[int] | np.ndarray]],
    *,
    block_size: int,
    eos_id: int,
    pad_id: int,
    seed: int,
    look_ahead: int = 64,
) -> EpochPlan:
    """Like :func:`plan_epochs` for texts that differ from epoch to epoch: one list for each."""
    documents: list[np.ndarray] = []
    plans = []
    for epoch, token_lists in enumerate(by_epoch):
        first, here = len(documents), _close(token_lists, block_size, eos_id)
        order = epoch_order(len(here), seed, epoch)
        blocks = fit_blocks([len(document) for document in here], order, block_size, look_ahead)
        plans.append(tuple(tuple(first + d for d in block) for block in blocks))
        documents += here
    return EpochPlan(tuple(documents), tuple(plans), block_size, pad_id)


class StepDataset(torch.utils.data.Dataset):
    """Micro-batches of a plan: item i belongs to optimiser step ``i // accumulation``.

    A step never spans two epochs. An epoch's blocks are spread evenly over its
    ceil(blocks / (batch_size * accumulation)) steps, so that no step is left with a few
    blocks only; a micro-batch without a block of its own repeats one with no label counted.
    """

    def __init__(self, plan: EpochPlan, batch_size: int, accumulation: int = 1) -> None:
        self.plan = plan
        self.accumulation = accumulation
        self._parts: list[tuple[int, int, int]] = []  # epoch, first block, one past the last
        ends = []
        for epoch, blocks in enumerate(plan.epochs):
            n_steps = -(-len(blocks) // (batch_size * accumulation))
            for step in np.array_split(np.arange(len(blocks)), n_steps):
                for part in np.array_split(step, accumulation):
                    first = int(part[0]) if len(part) else int(step[-1])
                    self._parts.append((epoch, first, first + len(part)))
            ends.append(len(self._parts) // accumulation)
        self.epoch_ends: tuple[int, ...] = tuple(ends)
        """Optimiser steps done when each epoch ends."""

    @property
    def n_steps(self) -> int:
        """Optimiser steps over all epochs."""
        return self.epoch_ends[-1]

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        epoch, first, stop = self._parts[index]
        input_ids, labels = self.plan.blocks(epoch, first, max(stop, first + 1))
        if stop == first:
            labels[:] = IGNORED
        return as_batch(input_ids, labels)


class BlockSteps(torch.utils.data.Dataset):
    """One given batch of blocks per optimiser step: pairs of ``input_ids`` and ``labels``."""

    accumulation = 1

    def __init__(self, steps: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
        self.steps = steps

    @property
    def n_steps(self) -> int:
        """Optimiser steps."""
        return len(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return as_batch(*self.steps[index])


def as_batch(input_ids: np.ndarray, labels: np.ndarray) -> dict[str, torch.Tensor]:
    """Tensors of a batch, cut after its longest block (right padding reaches no real token).

    The first label is never predicted, so it is set to -100.
    """
    used = np.flatnonzero((labels != IGNORED).any(axis=0))
    stop = int(used[-1]) + 1 if len(used) else 2
    targets = torch.from_numpy(labels[:, :stop].astype(np.int64))
    targets[:, 0] = IGNORED
    return {
        "input_ids": torch.from_numpy(input_ids[:, :stop].astype(np.int64)),
        "labels": targets,
    }
