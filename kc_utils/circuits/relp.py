"""The rules of RelP, which change the backward pass.

Layer-wise relevance propagation with one backward pass (Jafari et al. 2025, arXiv 2508.21258). The
backward pass of the model is changed, its output is not:

- normalisation (LN rule): the scale is a constant, so a normalisation is linear, in front of a
  reader and behind a block;
- activation (identity rule): f(x) = x * [f(x) / x], with the ratio a constant; a cap on the logits
  is taken as one;
- attention (AH rule; Ali et al. 2022): the attention pattern is a constant, so heads are linear in
  their values. Nothing flows into q and k, and edges into q and k get the score zero;
- gate times value (half rule): each factor of a product gets half of its gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from kc_utils.circuits.adapter import Adapter
from kc_utils.circuits.block import Block, weight_of
from kc_utils.circuits.norms import Norm
from kc_utils.errors import KcError
from kc_utils.kernels.activation import SigmoidGelu
from kc_utils.kernels.hooks import Hooks


def apply_relp_rules(adapter: Adapter, hooks: Hooks) -> None:
    """Change the backward pass of ``adapter``'s model until ``hooks`` end."""
    for block in adapter.blocks:
        norms = (block.attention_norm, block.mlp_norm, block.attention_post, block.mlp_post)
        found = {id(n.module): n for n in norms if n is not None and not n.linear}
        for norm in found.values():
            hooks.input(norm.module, _constant_scale(norm, hooks))
        _constant_pattern(block, hooks)
        _linear_activation(block, hooks)
    final = adapter.final_norm
    hooks.input(final.module, _constant_scale(final, hooks))


def _constant_scale(norm: Norm, hooks: Hooks) -> Callable[[Tensor], None]:
    """Let the module's output be the closed form with a constant scale."""
    seen: list[Tensor] = []

    def linear(output: Tensor) -> Tensor:
        x = seen.pop()
        y = norm.weight * norm.centre(x) / norm.scale(x.detach())
        y = (y if norm.bias is None else y + norm.bias).to(output.dtype)
        return y + (output - y).detach()  # the value is the module's own, to the last bit

    hooks.output(norm.module, linear)
    return seen.append


def _constant_pattern(block: Block, hooks: Hooks) -> None:
    def hold(output: Tensor) -> Tensor:
        q, k, v = block.split([output]).unbind(-3)
        return block.join(torch.stack([q.detach(), k.detach(), v], dim=-3))[0]

    if block.layout == "separate":
        for module in block.qkv[:2]:
            hooks.output(module, lambda x: x.detach())
    else:
        hooks.output(block.qkv[0], hold)


def _linear_activation(block: Block, hooks: Hooks) -> None:
    activations = [m for m in block.mlp.modules() if _is_activation(m)]
    gate = _gate_of(block.mlp)
    if len(activations) != 1:
        raise KcError(
            f"{type(block.mlp).__name__} has {len(activations)} activation functions; RelP's rules "
            "are for MLPs with one."
        )
    seen: list[Tensor] = []

    def linear(output: Tensor) -> Tensor:
        x = seen.pop()
        safe = torch.where(x == 0, torch.ones_like(x), x)
        ratio = torch.where(x == 0, torch.zeros_like(x), output / safe).detach()
        y = x * ratio
        y = y + (output - y).detach()
        return _half(y) if gate != "none" else y

    hooks.input(activations[0], seen.append)
    hooks.output(activations[0], linear)
    if gate == "separate":
        hooks.output(block.mlp.up_proj, _half)
    elif gate == "fused":
        hooks.output(block.mlp.gate_up_proj, _second_half)


def _gate_of(mlp: nn.Module) -> Literal["none", "separate", "fused"]:
    """Whether an MLP is f(W x) or f(G x) * U x, and G and U one projection in this order (Phi-3).

    KcError if it may be anything else.
    """
    linears = {name: m for name, m in mlp.named_children() if isinstance(m, nn.Linear | Conv1D)}
    shapes = [weight_of(m).shape for m in linears.values()]
    if set(linears) == {"gate_proj", "up_proj", "down_proj"}:
        return "separate"
    if set(linears) == {"gate_up_proj", "down_proj"}:
        return "fused"
    if len(shapes) == 2 and shapes[0] == shapes[1][::-1]:
        return "none"
    raise KcError(
        f"RelP's rules are for MLPs with one activation and at most one gate, and "
        f"{type(mlp).__name__} may be something else."
    )


def _half(x: Tensor) -> Tensor:
    """The same value with half of the gradient."""
    return 0.5 * x + (0.5 * x).detach()


def _second_half(x: Tensor) -> Tensor:
    """Half of the gradient for the second half of the values, U x."""
    gate, value = x.chunk(2, dim=-1)
    return torch.cat([gate, _half(value)], dim=-1)


def _is_activation(module: nn.Module) -> bool:
    known = (nn.GELU, nn.ReLU, nn.SiLU, nn.Tanh, nn.Sigmoid, SigmoidGelu)
    return isinstance(module, known) or type(module).__module__ == "transformers.activations"
