"""Which module of a language model embeds, projects q, k and v, writes, normalises.

The circuit code runs the plain ``transformers`` model under a TransformerBridge with torch
hooks, which costs little more than the model itself. It serves models whose residual stream is
``embedding (+ positions) + sum of heads (+ biases) + sum of MLPs``, with a normalisation or none in
front of every reader and behind every block's attention and MLP: GPT-2, Llama, Qwen, Gemma, OLMo 2,
GPT-NeoX, Phi and their relatives. Where things are is found by
:mod:`kc_utils.circuits.architecture`; what does not hold is refused by
:mod:`kc_utils.circuits.checks`.

A normalisation behind the attention stands between its heads and the stream. It is linear given its
scale s, the root mean square of what all heads of the layer put out together in the run in
question, so what a head writes is its share

    weight * c(z W_O) / s,

and the shares of a layer's heads sum to what its attention adds. The engine keeps z / s in the
place of z, and weight * c(W_O) instead of W_O; nothing else changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformer_lens.model_bridge import TransformerBridge
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from kc_utils.circuits.copies import RepeatedRows
from kc_utils.circuits.graph import Graph
from kc_utils.circuits.norms import Norm
from kc_utils.circuits.soft_cap import soft_cap
from kc_utils.errors import KcError
from kc_utils.kernels.hooks import Hooks
from kc_utils.kernels.last_mlp import run_only_at

#: How q, k and v leave their projections: a linear each; one linear with q of all heads, k of all,
#: v of all (GPT-2); one linear with q, k, v of a head beside each other (GPT-NeoX).
LAYOUTS = ("separate", "stacked", "interleaved")


@dataclass(frozen=True)
class Block:
    """One block's modules; shapes are those of ungrouped heads (one k and v per query head).

    ``attention_post`` and ``mlp_post``: normalisations between a writer and the stream, if any.
    ``couples_heads``: whether a head's output depends on other heads of its layer in other ways
    than over the stream: through the scale of a normalisation of all of them.
    """

    attention_norm: Norm
    mlp_norm: Norm
    attention: nn.Module
    qkv: tuple[nn.Module, ...]
    layout: str
    o: nn.Module
    mlp: nn.Module
    n_heads: int
    attention_post: Norm | None = None
    mlp_post: Norm | None = None
    couples_heads: bool = False

    @property
    def shares_norm(self) -> bool:
        """Whether one normalisation serves attention and MLP (Phi)."""
        return self.attention_norm.module is self.mlp_norm.module

    def split(self, outputs: list[Tensor]) -> Float[Tensor, "batch pos qkv n_heads d_head"]:
        """Outputs of the modules ``qkv``, or gradients at them, by q, k, v and head."""
        if self.layout == "separate":
            return torch.stack([x.unflatten(-1, (self.n_heads, -1)) for x in outputs], dim=-3)
        if self.layout == "stacked":
            return outputs[0].unflatten(-1, (3, self.n_heads, -1))
        return outputs[0].unflatten(-1, (self.n_heads, 3, -1)).transpose(-3, -2)

    def join(self, qkv: Float[Tensor, "batch pos qkv n_heads d_head"]) -> list[Tensor]:
        """The inverse of :meth:`split`."""
        if self.layout == "separate":
            return [x.flatten(-2) for x in qkv.unbind(-3)]
        return [(qkv if self.layout == "stacked" else qkv.transpose(-3, -2)).flatten(-3)]

    @property
    def w_qkv(self) -> Float[Tensor, "qkv n_heads d_head d_model"]:
        """Projections of q, k and v, per head."""
        return _by_head(self, [weight_of(m) for m in self.qkv])

    @property
    def b_qkv(self) -> Float[Tensor, "qkv n_heads d_head"]:
        """Biases of q, k and v, per head."""
        return _by_head(self, [bias_of(m)[:, None] for m in self.qkv])[..., 0]

    @property
    def w_o(self) -> Float[Tensor, "n_heads d_head d_model"]:
        """Output projection, per head.

        KcError if a normalisation stands behind it: z times this is then not what a head writes.
        """
        if self.attention_post is not None:
            raise KcError(
                f"Behind the heads of {type(self.attention).__name__} stands a normalisation, so "
                "what they write is not linear in their output projection alone."
            )
        return self._w_o

    @property
    def _w_o(self) -> Float[Tensor, "n_heads d_head d_model"]:
        return weight_of(self.o).T.unflatten(0, (self.n_heads, -1))

    @property
    def b_o(self) -> Float[Tensor, " d_model"]:
        """Bias of the output projection: part of no head."""
        return bias_of(self.o)

    @property
    def w_out(self) -> Float[Tensor, "n_heads d_head d_model"]:
        """What a head's z, as :meth:`passed` gives it, is multiplied with: the product is what the
        head writes."""
        post = self.attention_post
        return self._w_o if post is None else post.fold(post.centre(self._w_o))

    @property
    def b_out(self) -> Float[Tensor, " d_model"]:
        """What attention adds to the stream and no head writes."""
        post = self.attention_post
        if post is None:
            return self.b_o
        return torch.zeros_like(post.weight) if post.bias is None else post.bias

    def passed(
        self,
        z: Float[Tensor, "batch pos n_heads d_head"],
        together: Float[Tensor, "batch pos d_model"] | None = None,
    ) -> Float[Tensor, "batch pos n_heads d_head"]:
        """z, over the scale of the normalisation behind the heads, if there is one.

        ``together``: the output of the projection for all heads, if it is at hand.
        """
        if self.attention_post is None:
            return z
        if together is None:
            together = self.o.forward(z.flatten(-2))
        wide = torch.promote_types(z.dtype, torch.float32)
        scale = self.attention_post.scale(together.to(wide))
        return (z / scale[..., None]).to(z.dtype)

    @property
    def mlp_writer(self) -> nn.Module:
        """The module whose output is what the MLP adds to the stream."""
        return self.mlp if self.mlp_post is None else self.mlp_post.module


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
    number."""
    adapter = adapter_of(bridge)
    if any(module.training for module in bridge.kc_modules):
        raise KcError("The model is in training mode; call .eval() on it first.")
    for rows in bridge.kc_copies:
        rows.refresh()
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


def zero_input(block: Block) -> Float[Tensor, "readers d_head"]:
    """What q, k and v of all heads are where the normalised input is zero."""
    constant = block.b_qkv.flatten(0, 1)
    bias = block.attention_norm.bias
    return constant if bias is None else constant + block.w_qkv.flatten(0, 1) @ bias


def weight_of(linear: nn.Module) -> Float[Tensor, "d_out d_in"]:
    """Weight matrix of a linear layer, rows = outputs."""
    if isinstance(linear, Conv1D):
        return linear.weight.detach().T
    if isinstance(linear, nn.Linear):
        return linear.weight.detach()
    raise KcError(f"{type(linear).__name__} is not a linear layer that can be split into heads.")


def bias_of(linear: nn.Module) -> Float[Tensor, " d_out"]:
    """Bias of a linear layer; zeros if it has none."""
    weight = weight_of(linear)
    return weight.new_zeros(len(weight)) if linear.bias is None else linear.bias.detach()


def _by_head(block: Block, rows: list[Tensor]) -> Float[Tensor, "qkv n_heads d_head columns"]:
    return block.split([r.T[None] for r in rows])[0].permute(1, 2, 3, 0)
