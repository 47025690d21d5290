"""What a reader gets over an edge that is not kept, for each ablation.

A reader's input is ``constant + sum over kept edges of change``: the constant is what it would read
if no edge were kept, and a writer's change is its output in this run minus its replacement. So the
replacements themselves are summed once, or never.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from kc_utils.circuits.adapter import Adapter
from kc_utils.circuits.written import Written


class Baseline(ABC):
    """Constants of the readers and changes of the writers of one run."""

    @abstractmethod
    def start(self, positions: Float[Tensor, "batch pos d_model"]) -> None:
        """Take what is in the first residual stream beside the embedding."""

    @abstractmethod
    def constant(self, stream: int) -> Float[Tensor, "batch pos d_model"]:
        """Input without any kept edge, at the ``stream``-th place in ``Written.streams``."""

    @abstractmethod
    def subtract(self, row: int, output: Tensor, out: Tensor) -> None:
        """Put the change of the embedding (row 0) or of an MLP into ``out``."""

    @abstractmethod
    def head_change(
        self, layer: int, z: Float[Tensor, "batch pos n_heads d_head"]
    ) -> Float[Tensor, "batch pos n_heads d_head"]:
        """The change of a layer's heads, as far as it is known in head space."""

    @abstractmethod
    def subtract_written(
        self, layer: int, heads: Int[np.ndarray, " some"], out: Float[Tensor, "some batch pos d"]
    ) -> None:
        """Take off what is replaced in what some heads of a layer have written into ``out``."""


class CorruptedRun(Baseline):
    """Replacements are the outputs of the plain corrupted run."""

    def __init__(self, adapter: Adapter, written: Written) -> None:
        self.adapter, self.written = adapter, written

    def start(self, positions: Float[Tensor, "batch pos d_model"]) -> None:
        pass  # the corrupted run's streams have them

    def constant(self, stream: int) -> Float[Tensor, "batch pos d_model"]:
        return self.written.streams[stream]

    def subtract(self, row: int, output: Tensor, out: Tensor) -> None:
        layer = (row - 1) // (self.adapter.graph.n_heads + 1)
        torch.sub(output, self.written.mlp[layer] if row else self.written.embed, out=out)

    def head_change(
        self, layer: int, z: Float[Tensor, "batch pos n_heads d_head"]
    ) -> Float[Tensor, "batch pos n_heads d_head"]:
        return z - self.written.z[layer]

    def subtract_written(
        self, layer: int, heads: Int[np.ndarray, " some"], out: Float[Tensor, "some batch pos d"]
    ) -> None:
        pass  # all of it is known in head space


class FixedOutputs(Baseline):
    """Replacements are one vector per writer: its mean output, or nothing (zero ablation)."""

    def __init__(self, adapter: Adapter, rows: Float[Tensor, "n_forward d_model"] | None) -> None:
        self.adapter, self.rows = adapter, rows
        self.positions, self.sums = torch.empty(0), _sums_before(adapter, rows)

    def start(self, positions: Float[Tensor, "batch pos d_model"]) -> None:
        self.positions = positions

    def constant(self, stream: int) -> Float[Tensor, "batch pos d_model"]:
        return self.positions + self.sums[stream]

    def subtract(self, row: int, output: Tensor, out: Tensor) -> None:
        out.copy_(output if self.rows is None else output - self.rows[row])

    def head_change(
        self, layer: int, z: Float[Tensor, "batch pos n_heads d_head"]
    ) -> Float[Tensor, "batch pos n_heads d_head"]:
        return z

    def subtract_written(
        self, layer: int, heads: Int[np.ndarray, " some"], out: Float[Tensor, "some batch pos d"]
    ) -> None:
        if self.rows is not None:
            out -= self.rows[self.adapter.graph.heads(layer)][heads][:, None, None]


class Stacked(Baseline):
    """Several baselines for equal parts of the batch, one after the other."""

    def __init__(self, parts: list[Baseline]) -> None:
        self.parts = parts

    def start(self, positions: Float[Tensor, "batch pos d_model"]) -> None:
        for part, some in self._with(positions):
            part.start(some)

    def constant(self, stream: int) -> Float[Tensor, "batch pos d_model"]:
        return torch.cat([part.constant(stream) for part in self.parts])

    def subtract(self, row: int, output: Tensor, out: Tensor) -> None:
        for part, some, into in self._with(output, out):
            part.subtract(row, some, into)

    def head_change(
        self, layer: int, z: Float[Tensor, "batch pos n_heads d_head"]
    ) -> Float[Tensor, "batch pos n_heads d_head"]:
        return torch.cat([part.head_change(layer, some) for part, some in self._with(z)])

    def subtract_written(
        self, layer: int, heads: Int[np.ndarray, " some"], out: Float[Tensor, "some batch pos d"]
    ) -> None:
        for part, some in zip(self.parts, out.chunk(len(self.parts), dim=1), strict=True):
            part.subtract_written(layer, heads, some)

    def _with(self, *tensors: Tensor) -> Iterator[tuple[Any, ...]]:
        """Each part with its own of these tensors."""
        chunks = (x.chunk(len(self.parts)) for x in tensors)
        return zip(self.parts, *chunks, strict=True)


def _sums_before(
    adapter: Adapter, rows: Float[Tensor, "n_forward d_model"] | None
) -> list[Float[Tensor, " d_model"]]:
    """Sum of replacements and output biases in front of each stream."""
    graph = adapter.graph
    if rows is None:
        rows = adapter.blocks[0].b_o.new_zeros(graph.n_forward, len(adapter.blocks[0].b_o))
    biases = torch.stack([block.b_o for block in adapter.blocks])
    sums = []
    for layer in range(graph.n_layers):
        sums.append(rows[: graph.before_attention(layer)].sum(0) + biases[:layer].sum(0))
        biases_read = layer if graph.parallel else layer + 1
        sums.append(rows[: graph.before_mlp(layer)].sum(0) + biases[:biases_read].sum(0))
    return [*sums, rows.sum(0) + biases.sum(0)]
