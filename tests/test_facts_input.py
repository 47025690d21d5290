"""Bad files and bad folders: every kind is named, with its line, and nothing is written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import facts_case
import pytest
from tiny_models import GOLDEN, tiny_model, tokenizer
from transformers import BloomConfig, BloomForCausalLM, PreTrainedTokenizerFast

from kc_utils.circuits.adapter import graph_of
from kc_utils.errors import KcError
from kc_utils.facts.asking import Source, bridge_of
from kc_utils.facts.compute_study import Request, study_facts
from kc_utils.facts.lines import read_facts
from kc_utils.facts.pairing import FactSettings
from kc_utils.models.causal_lm import write_model

GOOD = {"relation": "capital", "subject": "France", "prompt": "The capital of France is",
        "answer": "Paris"}  # fmt: skip


def line(**changes: object) -> dict:
    return {k: v for k, v in (GOOD | changes).items() if v is not ...}


def message(path: Path, rows: list, **more) -> str:
    with pytest.raises(KcError) as caught:
        read_facts(facts_case.write(path / "facts.jsonl", rows), **more)
    return str(caught.value)


BAD = {
    "not JSON": ('{"relation": ', "not JSON"),
    "a list": ("[1, 2]", "not a JSON object but list"),
    "a text": ('"Paris"', "not a JSON object but str"),
    "missing": (line(answer=...), "the key 'answer' is missing"),
    "unknown": (line(anwser="x"), "unknown key 'anwser'; allowed are relation, subject, answer"),
    "empty": (line(answer=""), "answer is empty"),
    "number": (line(answer=7), "answer is 7 and not a text"),
    "space": (line(answer=" Paris"), "answer ' Paris' begins or ends with a space"),
    "blank": (line(subject=" "), "subject ' ' begins or ends with a space"),
    "no prompt": (line(prompt=...), "'prompt' is missing, and relation 'capital' has no template"),
    "no subject": (line(subject="Spain"), "does not contain the subject 'Spain'"),
    "twice": (line(prompt="France: the capital of France is"), "contains 'France' 2 times"),
    "mark twice": (line(prompt="{subject}, {subject}"), "contains '{subject}' 2 times"),
    "end": (line(prompt="The capital of France is "), "ends with a space"),
    "repeated": (GOOD, "the same prompt as in line 1"),
    "contradicts": (line(answer="Lyon"), "in line 1 with another answer, 'Paris'"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_line_is_named_with_its_number(kind, tmp_path) -> None:
    row, reason = BAD[kind]
    text = message(tmp_path, [GOOD, "", row])
    assert "has 1 bad line:" in text and "line 3: " in text and reason in text, text


def test_all_bad_lines_are_named_at_once_up_to_a_limit(tmp_path) -> None:
    text = message(tmp_path, [GOOD, *(row for row, _ in BAD.values())])
    assert f"has {len(BAD)} bad lines:" in text
    assert [f"line {i + 2}: " in text for i in range(len(BAD))] == [True] * len(BAD)
    text = message(tmp_path, ["nonsense"] * 33)
    assert "33 bad lines" in text and text.endswith("and 13 more") and "line 21" not in text


def test_other_encodings_and_empty_files_are_named(tmp_path) -> None:
    path = tmp_path / "facts.jsonl"
    path.write_bytes(json.dumps(GOOD).encode() + b"\n\xff\xfe\n")
    with pytest.raises(KcError, match=r"line 2: not UTF-8 \(byte 1\)"):
        read_facts(path)
    assert "holds no fact" in message(tmp_path, ["", " "])
    with pytest.raises(KcError, match="There is no facts file"):
        read_facts(tmp_path / "gone.jsonl")


def test_good_lines_templates_and_marks_are_read(tmp_path) -> None:
    rows = [GOOD, line(subject="Georgia", prompt="Georgia (the state); {subject} borders"),
            line(subject="Peru", prompt=...)]  # fmt: skip
    path = facts_case.write(tmp_path / "facts.jsonl", rows)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    facts = read_facts(path, {"capital": "Capital of {subject}:"})
    assert [f.prompt for f in facts] == [
        GOOD["prompt"], "Georgia (the state); Georgia borders", "Capital of Peru:",
    ]  # fmt: skip
    assert all(f.prompt[slice(*f.span)] == f.subject for f in facts)
    assert facts[1].form == "Georgia (the state); {subject} borders"
    with pytest.raises(KcError, match=r"contains \{subject\} 0 times"):
        read_facts(path, {"capital": "The capital is"})
    typo = {"capital": "Capital of {subject}:", "capitals": "Capital of {subject}:"}
    with pytest.raises(KcError, match=r"relation 'capitals' is for no line .* are 'capital'\."):
        read_facts(path, typo)


@pytest.fixture
def model(tmp_path) -> Path:
    return facts_case.folders(tmp_path, (1,))[0]


def refused(model: str | Path, tmp_path: Path, rows: list | None = None, **more) -> str:
    """The message of a study that must not begin, and that leaves no trace."""
    path = facts_case.write(tmp_path / "facts.jsonl", rows or facts_case.facts())
    with pytest.raises(KcError) as caught:
        study_facts(Request(str(model), path, tmp_path / "out", **more))
    assert not (tmp_path / "out").exists()
    return str(caught.value)


def test_folders_that_hold_no_usable_model_are_named(model, tmp_path) -> None:
    assert "There is no model folder" in refused(tmp_path / "gone", tmp_path)
    assert "Unknown model package 'gpt5'" in refused("package:gpt5", tmp_path)
    for name, reason in [
        ("model.safetensors", "has no *.safetensors weights"),
        ("tokenizer.json", "has no tokenizer"),
        ("config.json", "has no config.json"),
    ]:
        copy = shutil.copytree(model, tmp_path / name)
        (copy / name).unlink()
        assert reason in refused(copy, tmp_path)
    (tmp_path / "model.safetensors" / "pytorch_model.bin").touch()
    assert "pytorch_model.bin, which is not read" in refused(
        tmp_path / "model.safetensors", tmp_path
    )


def test_an_architecture_without_edges_is_named(tmp_path) -> None:
    words = facts_case.tokenizer()
    shape = BloomConfig(hidden_size=32, n_layer=1, n_head=4, vocab_size=len(words))
    write_model(BloomForCausalLM(shape).eval(), words, tmp_path / "bloom")
    text = refused(tmp_path / "bloom", tmp_path, settings=_all_facts())
    assert "architecture BloomForCausalLM" in text and "supported are GPT-2, Llama" in text


def _all_facts() -> FactSettings:
    return FactSettings(only_known=False, pairs=3)


def test_a_tokenizer_without_a_folder_will_do_for_a_packaged_model() -> None:
    words = tokenizer()
    bare = PreTrainedTokenizerFast(
        tokenizer_object=words.backend_tokenizer, bos_token=words.eos_token,
        eos_token=words.eos_token, pad_token=words.eos_token,
    )  # fmt: skip
    bridge = bridge_of(Source("package:tiny", "tiny", ""), tiny_model("llama"), bare)
    assert graph_of(bridge).n_layers == 2


def test_a_prompt_that_the_model_cannot_hold_is_named(model, tmp_path) -> None:
    rows = facts_case.facts()
    rows[4]["prompt"] = "capital " * 30 + "of {subject} is"
    text = refused(model, tmp_path, rows)
    assert "line 5: " in text and "and the model reads at most 24" in text


def test_a_file_without_contrast_is_told_with_counts(model, tmp_path) -> None:
    rows = [row | {"answer": "Akra"} for row in facts_case.facts()[::2]]
    text = refused(model, tmp_path, rows, settings=_all_facts())
    assert "'capital' has 18 facts, 18 of these without a partner" in text
    assert text.endswith("another token; add facts."), "all of them are studied already"


def test_checkpoints_of_another_model_are_refused(model, tmp_path) -> None:
    other = GOLDEN / "gpt2_tiny" / "model"
    text = refused(model, tmp_path, checkpoints=(str(other),), settings=_all_facts())
    assert "has another num_hidden_layers" in text or "has another hidden_size" in text
    words = shutil.copytree(model, tmp_path / "words")
    shutil.copy(other / "tokenizer.json", words / "tokenizer.json")
    text = refused(model, tmp_path, checkpoints=(str(words),), settings=_all_facts())
    assert "splits the facts into other tokens" in text
    assert Source.find(str(other)).digest != Source.find(str(model)).digest
