"""One block: its modules, how q, k and v leave their projections, and what its heads write.

A normalisation behind the attention stands between its heads and the stream. It is linear given its
scale s, the root mean square of what all heads of the layer put out together in the run in
question, so what a head writes is its share

    weight * c(z W_O) / s,

and the shares of a layer's heads sum to what its attention adds. The engine keeps z / s
instead of z, and weight * c(W_O) instead of W_O; nothing else changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from kc_utils.circuits.norms import Norm
from kc_utils.errors import KcError

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
