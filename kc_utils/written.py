"""What every writer (embedding, head, MLP) wrote into the residual stream in one run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kc_utils.anatomy import Anatomy
from kc_utils.errors import KcError
from kc_utils.hooks import Hooks


@dataclass(frozen=True)
class Written:
    """Outputs of the writers of one run, heads still in head space.

    ``streams``, if recorded: the residual stream that each block's attention and MLP read, in turn,
    and the final one.
    """

    embed: Float[Tensor, "batch pos d_model"]
    z: tuple[Float[Tensor, "batch pos n_heads d_head"], ...]
    mlp: tuple[Float[Tensor, "batch pos d_model"], ...]
    streams: tuple[Float[Tensor, "batch pos d_model"], ...] = ()

    def minus(self, other: Written) -> Written:
        """Differences of two runs of equal shape."""
        return Written(
            self.embed - other.embed,
            tuple(a - b for a, b in zip(self.z, other.z, strict=True)),
            tuple(a - b for a, b in zip(self.mlp, other.mlp, strict=True)),
        )

    def slice(self, start: int, stop: int, pos: int | None = None) -> Written:
        """Pairs ``start`` to ``stop`` and the first ``pos`` positions."""
        return self._each(lambda x: x[start:stop, :pos])

    def padded(self, pos: int) -> Written:
        """The same with zeros up to ``pos`` positions."""

        def pad(x: Tensor) -> Tensor:
            missing = pos - x.shape[1]
            return torch.cat([x, x.new_zeros(len(x), missing, *x.shape[2:])], 1) if missing else x

        return self._each(pad)

    @staticmethod
    def joined(blocks: list[Written]) -> Written:
        """Blocks of pairs one after the other."""
        if len(blocks) == 1:
            return blocks[0]
        return Written(
            torch.cat([b.embed for b in blocks]),
            *(
                tuple(torch.cat(x) for x in zip(*(getattr(b, name) for b in blocks), strict=True))
                for name in ("z", "mlp", "streams")
            ),
        )

    def _each(self, change: Callable[[Tensor], Tensor]) -> Written:
        parts = (tuple(map(change, x)) for x in (self.z, self.mlp, self.streams))
        return Written(change(self.embed), *parts)

    def outputs(
        self, anatomy: Anatomy, dtype: torch.dtype | None = None
    ) -> Float[Tensor, "n_forward batch pos d_model"]:
        """Outputs of all writers in the order of the graph's rows, in the model's or ``dtype``."""
        graph = anatomy.graph
        rows = self.embed.new_empty(graph.n_forward, *self.embed.shape, dtype=dtype)
        rows[0] = self.embed
        for i, (block, z, mlp) in enumerate(zip(anatomy.blocks, self.z, self.mlp, strict=True)):
            write_heads(z, block.w_o, rows[graph.heads(i)])
            rows[graph.mlp(i)] = mlp
        return rows


def write_heads(
    z: Float[Tensor, "batch pos n_heads d_head"],
    w_o: Float[Tensor, "n_heads d_head d_model"],
    out: Float[Tensor, "n_heads batch pos d_model"],
) -> None:
    """Put each head's output, its z times its slice of the output projection, into ``out``."""
    by_head = z.flatten(0, 1).transpose(0, 1)
    if out.dtype == z.dtype:
        torch.bmm(by_head, w_o, out=out.flatten(1, 2))
    else:
        out.copy_(torch.bmm(by_head, w_o).view_as(out))


def record(
    anatomy: Anatomy, ids: Int[Tensor, "batch pos"], streams: bool = False
) -> tuple[Float[Tensor, "batch pos d_model"], Written]:
    """Run ``ids`` plainly: the final hidden states, and what every writer wrote. No gradients."""
    n = len(anatomy.blocks)
    embed: list[Tensor] = []
    z: list[Tensor] = []
    mlp: list[Tensor] = []
    heard: list[Tensor] = []
    with torch.no_grad(), Hooks() as hooks:
        hooks.output(anatomy.embed, embed.append)
        for block in anatomy.blocks:
            hooks.input(block.o, z.append)
            hooks.output(block.mlp, mlp.append)
        if streams:
            _listen(anatomy, hooks, heard)
        hidden = anatomy.hidden(ids)
    if (len(embed), len(z), len(mlp)) != (1, n, n):
        raise KcError(f"{type(anatomy.model).__name__} runs its blocks in an unexpected order.")
    split = tuple(x.unflatten(-1, (anatomy.graph.n_heads, -1)) for x in z)
    return hidden, Written(embed[0], split, tuple(mlp), tuple(heard))


def _listen(anatomy: Anatomy, hooks: Hooks, store: list[Tensor]) -> None:
    for block in anatomy.blocks:
        for norm in (block.attention_norm, block.mlp_norm):
            hooks.input(norm.module, store.append)  # in Phi twice the same
    hooks.input(anatomy.final_norm.module, store.append)


def check_decomposition(anatomy: Anatomy, ids: Int[Tensor, "batch pos"]) -> None:
    """KcError unless the final residual stream is the sum of its writers and output biases."""
    written = record(anatomy, ids, streams=True)[1]
    first, last = written.streams[0], written.streams[-1]
    biases = sum(block.b_o for block in anatomy.blocks)
    total = first - written.embed + written.outputs(anatomy).sum(0) + biases
    error = ((total - last).abs().max() / last.abs().max()).item()
    if not error <= (1e-4 if total.dtype in (torch.float32, torch.float64) else 0.05):
        raise KcError(
            f"The residual stream of {type(anatomy.model).__name__} is not the sum of its "
            f"embedding, heads and MLPs (relative error {error:.1e}), so it has no edges to score."
        )
