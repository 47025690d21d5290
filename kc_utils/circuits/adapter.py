"""Which module of a language model embeds, projects q, k and v, writes, normalises.

The circuit code runs the plain ``transformers`` model under a TransformerBridge with torch
hooks, which costs little more than the model itself. It serves models whose residual stream is
``embedding (+ positions) + sum of heads (+ biases) + sum of MLPs``, with a normalisation or none in
front of every reader and behind every block's attention and MLP: GPT-2, Llama, Qwen, Gemma, OLMo 2,
GPT-NeoX, Phi and their relatives. What a block writes is in :mod:`kc_utils.circuits.block`. Where
things are is found by :mod:`kc_utils.circuits.architecture`; what does not hold is refused by
:mod:`kc_utils.circuits.checks`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformer_lens.hook_points import HookPoint
from transformer_lens.model_bridge import TransformerBridge
from transformers import PreTrainedModel

from kc_utils.circuits.block import Block
from kc_utils.circuits.copies import RepeatedRows
from kc_utils.circuits.graph import Graph
from kc_utils.circuits.norms import Norm
from kc_utils.circuits.rope import longest_short_run
from kc_utils.circuits.soft_cap import soft_cap
from kc_utils.errors import KcError
from kc_utils.kernels.hooks import Hooks
from kc_utils.kernels.last_mlp import run_only_at


@dataclass(frozen=True)
class Adapter:
    """The plain model under a bridge, its graph and its modules.

    ``logit_cap``: c, if the model's logits are c tanh(x / c) of the unembedding's output x.
    """

    model: PreTrainedModel
    graph: Graph
    embed: nn.Module
    blocks: tuple[Block, ...]
    final_norm: Norm
    unembed: nn.Module
    logit_cap: float | None = None

    @cached_property
    def n_positions(self) -> int | None:
        """Length of the table of positions; None where they are computed, for any length."""
        tables = (m for m in self.model.modules() if isinstance(m, nn.Embedding))
        if all(table is self.embed for table in tables):
            return None
        return getattr(self.model.config, "max_position_embeddings", None)

    @cached_property
    def n_alike(self) -> int | None:
        """Most tokens of a prompt whose positions are rotated as those of shorter ones."""
        return longest_short_run(self.model.config)

    @property
    def device(self) -> torch.device:
        return self.embed.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return self.final_norm.module.weight.dtype

    @property
    def score_dtype(self) -> torch.dtype:
        """In which scores are summed: float32, or float64 for a float64 model."""
        return torch.promote_types(self.dtype, torch.float32)

    def centre(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """What every normalisation of the model does first."""
        return self.final_norm.centre(x)

    def hidden(
        self, ids: Int[Tensor, "batch pos"], at: Int[Tensor, "batch k"] | None = None
    ) -> Float[Tensor, "batch pos d_model"]:
        """Output of the final normalisation.

        ``at``: the only positions that will be read; the last MLP is not run at the others.
        """
        with Hooks() as hooks:
            if at is not None:
                rows = torch.arange(len(at), device=at.device)[:, None].expand_as(at)
                run_only_at(hooks, self.blocks[-1].mlp, rows, at)
            return self.model.base_model(input_ids=ids, use_cache=False)[0]

    def logits(
        self, hidden: Float[Tensor, "batch pos d_model"], at: Int[Tensor, "batch k"]
    ) -> Float[Tensor, "batch k vocab"]:
        """Logits at the positions ``at`` only; as one 2-D product, which is the fast one."""
        rows = torch.arange(len(at), device=hidden.device)[:, None]
        return self.capped(self.unembed(hidden[rows, at].flatten(0, 1))).unflatten(0, at.shape)

    def capped(
        self, x: Float[Tensor, "*shape"], constant_ratio: bool = False
    ) -> Float[Tensor, "*shape"]:
        """Logits of what the unembedding puts out; with ``constant_ratio`` as RelP takes them."""
        return x if self.logit_cap is None else soft_cap(x, self.logit_cap, constant_ratio)


def attach(
    bridge: TransformerBridge, adapter: Adapter, copies: Sequence[RepeatedRows] = ()
) -> None:
    """Keep ``adapter`` with ``bridge``, outside of its parameters and modules, and the ``copies``
    that follow a model which may be trained."""
    object.__setattr__(bridge, "kc_adapter", adapter)
    object.__setattr__(bridge, "kc_copies", tuple(copies))
    # Both are asked for their state before every run, and walking over modules takes its time.
    modules = (*bridge.original_model.modules(), *adapter.model.modules())
    object.__setattr__(bridge, "kc_modules", modules)
    points = {n: m for n, m in bridge.named_modules() if isinstance(m, HookPoint)}
    object.__setattr__(bridge, "kc_hook_points", points)


def adapter_of(bridge: TransformerBridge) -> Adapter:
    """The adapter that :func:`kc_utils.circuits.bridge.boot_bridge` left with ``bridge``.

    Raises:
        KcError: ``bridge`` was booted otherwise.
    """
    adapter = getattr(bridge, "kc_adapter", None)
    if adapter is None:
        raise KcError(
            "The bridge was not booted with kc_utils.circuits.bridge.boot_bridge, which keeps "
            "the plain model with it and gives grouped heads a k and v of their own."
        )
    device = adapter.device
    buffers = (b for m in bridge.kc_modules for b in m._buffers.values() if b is not None)
    if any(b.device != device for b in buffers):
        adapter.model.to(device)  # the bridge was moved: parameters are shared, buffers not
    return adapter


def graph_of(bridge: TransformerBridge) -> Graph:
    """The computational graph of ``bridge``.

    Raises:
        KcError: ``bridge`` was not booted with :func:`kc_utils.circuits.bridge.boot_bridge`.
    """
    return adapter_of(bridge).graph


def require_eval(bridge: TransformerBridge) -> Adapter:
    """The adapter, up to date; KcError in training mode, where dropout would be noise in every
    number, and for hooks on the bridge, which would change nothing here."""
    adapter = adapter_of(bridge)
    if any(module.training for module in bridge.kc_modules):
        raise KcError("The model is in training mode; call .eval() on it first.")
    for name, point in bridge.kc_hook_points.items():
        if point.fwd_hooks or point.bwd_hooks:
            raise KcError(
                f"The bridge has a hook at {point.name or name!r}, which is not met here, where "
                "the plain model under the bridge runs; call bridge.reset_hooks() first, for hooks "
                "added for good with including_permanent=True."
            )
    for rows in bridge.kc_copies:
        rows.refresh(adapter.embed.weight)
    return adapter


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """No parameter takes gradients inside, where others are taken also under ``torch.no_grad``;
    afterwards each is as it was before."""
    changed = [p for p in model.parameters() if p.requires_grad]
    for parameter in changed:
        parameter.requires_grad_(False)
    try:
        with torch.enable_grad():
            yield
    finally:
        for parameter in changed:
            parameter.requires_grad_(True)
