"""Copies of grouped k and v that follow the parameters they were made from.

Where heads share a k and v, the engine's model has a copy for every query head
(:func:`kc_utils.circuits.bridge.ungroup`), while all other parameters are those of the model that
was given. A copy is made again when its original has changed. PyTorch counts changes in place, as
optimisers and ``load_state_dict`` make them; what is written through ``.data`` is not counted.
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
        self.copy = nn.Parameter(self._repeated(), requires_grad=self.original.requires_grad)
        self._seen = self._state()

    @torch.inference_mode(False)  # the copy has to take part in gradients later
    def refresh(self) -> None:
        """Repeat the rows again if they have changed; costs next to nothing if they have not."""
        if (state := self._state()) == self._seen:
            return
        with torch.no_grad():
            self.copy.copy_(self._repeated())  # in place: the plain model and the bridge share it
        self._seen = state

    def _repeated(self) -> torch.Tensor:
        rows = self.original.detach().unflatten(0, (self.kv_heads, -1))
        return rows.repeat_interleave(self.times, dim=0).flatten(0, 1)

    def _state(self) -> tuple[int, int]:
        return self.original._version, self.original.data_ptr()
