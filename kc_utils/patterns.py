"""Attention patterns of single heads for one prompt."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kc_utils.errors import KcError
from kc_utils.parts import layer_names, read_hooks


@torch.no_grad()
def attention_patterns(
    bridge: TransformerBridge, ids: Int[Tensor, " pos"], heads: Sequence[tuple[int, int]]
) -> Float[Tensor, "head pos pos"]:
    """How much each token (rows, destinations) attends to each token (columns, sources).

    Args:
        bridge: the model.
        ids: token ids of one prompt, without padding.
        heads: (layer, head) of the heads wanted, in the order of the result.

    Raises:
        KcError: no head or no token is given, or the model has no such head.
    """
    if not len(heads) or not len(ids):
        raise KcError(f"{len(heads)} heads and {len(ids)} tokens; at least 1 of each is needed.")
    n_layers, n_heads = bridge.cfg.n_layers, bridge.cfg.n_heads
    for layer, head in heads:
        if not (0 <= layer < n_layers and 0 <= head < n_heads):
            raise KcError(
                f"Head a{layer}.h{head} is not in this model of {n_layers} layers with {n_heads} "
                "heads each."
            )
    names = {layer: layer_names(layer).pattern for layer, _ in heads}
    seen = read_hooks(bridge, ids[None].to(bridge.W_U.device), list(names.values()))
    return torch.stack([seen[names[layer]][0, head] for layer, head in heads]).cpu()
