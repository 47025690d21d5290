"""Causal attention on a CPU that leaves out what a query may not see.

The queries are cut into blocks, and each block meets the keys up to its own end. So almost half of
the products and exponentials of plain attention are never made, and what is left are large products
of batches, which oneDNN (:mod:`kc_utils.matmul`) computes fastest.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

#: The name under which transformers knows it; ``model.set_attn_implementation`` takes it.
NAME = "causal_blocks"
_QUERIES, _BLOCKS = 64, 8  # at least so many queries in a block, at most so many blocks


def causal_blocks(
    module: nn.Module,
    query: Float[Tensor, "batch heads pos d_head"],
    key: Float[Tensor, "batch kv_heads seen d_head"],
    value: Float[Tensor, "batch kv_heads seen d_head"],
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **more: Any,
) -> tuple[Float[Tensor, "batch pos heads d_head"], None]:
    """softmax(q k^T scaling) v over the positions up to each query's own.

    Other masks than the causal one, dropout, and more keys than queries go to PyTorch's attention.
    """
    if attention_mask is not None or dropout or query.shape[2] != key.shape[2]:
        plain = ALL_ATTENTION_FUNCTIONS["sdpa"]
        return plain(module, query, key, value, attention_mask, dropout, scaling, **more)
    batch, heads, n, d_head = query.shape
    groups = heads // key.shape[1]
    q = (query * (d_head**-0.5 if scaling is None else scaling)).flatten(0, 1)
    k, v = (x.repeat_interleave(groups, 1).flatten(0, 1) for x in (key, value))
    size = max(_QUERIES, -(-n // _BLOCKS))
    hidden = q.new_full((size, size), -torch.inf).triu(1)
    outputs = []
    for start in range(0, n, size):
        stop = min(start + size, n)
        width = stop - start
        mask = torch.cat([hidden.new_zeros(width, start), hidden[:width, :width]], 1)
        scores = torch.baddbmm(mask[None], q[:, start:stop], k[:, :stop].mT)
        outputs.append(scores.softmax(-1) @ v[:, :stop])
    output = torch.cat(outputs, 1).unflatten(0, (batch, heads))
    return output.transpose(1, 2).contiguous(), None


ALL_ATTENTION_FUNCTIONS.register(NAME, causal_blocks)
# This one gives no mask where the causal one is all that is needed.
ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
