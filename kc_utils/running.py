"""Running a circuit: one forward pass in which every reader hears only the kept edges.

A circuit runs on the clean prompts. The input of each reader v is

    (what is in no node) + sum over writers u of [ (u, v) kept ? u's output in this run : r_u ],

where r_u, the replacement, is u's output in the plain corrupted run (``corrupted``, called patching
elsewhere), nothing (``zero``), or u's mean output (``mean``). What is in no node, learned positions
and attention output biases, stays in every ablation. Each head's q, k and v have an input of
their own, which goes through the normalisation on its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kc_utils.errors import KcError
from kc_utils.parts import (
    EMBED,
    FINAL_IN,
    Hook,
    Parts,
    Written,
    head_outputs,
    last_only,
    record,
    require_eval,
    split_heads,
    take_apart,
)
from kc_utils.prompt_batch import PairBatch

ABLATIONS = ("corrupted", "zero", "mean")


@dataclass(frozen=True)
class References:
    """Plain runs of a batch: last-token logits, and what was written in the corrupted run.

    Computed once per model and batch, then shared by all circuits that are evaluated there.
    """

    clean_logits: Float[Tensor, "n vocab"]
    corrupted_logits: Float[Tensor, "n vocab"]
    corrupted: Written


@dataclass(frozen=True)
class MeanOutputs:
    """Mean output of each writer over prompts and positions of a reference batch."""

    rows: Float[Tensor, "n_forward d_model"]


def references(bridge: TransformerBridge, batch: PairBatch, batch_size: int = 64) -> References:
    """Run the clean and the corrupted prompts of ``batch`` plainly."""
    require_eval(bridge)
    parts = take_apart(bridge)
    batch = batch.to(_device(parts))
    clean, corrupted, written = [], [], []
    width = batch.clean_ids.shape[1]
    for start in range(0, len(batch), batch_size):
        block = batch.slice(start, start + batch_size)
        hooks = [last_only(block.last)]
        clean.append(record(parts, block.clean_ids, hooks)[0][:, 0])
        logits, outputs = record(parts, block.corrupted_ids, hooks)
        corrupted.append(logits[:, 0])
        written.append(outputs.padded(width))
    return References(torch.cat(clean), torch.cat(corrupted), Written.joined(written))


def mean_outputs(bridge: TransformerBridge, batch: PairBatch, batch_size: int = 64) -> MeanOutputs:
    """Mean output of each writer over all real positions of all clean prompts of ``batch``.

    Take a batch of other people than the ones that are evaluated, or the same for a stricter test.
    """
    require_eval(bridge)
    parts = take_apart(bridge)
    batch = batch.to(_device(parts))
    total, count = 0.0, 0
    for start in range(0, len(batch), batch_size):
        block = batch.slice(start, start + batch_size)
        _, written = record(parts, block.clean_ids, [last_only(block.last)])
        real = (
            torch.arange(block.clean_ids.shape[1], device=block.last.device) <= block.last[:, None]
        )
        mask = real.to(written.embed.dtype)
        total = total + torch.einsum("ubpd,bp->ud", written.outputs(parts), mask)
        count += int(real.sum())
    return MeanOutputs(total / count)


def run_circuit(
    bridge: TransformerBridge,
    batch: PairBatch,
    edges: Bool[np.ndarray, "n_forward n_backward"],
    ablation: str = "corrupted",
    means: MeanOutputs | None = None,
    batch_size: int = 64,
    refs: References | None = None,
) -> Float[Tensor, "n vocab"]:
    """Last-token logits of the circuit of kept ``edges`` on the clean prompts of ``batch``.

    ``means`` is needed for ``mean`` only. ``refs`` (of the same batch) saves the corrupted run.
    """
    require_eval(bridge)
    if ablation not in ABLATIONS:
        raise KcError(f"ablation={ablation!r} is not one of {', '.join(ABLATIONS)}.")
    if ablation == "mean" and means is None:
        raise KcError("ablation='mean' needs means, as mean_outputs gives them.")
    if refs is not None and len(refs.clean_logits) != len(batch):
        raise KcError(
            f"The references are of {len(refs.clean_logits)} pairs and the batch has {len(batch)}; "
            "they have to be of the same batch."
        )
    parts = take_apart(bridge)
    parts.graph.check_edges(edges)
    batch = batch.to(_device(parts))
    kept = torch.from_numpy(edges.copy()).to(_device(parts), parts.final_norm.weight.dtype)
    logits = []
    for start in range(0, len(batch), batch_size):
        block = batch.slice(start, start + batch_size)
        stop, width = start + len(block), block.clean_ids.shape[1]
        replacement = None
        if ablation == "corrupted" and refs is not None:
            replacement = refs.corrupted.slice(start, stop, width).outputs(parts)
        elif ablation == "corrupted":
            _, written = record(parts, block.corrupted_ids, [last_only(block.last)])
            replacement = written.outputs(parts)
        elif ablation == "mean":
            replacement = means.rows[:, None, None].expand(-1, len(block), width, -1)
        logits.append(_Run(parts, kept, replacement).logits(block))
    return torch.cat(logits)


class _Run:
    """One run in which every reader's input is put together from kept edges and replacements.

    ``positions`` and ``biases``: what is in no node. ``change``: output minus replacement of each
    writer in this run, [n_forward, batch, pos, d_model], filled while the run goes on.
    ``replaced``: sum of the replacements of the first ``summed`` writers.
    """

    def __init__(self, parts: Parts, kept: Tensor, replacement: Tensor | None) -> None:
        self.parts, self.kept, self.replacement = parts, kept, replacement
        self.biases = torch.stack([layer.b_o for layer in parts.layers])
        self.embed, self.positions, self.change, self.replaced = (torch.empty(0),) * 4
        self.summed = 0
        self.layer, self.normalised = -1, torch.empty(0)

    def logits(self, batch: PairBatch) -> Float[Tensor, "batch vocab"]:
        hooks: list[Hook] = [
            (EMBED, self._start),
            (self.parts.layers[0].attention_in, self._find_positions),
        ]
        for i, layer in enumerate(self.parts.layers):
            hooks += [(name, self._head_reader(i, x)) for x, name in enumerate(layer.qkv)]
            hooks += [(layer.z, self._head_writer(i)), (layer.mlp_in, self._mlp_reader(i))]
            hooks.append((layer.mlp_out, self._mlp_writer(i)))
        hooks += [(FINAL_IN, self._final), last_only(batch.last)]
        with torch.no_grad():
            return self.parts.forward(batch.clean_ids, hooks)[:, 0]

    def _start(self, tensor: Tensor, hook: Any) -> None:
        self.embed = tensor
        self.replaced = torch.zeros_like(tensor)
        self.change = tensor.new_zeros(self.parts.graph.n_forward, *tensor.shape)
        self._write(slice(0, 1), tensor[None])

    def _find_positions(self, tensor: Tensor, hook: Any) -> None:
        self.positions = tensor - self.embed

    def _write(self, rows: slice, outputs: Tensor) -> None:
        old = 0 if self.replacement is None else self.replacement[rows]
        self.change[rows] = outputs - old

    def _inputs(
        self, heard: int, biases: int, columns: slice
    ) -> Float[Tensor, "readers batch pos d_model"]:
        """Inputs of the readers ``columns``, which hear the first ``heard`` writers and the output
        biases of the first ``biases`` layers."""
        if self.replacement is not None and heard > self.summed:
            self.replaced = self.replaced + self.replacement[self.summed : heard].sum(0)
            self.summed = heard
        base = self.positions + self.biases[:biases].sum(0) + self.replaced
        kept = self.kept[:heard, columns].T @ self.change[:heard].flatten(1)
        return base + kept.unflatten(1, base.shape)

    def _head_reader(self, i: int, x: int) -> Any:
        graph, layer = self.parts.graph, self.parts.layers[i]
        heads = slice(x * graph.n_heads, (x + 1) * graph.n_heads)

        def read(tensor: Tensor, hook: Any) -> Tensor:
            normalised = self._attention_inputs(i)[heads]
            out = torch.einsum("hbpd,hed->bphe", normalised, layer.w_qkv[x]) + layer.b_qkv[x]
            return out.reshape(tensor.shape)

        return read

    def _attention_inputs(self, i: int) -> Float[Tensor, "readers batch pos d_model"]:
        """Normalised inputs of q, k and v of a layer's heads, made once for the three of them."""
        if self.layer != i:
            graph = self.parts.graph
            inputs = self._inputs(graph.before_attention(i), i, graph.attention_columns(i))
            self.layer, self.normalised = i, self.parts.layers[i].attention_norm.module(inputs)
        return self.normalised

    def _head_writer(self, i: int) -> Any:
        def write(tensor: Tensor, hook: Any) -> None:
            z = split_heads(tensor, self.parts.graph.n_heads)
            self._write(self.parts.graph.heads(i), head_outputs(z, self.parts.layers[i].w_o))

        return write

    def _mlp_reader(self, i: int) -> Any:
        graph = self.parts.graph
        column = graph.mlp_column(i)

        def read(tensor: Tensor, hook: Any) -> Tensor:
            biases = i if graph.parallel else i + 1
            inputs = self._inputs(graph.before_mlp(i), biases, slice(column, column + 1))
            return self.parts.layers[i].mlp_norm.module(inputs[0])

        return read

    def _mlp_writer(self, i: int) -> Any:
        row = self.parts.graph.mlp(i)
        return lambda tensor, hook: self._write(slice(row, row + 1), tensor[None])

    def _final(self, tensor: Tensor, hook: Any) -> Tensor:
        graph = self.parts.graph
        column = slice(graph.n_backward - 1, graph.n_backward)
        return self._inputs(graph.n_forward, graph.n_layers, column)[0]


def _device(parts: Parts) -> torch.device:
    return parts.final_norm.weight.device
