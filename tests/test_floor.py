"""The floor of the benchmark: the plain model's own logits and gradients, in every family."""

from __future__ import annotations

import pytest
import torch
from benchmarks import shapes, sizes
from benchmarks.family_models import benchmark_model
from benchmarks.family_models import family_model as timed_model
from benchmarks.floor import attribution_floor, two_forwards
from benchmarks.served_families import TIMED
from conftest import ROOT
from families import FAMILIES, family_model
from torch import Tensor
from transformers import PreTrainedModel

from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.errors import KcError

EQUAL = PairBatch.from_lists(
    [[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12], [30, 2, 31, 40, 5, 45]],
    [[1, 20, 3, 4, 5, 6], [7, 8, 29, 10, 11, 12], [30, 22, 13, 40, 5, 45]],
    [1, 2, 3],
    [4, 5, 6],
)


@pytest.fixture(scope="module")
def toy():
    return shapes.random_model(sizes.TOY), shapes.random_batch(sizes.TOY)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_floor_does_the_work_of_the_model_itself(name: str) -> None:
    """Embeddings scaled, logits capped, biases added: logits and gradients are the model's own."""
    model = family_model(name)
    clean, corrupted = two_forwards(model, EQUAL, batch_size=2)
    for found, ids in ((clean, EQUAL.clean_ids), (corrupted, EQUAL.corrupted_ids)):
        torch.testing.assert_close(found, own_logits(model, ids))
    embed = model.get_input_embeddings()(EQUAL.clean_ids).detach().requires_grad_(True)
    logits, rows = model(inputs_embeds=embed).logits[:, -1], torch.arange(len(EQUAL))
    loss = logits[rows, EQUAL.wrong_ids] - logits[rows, EQUAL.right_ids]
    expected = torch.autograd.grad(loss.sum(), embed)[0]
    torch.testing.assert_close(attribution_floor(model, EQUAL, 1, batch_size=2), expected)


@pytest.mark.parametrize(
    ("name", "changes"),
    [("gemma2", {"final_logit_softcapping": None}), ("cohere2", {"logit_scale": 0.25})],
)
def test_caps_and_scales_are_part_of_the_floor(name: str, changes: dict) -> None:
    """Control: a floor that forgot them would show."""
    other = family_model(name, **changes)
    found = two_forwards(other, EQUAL, batch_size=3)[0]
    torch.testing.assert_close(found, own_logits(other, EQUAL.clean_ids))
    assert (found - two_forwards(family_model(name), EQUAL, batch_size=3)[0]).abs().max() > 0.5


def test_the_bias_of_the_unembedding_is_part_of_the_floor() -> None:
    model = family_model("phi")
    before = two_forwards(model, EQUAL, batch_size=3)[0]
    with torch.no_grad():
        model.lm_head.bias += 1.0
    torch.testing.assert_close(two_forwards(model, EQUAL, batch_size=3)[0], before + 1.0)


def own_logits(model: PreTrainedModel, ids: Tensor) -> Tensor:
    with torch.no_grad():
        return model(input_ids=ids).logits[:, -1]


def test_every_family_is_timed_under_the_name_of_its_page() -> None:
    classes = [FAMILIES[name][0] for name in TIMED]
    assert sorted(classes) == sorted({family for family, _ in FAMILIES.values()})
    page = (ROOT / "book" / "families.md").read_text()
    served = page[page.index("## What is served") : page.index("## One adapter")]
    assert [words for words in TIMED.values() if words not in served] == []


@pytest.mark.parametrize("name", TIMED)
def test_every_timed_family_has_the_one_shape(name: str) -> None:
    shape, model = benchmark_model(name, quick=True)
    assert shape == sizes.TOY
    streams = model(shapes.random_batch(shape).clean_ids, output_hidden_states=True).hidden_states
    assert [x.shape[-1] for x in streams] == [shape.d_model] * (shape.n_layers + 1)
    assert model.config.num_attention_heads == shape.n_heads and model.dtype == torch.float32
    assert bool(torch.isfinite(streams[-1]).all()) and not model.training


def test_a_timed_model_is_always_the_same_and_draws_nothing_from_outside() -> None:
    state = torch.random.get_rng_state()
    one, two = (timed_model("gemma2", sizes.TOY).state_dict() for _ in range(2))
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(one[key], two[key]) for key in one)
    settings = timed_model("gemma2", sizes.TOY).config
    assert settings.num_key_value_heads < settings.num_attention_heads
    assert settings.sliding_window < sizes.TOY.n_tokens


def test_the_floor_of_attribution_is_the_gradient_of_the_models_own_logits(toy) -> None:
    model, batch = toy
    clean, corrupted = (
        model.get_input_embeddings()(x) for x in (batch.clean_ids, batch.corrupted_ids)
    )
    rows = torch.arange(len(batch))
    expected = torch.zeros_like(clean)
    for share in (0.5, 1.0):
        embed = (corrupted + share * (clean - corrupted)).detach().requires_grad_()
        logits = model(inputs_embeds=embed).logits[:, -1]
        difference = logits[rows, batch.right_ids] - logits[rows, batch.wrong_ids]
        expected += torch.autograd.grad(-difference.sum(), embed)[0]
    actual = attribution_floor(model, batch, steps=2, batch_size=4)
    torch.testing.assert_close(actual, expected)
    one_step = attribution_floor(model, batch, steps=1, batch_size=4)
    assert (one_step - expected).abs().max() > 0.1 * expected.abs().max()


def test_the_floor_leaves_the_parameters_as_they_were(toy) -> None:
    model, batch = toy
    frozen = model.transformer.ln_f.weight.requires_grad_(False)
    attribution_floor(model, batch, steps=1, batch_size=4)
    taking = [p.requires_grad for p in model.parameters()]
    assert taking.count(False) == 1 and not frozen.requires_grad
    assert all(p.grad is None for p in model.parameters())
    frozen.requires_grad_(True)


def test_two_forwards_are_the_models_own_logits(toy) -> None:
    model, batch = toy
    clean, corrupted = two_forwards(model, batch, batch_size=4)
    with torch.no_grad():
        torch.testing.assert_close(clean, model(batch.clean_ids).logits[:, -1])
        torch.testing.assert_close(corrupted, model(batch.corrupted_ids).logits[:, -1])
    assert not clean.requires_grad
    assert not torch.allclose(clean, corrupted)


def test_the_floor_refuses_prompts_of_unequal_length(toy) -> None:
    batch = PairBatch.from_lists([[1, 2], [1, 2, 3]], [[3, 4], [4, 5, 6]], [1, 1], [2, 2])
    with pytest.raises(KcError, match=r"Pair 0 has 2 tokens and the longest has 3"):
        attribution_floor(toy[0], batch, steps=1, batch_size=4)
