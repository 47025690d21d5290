"""GPT-2's GELU through a sigmoid: the same function, and only where it is meant to be."""

from __future__ import annotations

import pytest
import torch
from tiny_models import tiny_model
from torch import nn
from transformers.activations import ACT2FN

from kc_utils.kernels.activation import SigmoidGelu, sigmoid_gelu, use_sigmoid_gelu

NAMES = ("gelu_new", "gelu_pytorch_tanh")
LIMITS = {torch.float64: (1e-13, 1e-13), torch.float32: (1e-6, 1e-5)}  # of values and slopes


def values_and_slopes(function, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    x = x.clone().requires_grad_()
    y = function(x)
    return y.detach(), torch.autograd.grad(y.sum(), x)[0]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", LIMITS, ids=str)
def test_it_is_gpt2s_gelu_in_value_and_slope(name, dtype):
    x = torch.linspace(-30, 30, 20_001, dtype=torch.float64)
    exact = values_and_slopes(ACT2FN[name], x)
    ours = values_and_slopes(SigmoidGelu(), x.to(dtype))
    for found, expected, limit in zip(ours, exact, LIMITS[dtype], strict=True):
        assert found.dtype == dtype
        assert ((found.double() - expected).abs() / expected.abs().clamp_min(1)).max() < limit
    other = values_and_slopes(ACT2FN["gelu"], x)  # the error function's GELU is another one
    assert (other[0] - exact[0]).abs().max() > 1e-4


def test_its_slope_is_that_of_its_value():
    x = torch.randn(50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(SigmoidGelu(), x.requires_grad_())


def test_a_model_has_it_for_a_while_and_computes_the_same():
    model = tiny_model("gpt2").eval()
    ids = torch.arange(8)[None]

    def kinds() -> list[str]:
        return [type(block.mlp.act).__name__ for block in model.transformer.h]

    before = kinds()
    with torch.no_grad():
        expected = model(input_ids=ids).logits
        with pytest.raises(RuntimeError), sigmoid_gelu(model):
            assert kinds() == ["SigmoidGelu"] * 2
            assert not any(module.training for module in model.modules())
            torch.testing.assert_close(model(input_ids=ids).logits, expected, rtol=0, atol=1e-4)
            raise RuntimeError
    assert kinds() == before != ["SigmoidGelu"] * 2


@pytest.mark.parametrize(
    ("model", "replaced"),
    [
        (nn.Sequential(nn.Linear(2, 2), ACT2FN["gelu_new"]), 1),
        (nn.Sequential(nn.Linear(2, 2), ACT2FN["gelu"], nn.ReLU()), 0),
        (nn.Sequential(nn.Linear(2, 2), ACT2FN["gelu_new"]).bfloat16(), 0),
        (nn.Sequential(nn.Linear(2, 2, device="meta"), ACT2FN["gelu_new"]), 0),
    ],
    ids=["GPT-2's", "other functions", "bfloat16", "another device"],
)
def test_what_is_replaced(model, replaced):
    assert len(use_sigmoid_gelu(model)) == replaced
    assert sum(isinstance(m, SigmoidGelu) for m in model.modules()) == replaced
