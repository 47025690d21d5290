"""Normalisations in closed form: what is needed to pull a gradient back through them.

One stands in front of every reader of the residual stream, or none (:class:`NoNorm`, OLMo 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kc_utils.errors import KcError


@dataclass(frozen=True)
class Norm:
    """LayerNorm (``centred``) or RMSNorm: y = weight * c(x) / scale(x) + bias.

    ``offset``: the module stores weight - 1 (Gemma).
    """

    module: nn.Module
    eps: float
    centred: bool
    offset: bool = False

    @property
    def weight(self) -> Float[Tensor, " d_model"]:
        """Factor per coordinate of the normalised vector."""
        weight = self.module.weight.detach()
        return 1 + weight if self.offset else weight

    @property
    def bias(self) -> Float[Tensor, " d_model"] | None:
        """What is added after scaling, if anything."""
        bias = getattr(self.module, "bias", None)
        return bias.detach() if isinstance(bias, Tensor) else None

    @property
    def linear(self) -> bool:
        """Whether the output is linear in the input: no normalisation is."""
        return False

    def fold(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """``x`` times the weight: rows of a matrix that then reads x^, or gradients at x^."""
        return x * self.weight

    def centre(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """Subtract the mean over the width, in a LayerNorm."""
        return x - x.mean(-1, keepdim=True) if self.centred else x

    def normalise(
        self, x: Float[Tensor, "... d_model"]
    ) -> tuple[Float[Tensor, "... d_model"], Float[Tensor, "... 1"]]:
        """x^ = c(x) / s, and s: the root mean square of c(x), with epsilon. At least float32."""
        x = self.centre(x.to(torch.promote_types(x.dtype, torch.float32)))
        scale = self._scale_of_centred(x)
        return x / scale, scale

    def scale(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... 1"]:
        """Root mean square of the centred input, with epsilon."""
        return self._scale_of_centred(self.centre(x))

    def _scale_of_centred(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... 1"]:
        return (x.square().mean(-1, keepdim=True) + self.eps).sqrt()

    def apply(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """What the module computes, without calling its hooks."""
        return self.module.forward(x)

    def closed_form(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """What the module computes, written out."""
        y = self.weight * self.centre(x) / self.scale(x)
        return y if self.bias is None else y + self.bias


@dataclass(frozen=True)
class NoNorm(Norm):
    """No normalisation: ``module`` is the reader itself, which takes in the residual stream."""

    eps: float = 0.0
    centred: bool = False

    @property
    def weight(self) -> Float[Tensor, " d_model"]:
        raise KcError("There is no normalisation here, and so no weight.")

    @property
    def bias(self) -> None:
        return None

    @property
    def linear(self) -> bool:
        return True

    def fold(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        return x

    def normalise(
        self, x: Float[Tensor, "... d_model"]
    ) -> tuple[Float[Tensor, "... d_model"], Float[Tensor, "... 1"]]:
        return x.to(torch.promote_types(x.dtype, torch.float32)), self.scale(x)

    def scale(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... 1"]:
        return torch.ones_like(x[..., :1], dtype=torch.promote_types(x.dtype, torch.float32))

    def apply(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        return x

    def closed_form(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        return x


def read_norm(module: nn.Module) -> Norm:
    """The closed form that agrees with ``module`` on a fixed input; KcError if none does."""
    eps = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    weight = getattr(module, "weight", None)
    if isinstance(weight, Tensor) and eps is not None:
        weight = weight.detach()
        x = torch.linspace(-1, 2, len(weight), device=weight.device, dtype=weight.dtype).square()
        loose = weight.dtype not in (torch.float32, torch.float64)
        with torch.no_grad():
            expected = module(x[None])[0]
            for centred, offset in product((True, False), (False, True)):
                norm = Norm(module, float(eps), centred, offset)
                actual = norm.closed_form(x)
                if torch.allclose(actual, expected, rtol=1e-4, atol=0.05 if loose else 1e-5):
                    return norm
    raise KcError(f"{type(module).__name__} is neither a LayerNorm nor an RMSNorm.")
