"""Attention in blocks is plain causal attention: values, gradients, and what it hands on."""

from __future__ import annotations

import pytest
import torch
from tiny_models import VOCAB, tiny_model, tokenizer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from kc_utils.circuits.adapter import adapter_of
from kc_utils.circuits.bridge import boot_bridge
from kc_utils.kernels import causal_attention as attention

LENGTHS = {"one short block": 13, "two blocks, one cut": 100, "three whole blocks": 192}


def outcome(model, implementation: str, **inputs):
    """Logits, and the gradients of all parameters for a loss on the last position."""
    model.set_attn_implementation(implementation)
    model.zero_grad()
    logits = model(use_cache=False, **inputs).logits
    logits[:, -1].logsumexp(-1).sum().backward()
    return logits.detach(), [p.grad.clone() for p in model.parameters()]


def some_ids(n: int, seed: int = 0):
    return torch.randint(VOCAB, (2, n), generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def long_model(request):
    model = tiny_model(request.param, torch.float64)
    longer = {"max_position_embeddings": 256, "n_positions": 256}
    torch.manual_seed(0)
    return type(model)(type(model.config)(**model.config.to_dict() | longer)).double().eval()


@pytest.mark.parametrize("long_model", ["gpt2", "llama", "neox", "phi"], indirect=True)
@pytest.mark.parametrize("n", LENGTHS.values(), ids=LENGTHS)
def test_logits_and_gradients_are_those_of_plain_attention(long_model, n, monkeypatch):
    calls = []
    baddbmm = torch.baddbmm
    monkeypatch.setattr(torch, "baddbmm", lambda *a: calls.append(a[1].shape[1]) or baddbmm(*a))
    ids = some_ids(n)
    logits, gradients = outcome(long_model, attention.NAME, input_ids=ids)
    assert sum(calls) == n * long_model.config.num_hidden_layers and max(calls) <= 64
    expected, plain = outcome(long_model, "sdpa", input_ids=ids)
    torch.testing.assert_close(logits, expected)
    torch.testing.assert_close(gradients, plain)
    assert max(g.abs().max() for g in gradients) > 1e-3


def test_short_prompts_meet_a_softmax_as_wide_as_a_register(monkeypatch):
    widths, softmax = [], torch.Tensor.softmax
    monkeypatch.setattr(
        torch.Tensor, "softmax", lambda x, *a: widths.append(x.shape[-1]) or softmax(x, *a)
    )
    for n in (1, 15, 16, 17):
        assert attention._softmax(torch.zeros(2, 3, n)).sum(-1).allclose(torch.ones(2, 3))
    assert widths == [16, 16, 16, 17]


@pytest.mark.parametrize("kind", ["gpt2", "llama", "neox", "phi"])
def test_a_bridge_has_it_in_its_plain_model_only(kind):
    model = tiny_model(kind)
    model.set_attn_implementation("eager")
    bridge = boot_bridge(model, tokenizer())
    assert adapter_of(bridge).model.config._attn_implementation == attention.NAME
    assert model.config._attn_implementation == "eager"
    assert bridge.original_model.config._attn_implementation == "eager"


@pytest.mark.parametrize("long_model", ["gpt2"], indirect=True)
def test_what_comes_later_changes_nothing(long_model):
    model, n = long_model, max(LENGTHS.values())
    ids = some_ids(n)
    other = torch.where(torch.arange(n) < n // 2, ids, some_ids(n, seed=1))
    with torch.no_grad():
        model.set_attn_implementation(attention.NAME)
        one, two = (model(input_ids=x).logits[:, : n // 2] for x in (ids, other))
    torch.testing.assert_close(one, two)


@pytest.mark.parametrize("more", ["a mask", "a cache"])
def test_other_masks_are_left_to_pytorch(more, monkeypatch):
    model, ids = tiny_model("llama").eval(), some_ids(10)
    passed = []
    plain = ALL_ATTENTION_FUNCTIONS["sdpa"]
    monkeypatch.setitem(
        ALL_ATTENTION_FUNCTIONS, "sdpa",
        lambda *a, **k: passed.append(a) or plain(*a, **k),
    )  # fmt: skip
    found = []
    for implementation in (attention.NAME, "eager"):
        model.set_attn_implementation(implementation)
        with torch.no_grad():
            if more == "a mask":
                mask = torch.ones_like(ids)
                mask[0, :4] = 0
                found.append(model(input_ids=ids, attention_mask=mask).logits[:, 4:])
            else:
                cache = model(input_ids=ids[:, :6], use_cache=True).past_key_values
                found.append(model(input_ids=ids[:, 6:], past_key_values=cache).logits)
    torch.testing.assert_close(*found)
    assert passed


def test_a_model_in_training_can_be_taken_apart():
    model = tiny_model("llama")
    model.set_attn_implementation(attention.NAME)
    bridge, ids = boot_bridge(model, tokenizer()), some_ids(9)
    with torch.no_grad():
        expected = model.eval()(input_ids=ids).logits
        torch.testing.assert_close(bridge(ids, return_type="logits"), expected)
