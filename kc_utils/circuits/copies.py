"""Copies of grouped k and v that follow the parameters they were made from.

Where heads share a k and v, the engine's model has a copy for every query head
(:func:`kc_utils.circuits.bridge.ungroup`), while all other parameters are those of the model that
was given. A copy is made again when its original has other values. The values themselves are
compared: PyTorch counts neither what a fused optimiser changes nor what is written through
``.data``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn


@dataclass
class RepeatedRows:
    """``copy`` has the rows of every KV head of ``original``, ``times`` times one behind another.

    Args:
        original: the model's own parameter, [kv_heads * d_head, ...].
        kv_heads: number of its heads.
        times: query heads per KV head.
    """

    original: nn.Parameter
    kv_heads: int
    times: int
    copy: nn.Parameter = field(init=False)

    def __post_init__(self) -> None:
        rows = self.original.detach().unflatten(0, (self.kv_heads, -1))
        repeated = rows.repeat_interleave(self.times, dim=0).flatten(0, 1)
        self.copy = nn.Parameter(repeated, requires_grad=self.original.requires_grad)

    @torch.no_grad()
    def refresh(self) -> None:
        """Repeat the rows again if they have changed; one reading of them if they have not."""
        rows = self.original.detach().to(self.copy).unflatten(0, (self.kv_heads, 1, -1))
        copies = self.copy.detach().unflatten(0, (self.kv_heads, self.times, -1))
        if not torch.equal(copies[:, :1], rows):
            copies.copy_(rows)  # in place: the plain model and the bridge share it
