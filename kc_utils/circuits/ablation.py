"""What stands in for edges that are not kept: another run, nothing, or a mean output.

The input of each reader v is::

    (what is in no node) + sum over writers u of [ (u, v) kept ? u's output in this run : r_u ]

Here r_u, the replacement, is u's output in the plain corrupted run (``corrupted``, called patching
elsewhere), nothing (``zero``), or u's mean output (``mean``). What is in no node, learned positions
and attention output biases, stays in every ablation.

That input is ``constant + sum over kept edges of change``: the constant is what v would read if no
edge were kept, and a writer's change is its output in this run minus its replacement. So the
replacements themselves are summed once, or never.
"""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformer_lens.model_bridge import TransformerBridge

from kc_utils.circuits.adapter import Adapter, require_eval
from kc_utils.circuits.answers import Answers
from kc_utils.circuits.arguments import whole
from kc_utils.circuits.checks import check_ids
from kc_utils.circuits.metrics import AnswerScores, answer_scores
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.circuits.precision import own_precision
from kc_utils.circuits.written import Written, record
from kc_utils.errors import KcError

#: What can stand in for edges that are not kept.
ABLATIONS = ("corrupted", "zero", "mean")


@dataclass(frozen=True)
class References:
    """Plain runs of a batch: logits where they are read, and ``written`` by the corrupted run.

    Computed once per model and batch, then shared by all circuits that are evaluated there. k = 1,
    the last token, unless the batch has whole answers. ``answers`` are those of the batch,
    ``prompts`` the clean and corrupted ids, ``read_at`` the positions that were read, and ``model``
    refers to what was run.
    """

    clean_logits: Float[Tensor, "n k vocab"]
    corrupted_logits: Float[Tensor, "n k vocab"]
    written: Written
    answers: Answers
    prompts: tuple[Int[Tensor, "n pos"], Int[Tensor, "n pos"]]
    read_at: Int[Tensor, "n k"]
    model: weakref.ref[nn.Module]

    def of_answers(self, batch: PairBatch) -> References:
        """These, or the same runs with the answers of ``batch`` if it has others."""
        same = self.answers.same_as(batch.answers)
        return self if same else replace(self, answers=batch.answers)

    @cached_property
    def clean(self) -> AnswerScores:
        """Logit difference and rank per pair of the clean run."""
        return answer_scores(self.clean_logits[:, -1], self.answers)

    @cached_property
    def corrupted(self) -> AnswerScores:
        """The same of the corrupted run."""
        return answer_scores(self.corrupted_logits[:, -1], self.answers)


@dataclass(frozen=True)
class MeanOutputs:
    """Mean output of each writer over prompts and positions of a batch.

    Args:
        rows: one vector per writer, in the model's dtype and on its device.
    """

    rows: Float[Tensor, "n_forward d_model"]


@own_precision()
def references(bridge: TransformerBridge, batch: PairBatch, batch_size: int = 64) -> References:
    """Run the clean and the corrupted prompts of ``batch`` plainly, ``batch_size`` pairs at once.

    Raises:
        KcError: a model in training mode, an empty batch, tokens or positions that the model lacks,
            a batch size below 1.
    """
    adapter, batch_size = require_eval(bridge), whole(batch_size, "batch_size", 1)
    check_ids(adapter, batch)
    batch = batch.to(adapter.device)
    clean, corrupted, written = [], [], []
    with torch.no_grad():
        for start in range(0, len(batch), batch_size):
            block = batch.slice(start, start + batch_size)
            clean.append(
                adapter.logits(adapter.hidden(block.clean_ids, block.read_at), block.read_at)
            )
            hidden, outputs = record(adapter, block.corrupted_ids, True, block.read_at)
            corrupted.append(adapter.logits(hidden, block.read_at))
            written.append(outputs.padded(batch.clean_ids.shape[1]))
    return References(
        torch.cat(clean), torch.cat(corrupted), Written.joined(written), batch.answers,
        (batch.clean_ids, batch.corrupted_ids), batch.read_at, weakref.ref(adapter.model),
    )  # fmt: skip


@own_precision()
def mean_outputs(bridge: TransformerBridge, batch: PairBatch, batch_size: int = 64) -> MeanOutputs:
    """Mean output of each writer over all real positions of all clean prompts of ``batch``.

    Take a batch of other people than the ones that are evaluated, or the same for a stricter test.
    ``batch_size`` prompts are run at once.

    Raises:
        KcError: a model in training mode, an empty batch, tokens or positions that the model lacks,
            a batch size below 1, a mean that is no finite number in the model's dtype.
    """
    adapter, batch_size = require_eval(bridge), whole(batch_size, "batch_size", 1)
    check_ids(adapter, batch)
    batch = batch.to(adapter.device)
    total, count = 0.0, 0
    for start in range(0, len(batch), batch_size):
        block = batch.slice(start, start + batch_size)
        outputs = record(adapter, block.clean_ids)[1].outputs(adapter, adapter.score_dtype)
        position = torch.arange(block.clean_ids.shape[1], device=block.last.device)
        real = position <= block.last[:, None]
        total = total + torch.einsum("ubpd,bp->ud", outputs, real.to(outputs.dtype))
        count += int(real.sum())
    rows = (total / count).to(adapter.dtype)
    if wrong := int((~torch.isfinite(rows)).sum()):
        raise KcError(
            f"{wrong} of {rows.numel()} mean outputs are not finite numbers in {adapter.dtype}."
        )
    return MeanOutputs(rows)


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


def baseline_of(
    adapter: Adapter,
    block: PairBatch,
    ablation: str,
    means: MeanOutputs | None,
    corrupted: Written | None,
) -> Baseline:
    """The baseline of an ablation; ``corrupted`` saves that run if it was recorded already."""
    if ablation != "corrupted":
        rows = means.rows if means is not None and ablation == "mean" else None
        return FixedOutputs(adapter, rows)
    if corrupted is None:
        written = record(adapter, block.corrupted_ids, True, block.read_at)[1]
        return CorruptedRun(adapter, written)
    return CorruptedRun(adapter, corrupted.slice(0, len(block), block.clean_ids.shape[1]))


def _sums_before(
    adapter: Adapter, rows: Float[Tensor, "n_forward d_model"] | None
) -> list[Float[Tensor, " d_model"]]:
    """Sum of replacements and output biases in front of each stream."""
    graph = adapter.graph
    if rows is None:
        rows = adapter.blocks[0].b_out.new_zeros(graph.n_forward, len(adapter.blocks[0].b_out))
    biases = torch.stack([block.b_out for block in adapter.blocks])
    sums = []
    for layer in range(graph.n_layers):
        sums.append(rows[: graph.before_attention(layer)].sum(0) + biases[:layer].sum(0))
        biases_read = layer if graph.parallel else layer + 1
        sums.append(rows[: graph.before_mlp(layer)].sum(0) + biases[:biases_read].sum(0))
    return [*sums, rows.sum(0) + biases.sum(0)]
