"""Hook points of a TransformerBridge, and what passes them in one run.

The circuit code itself runs the plain model (:mod:`kc_utils.circuits.adapter`); attention patterns
and the like are read from the bridge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kc_utils.circuits.graph import QKV

EMBED = "embed.hook_out"
FINAL_IN = "ln_final.hook_in"


@dataclass(frozen=True)
class LayerNames:
    """Hook points of one block: q, k, v, attention pattern, heads' z, and the streams around."""

    qkv: tuple[str, str, str]
    pattern: str
    z: str
    attention_in: str
    mlp_out: str


def layer_names(layer: int) -> LayerNames:
    """Hook points of block ``layer``."""
    name = f"blocks.{layer}"
    return LayerNames(
        qkv=tuple(f"{name}.attn.{x}.hook_out" for x in QKV),
        pattern=f"{name}.attn.hook_pattern",
        z=f"{name}.attn.o.hook_in",
        attention_in=f"{name}.ln1.hook_in",
        mlp_out=f"{name}.mlp.hook_out",
    )


def read_hooks(
    bridge: TransformerBridge, ids: Int[Tensor, "batch pos"], names: list[str]
) -> dict[str, Tensor]:
    """Activations at the hook points ``names`` in one run of ``ids``."""
    seen: dict[str, Tensor] = {}

    def keep(tensor: Tensor, hook: Any) -> None:
        seen[hook.name] = tensor

    with bridge.hooks(fwd_hooks=[(name, keep) for name in names]):
        bridge(ids, return_type="logits", use_cache=False)
    return seen


def split_heads(x: Tensor, n_heads: int) -> Float[Tensor, "batch pos n_heads d_head"]:
    """[batch, pos, n_heads * d_head] or already split."""
    return x.reshape(*x.shape[:2], n_heads, -1)
