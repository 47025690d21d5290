"""Running a circuit: a forward pass in which every reader reads from the kept edges only.

The plain model runs on the clean prompts with hooks that replace what its readers read; what comes
over edges that are not kept is in :mod:`kc_utils.circuits.ablation`. Each head's q, k and v have an
input of their own, which goes through the normalisation on its own. Heads that nobody reads from
are not computed, and neither are the projections that the hooks make superfluous: those are handed
an empty tensor. Every reader centres its input (or none does), so what is written is centred once,
and a head's normalisation is one scale per token behind its projection.

Where a normalisation takes in all heads of a layer (behind the attention, or OLMo 2's of q and k),
its scale is the one of this run, in which every head of the layer computes from what it reads in
the circuit, also one that nobody reads from.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformer_lens.model_bridge import TransformerBridge

from kc_utils.circuits.ablation import (
    ABLATIONS,
    Baseline,
    MeanOutputs,
    References,
    Stacked,
    baseline_of,
)
from kc_utils.circuits.adapter import Adapter, require_eval
from kc_utils.circuits.arguments import whole
from kc_utils.circuits.block import zero_input
from kc_utils.circuits.checks import check_ids
from kc_utils.circuits.norms import Norm
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.circuits.precision import own_precision
from kc_utils.circuits.written import write_heads
from kc_utils.errors import KcError, shown
from kc_utils.kernels.hooks import Hooks

SHARED_BYTES = 2**26  # what the writers of a run put out, if ablations share it


def run_circuit(
    bridge: TransformerBridge,
    batch: PairBatch,
    edges: Bool[np.ndarray, "n_forward n_backward"],
    ablation: str = "corrupted",
    means: MeanOutputs | None = None,
    batch_size: int = 64,
    refs: References | None = None,
) -> Float[Tensor, "n k vocab"]:
    """Logits of the circuit of kept ``edges`` on the clean prompts, where they are read.

    k = 1, the last token, unless the batch has whole answers. The arguments are those of
    :func:`kc_utils.circuits.evaluation.evaluate_circuit`; ``refs`` saves the corrupted run.

    Raises:
        KcError: as ``evaluate_circuit``.
    """
    return run_ablations(bridge, batch, edges, (ablation,), means, batch_size, refs)[ablation]


def check_ablations(
    adapter: Adapter,
    ablations: Sequence[str],
    means: MeanOutputs | None,
    refs: References | None,
    batch: PairBatch,
) -> None:
    """KcError for an unknown ablation, means that are missing or of another shape of model, and
    references of another batch."""
    for ablation in ablations:
        if not isinstance(ablation, str) or ablation not in ABLATIONS:
            raise KcError(f"ablation={shown(ablation)} is not one of {', '.join(ABLATIONS)}.")
    if "mean" in ablations:
        if not isinstance(means, MeanOutputs):
            raise KcError("ablation='mean' needs means, as mean_outputs gives them.")
        shape = (adapter.graph.n_forward, adapter.embed.weight.shape[1])
        if (found := tuple(means.rows.shape)) != shape:
            raise KcError(f"The means have shape {found}, of another model; {shape} is needed.")
    if refs is None:
        return
    if len(refs.clean_logits) != len(batch):
        raise KcError(
            f"The references are of {len(refs.clean_logits)} pairs and the batch has {len(batch)}; "
            "they have to be of the same batch."
        )
    if refs.model() is not adapter.model:
        raise KcError("The references are of another model; they have to be of the one given.")
    runs = (*refs.prompts, refs.read_at), (batch.clean_ids, batch.corrupted_ids, batch.read_at)
    for own, given in zip(*runs, strict=True):
        if own.shape != given.shape or not torch.equal(own, given.to(own.device)):
            raise KcError(
                "The references are of other prompts than those of the batch, or were read "
                "elsewhere; they have to be of the same batch."
            )


@own_precision()
def run_ablations(
    bridge: TransformerBridge,
    batch: PairBatch,
    edges: Bool[np.ndarray, "n_forward n_backward"],
    ablations: Sequence[str] = ABLATIONS,
    means: MeanOutputs | None = None,
    batch_size: int = 64,
    refs: References | None = None,
) -> dict[str, Float[Tensor, "n k vocab"]]:
    """:func:`run_circuit` under several ablations, which share their runs as far as these stay
    small: a small model takes longer to be called than to compute."""
    adapter = require_eval(bridge)
    check_ids(adapter, batch)
    check_ablations(adapter, ablations, means, refs, batch)
    adapter.graph.check_edges(edges)
    batch_size = whole(batch_size, "batch_size", 1)
    batch = batch.to(adapter.device)
    logits: dict[str, list[Tensor]] = {ablation: [] for ablation in ablations}
    for start in range(0, len(batch), batch_size):
        block = batch.slice(start, start + batch_size)
        corrupted = None if refs is None else refs.written.slice(start, start + batch_size)
        for some in _shared(adapter, block, ablations):
            parts = [baseline_of(adapter, block, ablation, means, corrupted) for ablation in some]
            baseline = parts[0] if len(parts) == 1 else Stacked(parts)
            found = CircuitRun(adapter, edges, baseline).logits(block.repeated(len(some)))
            for ablation, values in zip(some, found.chunk(len(some)), strict=True):
                logits[ablation].append(values)
    return {ablation: torch.cat(values) for ablation, values in logits.items()}


def _shared(adapter: Adapter, block: PairBatch, ablations: Sequence[str]) -> list[Sequence[str]]:
    """Groups of ablations that share a run."""
    rows = adapter.graph.n_forward * block.clean_ids.numel()
    bytes_each = rows * adapter.model.config.hidden_size * adapter.dtype.itemsize
    together = max(1, SHARED_BYTES // bytes_each)
    return [ablations[i : i + together] for i in range(0, len(ablations), together)]


class CircuitRun:
    """A run of the circuit ``edges``.

    ``rows``: writers with a kept edge. ``change``: centred output minus replacement of each of them
    in this run, [rows, batch, pos, d_model], filled while the run goes on.
    """

    def __init__(
        self,
        adapter: Adapter,
        edges: Bool[np.ndarray, "n_forward n_backward"],
        baseline: Baseline,
    ) -> None:
        self.adapter, self.graph, self.baseline = adapter, adapter.graph, baseline
        self.rows = np.flatnonzero(edges.any(axis=1))
        self.edges = edges[self.rows]
        self.embed, self.change = torch.empty(0), torch.empty(0)

    def logits(self, batch: PairBatch) -> Float[Tensor, "batch k vocab"]:
        """Logits where ``batch`` is read, on its clean prompts."""
        adapter = self.adapter
        with torch.no_grad(), Hooks() as hooks:
            hooks.output(adapter.embed, self._start)
            hooks.input(adapter.blocks[0].attention_norm.module, self._find_positions)
            for layer, block in enumerate(adapter.blocks):
                self._skip_norm(hooks, block.attention_norm)
                self._hook_attention(hooks, layer)
                if not block.shares_norm:
                    self._skip_norm(hooks, block.mlp_norm)
                self._hook_mlp(hooks, layer)
            hooks.input(adapter.final_norm.module, lambda _: self._final())
            # Nobody reads from the last MLP at positions that are not read.
            runs = self.graph.mlp(self.graph.n_layers - 1) in self.rows
            hidden = adapter.hidden(batch.clean_ids, batch.read_at if runs else None)
            return adapter.logits(hidden, batch.read_at)

    def _start(self, embed: Tensor) -> None:
        self.embed = embed
        self.change = embed.new_empty(len(self.rows), *embed.shape)
        self._write(0, embed)

    def _find_positions(self, stream: Tensor) -> None:
        self.baseline.start(stream - self.embed)

    def _hook_attention(self, hooks: Hooks, layer: int) -> None:
        block = self.adapter.blocks[layer]
        outputs: list[Tensor] = []

        def read(_: Tensor) -> Tensor:
            if not outputs:  # q, k and v are made together and handed out in turn
                outputs.extend(self._head_reads(layer)[::-1])
            return outputs.pop()

        for module in block.qkv:
            hooks.input(module, _nothing)
            hooks.output(module, read)
        hooks.input(block.o, lambda z: self._write_heads(layer, z))
        hooks.output(block.o, lambda _: self.embed)
        self._skip_norm(hooks, block.attention_post)

    def _hook_mlp(self, hooks: Hooks, layer: int) -> None:
        block, row = self.adapter.blocks[layer], self.graph.mlp(layer)
        if row in self.rows:
            hooks.input(block.mlp, lambda _: self._mlp_read(layer))
            hooks.output(block.mlp_writer, lambda output: self._write(row, output))
        else:
            self._skip(hooks, block.mlp)
            self._skip_norm(hooks, block.mlp_post)

    def _skip(self, hooks: Hooks, module: nn.Module) -> None:
        """Let a module compute nothing: what it puts out only has to have the shape."""
        hooks.input(module, _nothing)
        hooks.output(module, lambda _: self.embed)

    def _skip_norm(self, hooks: Hooks, norm: Norm | None) -> None:
        if norm is not None and not norm.linear:
            self._skip(hooks, norm.module)

    def _head_reads(self, layer: int) -> list[Tensor]:
        """Outputs of the q, k, v projections; zero for heads that nobody reads from."""
        block, heads = self.adapter.blocks[layer], self._heads(layer)
        if block.couples_heads and len(heads):
            heads = np.arange(block.n_heads)
        readers = np.concatenate([part * block.n_heads + heads for part in range(3)])
        weights, constants = block.w_qkv.flatten(0, 1), zero_input(block)
        width = constants.shape[-1]
        found = self.embed.new_zeros(3 * block.n_heads, *self.embed.shape[:2], width)
        n_writers = np.searchsorted(self.rows, self.graph.before_attention(layer))
        columns = self.edges[:n_writers, self.graph.attention_columns(layer).start + readers]
        distinct, which = np.unique(columns, axis=1, return_inverse=True)
        inputs = self._inputs(distinct, 2 * layer)
        scales = self._scales(inputs, block.attention_norm)
        for i, (x, scale) in enumerate(zip(inputs, scales, strict=True)):
            same = readers[which.ravel() == i]  # readers of the same edges share a projection
            projection = block.attention_norm.fold(weights[same]).flatten(0, 1)
            outputs = (x @ projection.T).div_(scale).unflatten(-1, (len(same), width))
            found[same] = (outputs + constants[same]).movedim(-2, 0)
        return block.join(found.unflatten(0, (3, -1)).permute(2, 3, 0, 1, 4))

    def _scales(self, centred: Tensor, norm: Norm) -> Float[Tensor, "readers batch pos 1"]:
        if norm.linear:
            return torch.ones_like(centred[..., :1])
        size = torch.linalg.vector_norm(
            centred, dim=-1, keepdim=True, dtype=self.adapter.score_dtype
        )
        return (size.square() / centred.shape[-1] + norm.eps).sqrt().to(centred.dtype)

    def _mlp_read(self, layer: int) -> Tensor:
        n_writers = np.searchsorted(self.rows, self.graph.before_mlp(layer))
        column = self.edges[:n_writers, self.graph.mlp_column(layer), None]
        return self.adapter.blocks[layer].mlp_norm.apply(self._inputs(column, 2 * layer + 1)[0])

    def _final(self) -> Tensor:
        return self._inputs(self.edges[:, -1:], 2 * self.graph.n_layers)[0]

    def _inputs(
        self, kept: Bool[np.ndarray, "writers readers"], stream: int
    ) -> Float[Tensor, "readers batch pos d_model"]:
        """Centred inputs of readers that read from the ``kept`` of the first written rows."""
        chosen = torch.from_numpy(np.ascontiguousarray(kept.T)).to(self.change)
        sums = chosen @ self.change[: len(kept)].flatten(1)
        constant = self.adapter.centre(self.baseline.constant(stream))
        return sums.unflatten(1, self.embed.shape).add_(constant)

    def _heads(self, layer: int) -> np.ndarray:
        """Heads of ``layer`` that somebody reads from."""
        rows = self.graph.heads(layer)
        return self.rows[(self.rows >= rows.start) & (self.rows < rows.stop)] - rows.start

    def _write(self, row: int, output: Tensor) -> None:
        """Note the change of a writer; returns None, so that its output stays as it is."""
        at = np.searchsorted(self.rows, row)
        if at < len(self.rows) and self.rows[at] == row:
            self.baseline.subtract(row, output, self.change[at])
            self._centre(self.change[at])

    def _write_heads(self, layer: int, z: Tensor) -> Tensor:
        heads = self._heads(layer)
        if len(heads):
            start = np.searchsorted(self.rows, self.graph.heads(layer).start)
            out = self.change[start : start + len(heads)]
            block = self.adapter.blocks[layer]
            chosen = slice(None) if len(heads) == block.n_heads else heads
            passed = block.passed(z.unflatten(-1, (block.n_heads, -1)))
            change = self.baseline.head_change(layer, passed)
            write_heads(change[:, :, chosen], block.w_out[chosen], out)
            self.baseline.subtract_written(layer, heads, out)
            self._centre(out)
        return _nothing(z)

    def _centre(self, written: Tensor) -> None:
        if self.adapter.final_norm.centred:
            written -= written.mean(-1, keepdim=True)


def _nothing(x: Tensor) -> Tensor:
    """No positions of ``x``: a module that is handed this has nothing to compute."""
    return x[:, :0]
