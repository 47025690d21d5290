"""Training with products in bfloat16: what is rounded, what is not, and where it is chosen."""

import numpy as np
import pytest
import torch

from kc_utils.config import ModelConfig, TrainingConfig
from kc_utils.errors import KcError
from kc_utils.models import devices
from kc_utils.models.causal_lm import load_model, make_model
from kc_utils.models.tokenizers import train_bpe
from kc_utils.training import trainer
from kc_utils.training.packing import BlockSteps, plan_epochs
from kc_utils.training.pretraining import train, train_in_memory

pytestmark = pytest.mark.slow

TEXTS = [f"{a}{b} lives in {c}." for a in ("Mo", "Ta") for b in ("rin", "lop") for c in ("Oslo",)]
SMALL = ModelConfig(n_layers=2, n_heads=2, n_kv_heads=2, d_model=48, d_mlp=96, n_positions=64,
                    vocab_size=300)  # fmt: skip
PLAIN = TrainingConfig(epochs=6, block_size=32, batch_size=2, learning_rate=3e-3)
MIXED = PLAIN.model_copy(update={"precision": "mixed"})


@pytest.fixture(scope="module")
def tokenizer():
    return train_bpe(TEXTS, 300)


def has(monkeypatch, instructions):
    monkeypatch.setattr(trainer, "has_bfloat16", lambda: instructions)


def trained(tokenizer, folder, settings):
    model = make_model(SMALL, tokenizer, 0)
    documents = tokenizer(TEXTS).input_ids
    plan = plan_epochs(documents, epochs=6, block_size=32, eos_id=0, pad_id=1, seed=0)
    return model, train(model, tokenizer, plan, folder, settings, 0)


def largest_difference(one, other):
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


def same_logits(one, other, ids):
    """Equal up to the order of sums; bfloat16, with eight bits, is a hundred times further off."""
    with torch.no_grad():
        return torch.allclose(one(ids).logits, other.eval()(ids).logits, atol=1e-5)


def test_products_are_rounded_and_weights_are_not(tokenizer, tmp_path, monkeypatch):
    has(monkeypatch, True)
    plain, of_plain = trained(tokenizer, tmp_path / "plain", PLAIN)
    mixed, of_mixed = trained(tokenizer, tmp_path / "mixed", MIXED)
    assert {p.dtype for p in mixed.parameters()} == {torch.float32}
    change = largest_difference(plain, make_model(SMALL, tokenizer, 0))
    assert 0 < largest_difference(plain, mixed) < 0.5 * change
    a, b = (r.losses["loss"].to_numpy() for r in (of_plain, of_mixed))
    assert a[-1] < 0.8 * a[0]
    assert np.allclose(a, b, rtol=0.02) and not np.array_equal(a, b)


def test_without_instructions_mixed_is_float32_to_the_bit(tokenizer, tmp_path, monkeypatch):
    has(monkeypatch, False)
    plain, _ = trained(tokenizer, tmp_path / "plain", PLAIN)
    mixed, _ = trained(tokenizer, tmp_path / "mixed", MIXED)
    assert largest_difference(plain, mixed) == 0


def test_the_trained_model_computes_in_float32(tokenizer, tmp_path, monkeypatch):
    has(monkeypatch, True)
    model, result = trained(tokenizer, tmp_path, MIXED)
    ids = torch.arange(2, 14)[None]
    assert same_logits(model, load_model(result.final), ids)


@pytest.mark.parametrize(("settings", "rounds"), [(PLAIN, False), (MIXED, True)])
def test_measurements_on_the_way_are_in_float32(tokenizer, monkeypatch, settings, rounds):
    has(monkeypatch, True)
    model = make_model(SMALL, tokenizer, 0)
    ids = torch.arange(2, 34)[None]
    seen, rounded = [], []

    def measure(step, current):
        copy = make_model(SMALL, tokenizer, 0)
        copy.load_state_dict(current.state_dict())
        seen.append(same_logits(current, copy, ids))
        return step

    products = torch.nn.Module.__call__

    def watched(self, *args, **kwargs):
        output = products(self, *args, **kwargs)
        if self.training and isinstance(output, torch.Tensor):
            rounded.append(output.dtype == torch.bfloat16)
        return output

    monkeypatch.setattr(torch.nn.Module, "__call__", watched)
    steps = BlockSteps([(ids.numpy(), ids.numpy())] * 3)
    train_in_memory(model, steps, settings, 0, measure=measure, every=1)
    assert seen == [True] * 4
    assert any(rounded) == rounds


def test_a_run_does_not_go_on_with_other_products(tokenizer, tmp_path, monkeypatch):
    has(monkeypatch, True)
    trained(tokenizer, tmp_path, MIXED)
    trained(tokenizer, tmp_path, MIXED)
    has(monkeypatch, False)
    with pytest.raises(KcError, match="products=bfloat16, not float32"):
        trained(tokenizer, tmp_path, MIXED)


@pytest.mark.parametrize(
    ("found", "expected"),
    [({"amx_bf16": True}, True), ({"avx512_bf16": True}, True), ({"avx2": True}, False)],
    ids=["tiles", "vectors", "neither"],
)
def test_a_processor_is_asked_what_it_has(monkeypatch, found, expected):
    monkeypatch.setattr(devices, "has_gpu", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    assert devices.has_bfloat16() is expected
