"""What a reader hears over an edge that is not kept, for each ablation.

A reader's input is ``constant + sum over kept edges of change``: the constant is what it would hear
if no edge were kept, and a writer's change is its output in this run minus its replacement. So the
replacements themselves are summed once, or never.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from kc_utils.anatomy import Anatomy
from kc_utils.written import Written, write_heads


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
    def subtract_heads(
        self, layer: int, heads: Int[np.ndarray, " some"], z: Tensor, out: Tensor
    ) -> None:
        """Put the changes of some heads of a layer, with these z, into ``out``."""


class CorruptedRun(Baseline):
    """Replacements are the outputs of the plain corrupted run."""

    def __init__(self, anatomy: Anatomy, written: Written) -> None:
        self.anatomy, self.written = anatomy, written

    def start(self, positions: Float[Tensor, "batch pos d_model"]) -> None:
        pass  # the corrupted run's streams have them

    def constant(self, stream: int) -> Float[Tensor, "batch pos d_model"]:
        return self.written.streams[stream]

    def subtract(self, row: int, output: Tensor, out: Tensor) -> None:
        layer = (row - 1) // (self.anatomy.graph.n_heads + 1)
        torch.sub(output, self.written.mlp[layer] if row else self.written.embed, out=out)

    def subtract_heads(
        self, layer: int, heads: Int[np.ndarray, " some"], z: Tensor, out: Tensor
    ) -> None:
        block = self.anatomy.blocks[layer]
        chosen = slice(None) if len(heads) == block.n_heads else heads
        write_heads((z - self.written.z[layer])[:, :, chosen], block.w_o[chosen], out)


class FixedOutputs(Baseline):
    """Replacements are one vector per writer: its mean output, or nothing (zero ablation)."""

    def __init__(self, anatomy: Anatomy, rows: Float[Tensor, "n_forward d_model"] | None) -> None:
        self.anatomy, self.rows = anatomy, rows
        self.positions, self.sums = torch.empty(0), _sums_before(anatomy, rows)

    def start(self, positions: Float[Tensor, "batch pos d_model"]) -> None:
        self.positions = positions

    def constant(self, stream: int) -> Float[Tensor, "batch pos d_model"]:
        return self.positions + self.sums[stream]

    def subtract(self, row: int, output: Tensor, out: Tensor) -> None:
        out.copy_(output if self.rows is None else output - self.rows[row])

    def subtract_heads(
        self, layer: int, heads: Int[np.ndarray, " some"], z: Tensor, out: Tensor
    ) -> None:
        block = self.anatomy.blocks[layer]
        chosen = slice(None) if len(heads) == block.n_heads else heads
        write_heads(z[:, :, chosen], block.w_o[chosen], out)
        if self.rows is not None:
            out -= self.rows[self.anatomy.graph.heads(layer)][chosen][:, None, None]


def _sums_before(
    anatomy: Anatomy, rows: Float[Tensor, "n_forward d_model"] | None
) -> list[Float[Tensor, " d_model"]]:
    """Sum of replacements and output biases in front of each stream."""
    graph = anatomy.graph
    if rows is None:
        rows = anatomy.blocks[0].b_o.new_zeros(graph.n_forward, len(anatomy.blocks[0].b_o))
    biases = torch.stack([block.b_o for block in anatomy.blocks])
    sums = []
    for layer in range(graph.n_layers):
        sums.append(rows[: graph.before_attention(layer)].sum(0) + biases[:layer].sum(0))
        heard = layer if graph.parallel else layer + 1
        sums.append(rows[: graph.before_mlp(layer)].sum(0) + biases[:heard].sum(0))
    return [*sums, rows.sum(0) + biases.sum(0)]
