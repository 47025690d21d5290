"""Running the last block's MLP only where the model's output is read.

What that MLP writes is read by the final residual stream alone, position by position. When only
the answer's logits are read, all that it computes elsewhere is for nothing: a tenth of a forward
pass of six blocks.
"""

from __future__ import annotations

from inspect import signature

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from kc_utils.kernels.hooks import Hooks


def find_last_mlp(model: PreTrainedModel) -> nn.Module | None:
    """The MLP of the last block; None if no block has one of that name that is a function of its
    input token by token: a mixture of experts may not be, and BLOOM's takes the residual too."""
    found = [m for name, m in model.base_model.named_modules() if name.split(".")[-1] == "mlp"]
    if not found or any("expert" in name for name, _ in found[-1].named_modules()):
        return None
    return found[-1] if len(signature(found[-1].forward).parameters) == 1 else None


def run_only_at(
    hooks: Hooks, mlp: nn.Module, rows: Int[Tensor, "*reads"], positions: Int[Tensor, "*reads"]
) -> None:
    """Hand ``mlp`` only the tokens at (row, position), and put zeros at the others.

    Other hooks on the module see inputs and outputs of full shape.
    """
    shapes: list[torch.Size] = []

    def gather(x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "1 reads d_model"]:
        shapes.append(x.shape)
        return x[rows, positions].flatten(0, -2)[None]

    def scatter(output: Float[Tensor, "1 reads d_model"]) -> Float[Tensor, "batch pos d_model"]:
        full = output.new_zeros(shapes.pop())
        return full.index_put((rows, positions), output.view(*rows.shape, -1))

    hooks.input(mlp, gather)
    hooks.output(mlp, scatter, first=True)
