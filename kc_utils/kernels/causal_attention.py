"""Causal attention on a CPU that leaves out what a query may not see.

The queries are cut into blocks, and each block meets the keys up to its own end. So almost half of
the products and exponentials of plain attention are never made, and what is left are large products
of batches, which oneDNN (:mod:`kc_utils.kernels.matmul`) computes fastest. Prompts are shorter than
a block and gain from one thing only: PyTorch's softmax is slow over fewer numbers than a vector
register holds, so these are filled up.
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
_REGISTER = 16  # float32 numbers in the longest vector registers there are


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
    if groups > 1:
        key, value = (x.repeat_interleave(groups, 1) for x in (key, value))
    k, v = key.flatten(0, 1), value.flatten(0, 1)
    size = max(_QUERIES, -(-n // _BLOCKS))
    hidden = q.new_full((size, size), -torch.inf).triu(1)
    outputs = []
    for start in range(0, n, size):
        stop = min(start + size, n)
        width = stop - start
        mask = torch.cat([hidden.new_zeros(width, start), hidden[:width, :width]], 1)
        scores = torch.baddbmm(mask[None], q[:, start:stop], k[:, :stop].mT)
        outputs.append(_softmax(scores) @ v[:, :stop])
    output = torch.cat(outputs, 1).unflatten(0, (batch, heads))
    return output.transpose(1, 2).contiguous(), None


def _softmax(scores: Float[Tensor, "rows queries keys"]) -> Float[Tensor, "rows queries keys"]:
    n = scores.shape[-1]
    if n >= _REGISTER:
        return scores.softmax(-1)
    filled = nn.functional.pad(scores, (0, _REGISTER - n), value=-torch.inf)
    return filled.softmax(-1)[..., :n]


ALL_ATTENTION_FUNCTIONS.register(NAME, causal_blocks)
# This one gives no mask where the causal one is all that is needed.
ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
