"""What every writer (embedding, head, MLP) wrote into the residual stream in one run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kc_utils.circuits.adapter import Adapter
from kc_utils.errors import KcError
from kc_utils.kernels.hooks import Hooks


@dataclass(frozen=True)
class Written:
    """Outputs of the writers of one run, heads still in head space.

    ``z`` is as :meth:`~kc_utils.circuits.block.Block.passed` gives it: over the scale of the
    normalisation behind the heads, where there is one, so times ``w_out`` it is what they write.
    ``mlp`` is what MLPs write, behind their normalisation.
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
        self, adapter: Adapter, dtype: torch.dtype | None = None
    ) -> Float[Tensor, "n_forward batch pos d_model"]:
        """Outputs of all writers in the order of the graph's rows, in the model's or ``dtype``."""
        graph = adapter.graph
        rows = self.embed.new_empty(graph.n_forward, *self.embed.shape, dtype=dtype)
        rows[0] = self.embed
        for i, (block, z, mlp) in enumerate(zip(adapter.blocks, self.z, self.mlp, strict=True)):
            write_heads(z, block.w_out, rows[graph.heads(i)])
            rows[graph.mlp(i)] = mlp
        return rows


def write_heads(
    z: Float[Tensor, "batch pos n_heads d_head"],
    w_out: Float[Tensor, "n_heads d_head d_model"],
    out: Float[Tensor, "n_heads batch pos d_model"],
) -> None:
    """Put what each head writes, its z times its slice of ``w_out``, into ``out``."""
    by_head = z.flatten(0, 1).transpose(0, 1)
    if out.dtype == z.dtype:
        torch.bmm(by_head, w_out, out=out.flatten(1, 2))
    else:
        out.copy_(torch.bmm(by_head, w_out).view_as(out))


class Recording:
    """Notes what every writer writes while the model runs, for as long as ``hooks`` last."""

    def __init__(self, adapter: Adapter, hooks: Hooks, streams: bool = False) -> None:
        self.adapter = adapter
        self._embed: list[Tensor] = []
        self._z: list[Tensor] = []
        self._together: list[Tensor] = []
        self._mlp: list[Tensor] = []
        self._streams: list[Tensor] = []
        hooks.output(adapter.embed, _into(self._embed))
        for block in adapter.blocks:
            hooks.input(block.o, _into(self._z))
            if block.attention_post is not None:
                hooks.input(block.attention_post.module, _into(self._together))
            hooks.output(block.mlp_writer, _into(self._mlp))
            if streams:
                for norm in (block.attention_norm, block.mlp_norm):
                    hooks.input(norm.module, _into(self._streams))  # in Phi twice the same
        if streams:
            hooks.input(adapter.final_norm.module, _into(self._streams))

    def written(self) -> Written:
        """The outputs of one run, without gradients."""
        n = len(self.adapter.blocks)
        if (len(self._embed), len(self._z), len(self._mlp)) != (1, n, n):
            name = type(self.adapter.model).__name__
            raise KcError(f"{name} runs its blocks in an unexpected order.")
        split = tuple(x.unflatten(-1, (self.adapter.graph.n_heads, -1)) for x in self._z)
        if self._together:
            blocks = self.adapter.blocks
            split = tuple(
                block.passed(z, x)
                for block, z, x in zip(blocks, split, self._together, strict=True)
            )
        return Written(self._embed[0], split, tuple(self._mlp), tuple(self._streams))


def record(
    adapter: Adapter,
    ids: Int[Tensor, "batch pos"],
    streams: bool = False,
    at: Int[Tensor, "batch k"] | None = None,
) -> tuple[Float[Tensor, "batch pos d_model"], Written]:
    """Run ``ids`` plainly: the final hidden states, and what every writer wrote. No gradients.

    Args:
        adapter: of the model.
        ids: token ids of prompts.
        streams: whether the residual streams are recorded, too.
        at: the only positions where the final hidden states will be read. What the last MLP wrote
            is 0 elsewhere.

    Raises:
        KcError: a model that runs its blocks in an unexpected order.
    """
    with torch.no_grad(), Hooks() as hooks:
        recording = Recording(adapter, hooks, streams)
        hidden = adapter.hidden(ids, at)
    return hidden, recording.written()


def _into(store: list[Tensor]) -> Callable[[Tensor], None]:
    return lambda x: store.append(x.detach())
