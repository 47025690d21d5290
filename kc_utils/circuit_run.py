"""One forward pass in which every reader hears only the kept edges.

The plain model runs with hooks that replace what its readers read. Heads that nobody hears are not
computed, and neither are the projections that the hooks make superfluous: those are handed an empty
tensor.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from kc_utils.anatomy import Anatomy
from kc_utils.baselines import Baseline
from kc_utils.hooks import Hooks
from kc_utils.prompt_batch import PairBatch


class CircuitRun:
    """A run of the circuit ``edges``.

    ``rows``: writers with a kept edge. ``change``: output minus replacement of each of them in this
    run, [rows, batch, pos, d_model], filled while the run goes on.
    """

    def __init__(
        self,
        anatomy: Anatomy,
        edges: Bool[np.ndarray, "n_forward n_backward"],
        baseline: Baseline,
    ) -> None:
        self.anatomy, self.graph, self.baseline = anatomy, anatomy.graph, baseline
        self.rows = np.flatnonzero(edges.any(axis=1))
        self.kept = torch.from_numpy(edges[self.rows]).to(anatomy.device, anatomy.dtype)
        self.embed, self.change = torch.empty(0), torch.empty(0)

    def logits(self, batch: PairBatch) -> Float[Tensor, "batch k vocab"]:
        """Logits where ``batch`` is read, on its clean prompts."""
        anatomy = self.anatomy
        with torch.no_grad(), Hooks() as hooks:
            hooks.output(anatomy.embed, self._start)
            hooks.input(anatomy.blocks[0].attention_norm.module, self._find_positions)
            for layer in range(self.graph.n_layers):
                self._hook_attention(hooks, layer)
                self._hook_mlp(hooks, layer)
            hooks.input(anatomy.final_norm.module, lambda _: self._final())
            hidden = anatomy.hidden(batch.clean_ids)
            return anatomy.logits(hidden, batch.read_at)

    def _start(self, embed: Tensor) -> None:
        self.embed = embed
        self.change = embed.new_empty(len(self.rows), *embed.shape)
        self._write(0, embed)

    def _find_positions(self, stream: Tensor) -> None:
        self.baseline.start(stream - self.embed)

    def _hook_attention(self, hooks: Hooks, layer: int) -> None:
        block = self.anatomy.blocks[layer]
        outputs: list[Tensor] = []

        def read(_: Tensor) -> Tensor:
            if not outputs:  # q, k and v are made together and handed out in turn
                outputs.extend(self._head_reads(layer)[::-1])
            return outputs.pop()

        for module in block.qkv:
            hooks.input(module, _nothing)
            hooks.output(module, read)
        hooks.input(block.o, lambda z: self._write_heads(layer, z))
        hooks.output(block.o, lambda _: self.embed)  # it only has to have the shape

    def _hook_mlp(self, hooks: Hooks, layer: int) -> None:
        mlp, row = self.anatomy.blocks[layer].mlp, self.graph.mlp(layer)
        if row in self.rows:
            hooks.input(mlp, lambda _: self._mlp_read(layer))
            hooks.output(mlp, lambda output: self._write(row, output))
        else:
            hooks.input(mlp, _nothing)
            hooks.output(mlp, lambda _: self.embed)

    def _head_reads(self, layer: int) -> list[Tensor]:
        """Outputs of the q, k, v projections; zero for heads that nobody hears."""
        block, heads = self.anatomy.blocks[layer], self._heads(layer)
        n, width = block.n_heads, block.b_qkv.shape[-1]
        if not len(heads):
            return block.join(self.embed.new_zeros(*self.embed.shape[:2], 3, n, width))
        readers = np.concatenate([part * n + heads for part in range(3)])
        columns = self.graph.attention_columns(layer).start + readers
        inputs = self._inputs(self.graph.before_attention(layer), columns, 2 * layer)
        normalised = block.attention_norm.apply(inputs).flatten(1, 2)
        weights, biases = block.w_qkv.flatten(0, 1)[readers], block.b_qkv.flatten(0, 1)[readers]
        found = torch.baddbmm(biases[:, None], normalised, weights.transpose(1, 2))
        if len(heads) < n:
            every = found.new_zeros(3 * n, *found.shape[1:])
            every[torch.from_numpy(readers).to(found.device)] = found
            found = every
        qkv = found.view(3, n, *self.embed.shape[:2], width).permute(2, 3, 0, 1, 4)
        return block.join(qkv)

    def _mlp_read(self, layer: int) -> Tensor:
        column = np.array([self.graph.mlp_column(layer)])
        inputs = self._inputs(self.graph.before_mlp(layer), column, 2 * layer + 1)
        return self.anatomy.blocks[layer].mlp_norm.apply(inputs[0])

    def _final(self) -> Tensor:
        column = np.array([self.graph.n_backward - 1])
        return self._inputs(self.graph.n_forward, column, 2 * self.graph.n_layers)[0]

    def _inputs(
        self, heard: int, columns: np.ndarray, stream: int
    ) -> Float[Tensor, "readers batch pos d_model"]:
        """Inputs of the readers ``columns``, which hear the first ``heard`` writers."""
        rows = np.searchsorted(self.rows, heard)
        chosen = self.kept[:rows, torch.from_numpy(columns).to(self.kept.device)]
        sums = chosen.T @ self.change[:rows].flatten(1)
        return sums.unflatten(1, self.embed.shape).add_(self.baseline.constant(stream))

    def _heads(self, layer: int) -> np.ndarray:
        """Heads of ``layer`` that somebody hears."""
        rows = self.graph.heads(layer)
        return self.rows[(self.rows >= rows.start) & (self.rows < rows.stop)] - rows.start

    def _write(self, row: int, output: Tensor) -> None:
        """Note the change of a writer; returns None, so that its output stays as it is."""
        at = np.searchsorted(self.rows, row)
        if at < len(self.rows) and self.rows[at] == row:
            self.baseline.subtract(row, output, self.change[at])

    def _write_heads(self, layer: int, z: Tensor) -> Tensor:
        heads = self._heads(layer)
        if len(heads):
            start = np.searchsorted(self.rows, self.graph.heads(layer).start)
            out = self.change[start : start + len(heads)]
            split = z.unflatten(-1, (self.graph.n_heads, -1))
            self.baseline.subtract_heads(layer, heads, split, out)
        return _nothing(z)


def _nothing(x: Tensor) -> Tensor:
    """No positions of ``x``: a module that is handed this has nothing to compute."""
    return x[:, :0]
