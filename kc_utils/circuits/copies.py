"""Copies of grouped k and v that follow the parameters they were made from.

Where heads share a k and v, the engine's model has a copy for every query head
(:func:`kc_utils.circuits.bridge.ungroup`), while all other parameters are those of the model that
was given. A copy is made again when its original has other values. The values themselves are
compared: PyTorch counts neither what a fused optimiser changes nor what is written through
``.data``. Where it is the copy that was changed, its original takes its values.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from kc_utils.errors import KcError


@dataclass
class RepeatedRows:
    """``copy`` has the rows of every KV head of ``original``, ``times`` times one behind another.

    Args:
        original: the model's own parameter, [first + kv_heads * d_head, ...].
        kv_heads: number of its heads that are repeated.
        times: query heads per KV head.
        first: rows in front of them that are taken once: q, in a projection of q, k and v.
    """

    original: nn.Parameter
    kv_heads: int
    times: int
    first: int = 0
    copy: nn.Parameter = field(init=False)
    seen: Tensor = field(init=False)

    def __post_init__(self) -> None:
        rows = self.original.detach()
        repeated = rows[self.first :].unflatten(0, (self.kv_heads, -1))
        repeated = repeated.repeat_interleave(self.times, dim=0).flatten(0, 1)
        repeated = torch.cat([rows[: self.first], repeated])
        self.copy = nn.Parameter(repeated, requires_grad=self.original.requires_grad)
        self.seen = rows.clone()

    @torch.no_grad()
    def refresh(self, like: Tensor) -> None:
        """Repeat the rows again if they have changed; one reading of them if they have not.

        ``like``: a parameter that the model and its bridge share, whose dtype and device the copy
        takes: whoever moves one of the two leaves either the original or the copy behind.

        Raises:
            KcError: the copy was changed otherwise for some query heads than for others that share
                a KV head, which the model given to ``boot_bridge`` cannot follow.
        """
        if self.copy.dtype != like.dtype or self.copy.device != like.device:
            self.copy.data = self.copy.detach().to(like)
        copy, original = self.copy.detach(), self.original.detach()
        rows, seen = original.to(like), self.seen.to(like)
        repeated = copy[self.first :].unflatten(0, (self.kv_heads, self.times, -1))
        once = rows[self.first :].unflatten(0, (self.kv_heads, 1, -1))
        if torch.equal(rows, seen):  # then it is the copy that may have been changed
            if not torch.equal(repeated, repeated[:, :1].expand_as(repeated)):
                raise KcError(
                    "Weights of k or v were changed on the bridge for some of the query heads that "
                    "share a KV head and not for others; they have to be changed on the model that "
                    "was given to boot_bridge."
                )
            changed = torch.cat([copy[: self.first], repeated[:, 0].flatten(0, 1)])
            if not torch.equal(changed, rows):
                original.copy_(changed)
                self.seen = original.clone()
            return
        self.seen = original.clone()
        # in place: the plain model and the bridge share it
        if not torch.equal(copy[: self.first], rows[: self.first]):
            copy[: self.first] = rows[: self.first]
        if not torch.equal(repeated[:, :1], once):
            repeated.copy_(once)
