"""A cap on logits: c tanh(x / c), close to x where x is small and never beyond c (Gemma 2).

Bello et al. 2017, arXiv 1611.09940, section 5; Gemma Team 2024, arXiv 2408.00118. Caps on attention
scores are inside the attention, where nothing of ours looks.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def soft_cap(
    x: Float[Tensor, "*shape"], cap: float, constant_ratio: bool = False
) -> Float[Tensor, "*shape"]:
    """``cap`` tanh(x / ``cap``), in the units of ``x`` (logits).

    With ``constant_ratio`` the value is the same and the gradient is that of x times a constant,
    cap tanh(x / cap) / x: RelP's identity rule.
    """
    capped = torch.tanh(x / cap) * cap
    if not constant_ratio:
        return capped
    zero = x == 0
    ratio = torch.where(zero, torch.ones_like(x), capped / torch.where(zero, 1, x)).detach()
    linear = x * ratio
    return linear + (capped - linear).detach()
