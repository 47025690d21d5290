"""The public face of the circuits: the README's example as it stands, and what it can refuse."""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path

import pytest
from tiny_models import GOLDEN
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from kc_utils import circuits
from kc_utils.circuits import PairBatch, boot_bridge
from kc_utils.errors import KcError

README = Path(__file__).parents[1] / "README.md"


def readme_example() -> str:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    return code


def word_tokenizer(text: str) -> PreTrainedTokenizerBase:
    """One token for every word of ``text``."""
    words = {word: i for i, word in enumerate(dict.fromkeys(["?", *re.findall(r"\w+", text)]))}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="?", eos_token="?")


def test_the_example_of_the_readme_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    code, folder = readme_example(), tmp_path / "path" / "to" / "model"
    shutil.copytree(GOLDEN / "gpt2_tiny" / "model", folder)
    word_tokenizer(code).save_pretrained(folder)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(code, names)
    imports = [n for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Import | ast.ImportFrom)]
    assert len(imports) == 1 and imports[0].module == "kc_utils.circuits"
    graph = names["graph_of"](names["bridge"])
    assert names["scores"].shape == (graph.n_forward, graph.n_backward)
    assert 0 < names["circuit"].n_edges <= 300 and names["circuit"].n == 300
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in printed] == ["circuit", "random"]
    assert all(re.search(r"\d+ edges, faithfulness -?\d+\.\d\d$", line) for line in printed)


def test_every_public_name_is_there_and_says_what_it_is() -> None:
    assert len(circuits.__all__) <= 30
    for name in circuits.__all__:
        value = getattr(circuits, name)
        assert isinstance(value, tuple) or len(value.__doc__) > 40, name
        assert name in circuits.__doc__, f"{name} is missing in the guide"
    with pytest.raises(AttributeError, match="evaluate_model"):
        circuits.evaluate_model  # noqa: B018


def test_texts_become_the_pairs_of_their_tokens() -> None:
    text = "The capital of France Japan is Paris Tokyo"
    tokenizer = word_tokenizer(text)
    made = PairBatch.from_texts(
        tokenizer, ["The capital of France is"], ["The capital of Japan is"], ["Paris"], ["Tokyo"]
    )
    ids = [tokenizer.convert_tokens_to_ids(f"The capital of {x} is".split())
           for x in ("France", "Japan")]  # fmt: skip
    right, wrong = tokenizer.convert_tokens_to_ids(["Paris", "Tokyo"])
    expected = PairBatch.from_lists(ids[:1], ids[1:], [right], [wrong])
    for name in ("clean_ids", "corrupted_ids", "last", "right_ids", "wrong_ids"):
        assert getattr(made, name).tolist() == getattr(expected, name).tolist()


def blank_tokenizer(words: str, apart: bool) -> PreTrainedTokenizerBase:
    """Blanks are the beginning of the next word's token, but of a digit's only unless ``apart``."""
    pattern = Regex("▁[^▁0-9]+|▁|[^▁]" if apart else "▁[^▁]+|▁|[^▁]")
    vocabulary = ["?", "▁", *words.split(), *(f"▁{word}" for word in words.split())]
    tokenizer = Tokenizer(models.WordLevel({x: i for i, x in enumerate(vocabulary)}, "?"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(pattern, "isolated")
    tokenizer.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="?")


@pytest.mark.parametrize(("end", "start"), [("", ""), ("", " "), (" ", ""), (" ", " ")])
def test_a_blank_between_prompt_and_answer_is_one_wherever_it_is_written(
    end: str, start: str
) -> None:
    tokenizer = blank_tokenizer("to France Japan Paris Tokyo", apart=True)
    texts = [f"to France{end}"], [f"to Japan{end}"], [f"{start}Paris"], [f"{start}Tokyo"]
    made = PairBatch.from_texts(tokenizer, *texts)
    tokens = [tokenizer.convert_ids_to_tokens(ids) for ids in (made.clean_ids[0], made.right_ids)]
    assert tokens == [["▁to", "▁France"], ["▁Paris"]]
    assert tokenizer.convert_ids_to_tokens(made.wrong_ids) == ["▁Tokyo"]


@pytest.mark.parametrize(("end", "start"), [("", ""), ("", " "), (" ", ""), (" ", " ")])
@pytest.mark.parametrize("apart", [True, False])
def test_a_blank_that_is_a_token_belongs_to_the_prompts(apart: bool, end: str, start: str) -> None:
    tokenizer = blank_tokenizer("2 3 5 6 7 + =", apart)
    texts = [f"2 + 3 ={end}"], [f"2 + 5 ={end}"], [f"{start}5"], [f"{start}7"]
    made = PairBatch.from_texts(tokenizer, *texts)
    clean, corrupted, right, wrong = (
        tokenizer.convert_ids_to_tokens(ids)
        for ids in (made.clean_ids[0], made.corrupted_ids[0], made.right_ids, made.wrong_ids)
    )
    if apart:
        assert clean == ["▁", "2", "▁+", "▁", "3", "▁=", "▁"]
        assert corrupted == ["▁", "2", "▁+", "▁", "5", "▁=", "▁"]
        assert (right, wrong) == (["5"], ["7"])
    else:
        assert clean == ["▁2", "▁+", "▁3", "▁="] and corrupted == ["▁2", "▁+", "▁5", "▁="]
        assert (right, wrong) == (["▁5"], ["▁7"])


def test_digits_that_two_answers_begin_with_are_theirs() -> None:
    tokenizer = blank_tokenizer("1 2 3 8 9 + =", apart=True)
    with pytest.raises(KcError, match="share their first token"):
        PairBatch.from_texts(tokenizer, ["9 + 3 ="], ["9 + 2 ="], ["12"], ["11"])


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ((["a b"], ["a"], ["c"], ["d"]), "Pair 0: the clean prompt has 2 tokens"),
        ((["a b"], ["a c"], ["d"], ["d"]), "share their first token"),
        ((["a b"], ["a c"], ["d", "d"], ["e"]), "1 prompts and 2 answers"),
        ((["a b"], ["a c"], [""], ["d"]), "Pair 0: an answer is '', no text"),
    ],
)
def test_texts_that_make_no_pair_are_named(texts: tuple, words: str) -> None:
    with pytest.raises(KcError, match=words):
        PairBatch.from_texts(word_tokenizer("a b c d e"), *texts)


def test_folders_without_a_model_are_named(tmp_path: Path) -> None:
    with pytest.raises(KcError, match="There is no folder"):
        boot_bridge(tmp_path / "absent")
    with pytest.raises(KcError, match="No model could be loaded"):
        boot_bridge(tmp_path)


def test_a_loaded_model_finds_the_tokenizer_beside_its_files_and_asks_no_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = GOLDEN / "gpt2_tiny" / "model"
    source = "transformer_lens.model_bridge.sources.transformers.source"
    monkeypatch.setattr(f"{source}.AutoTokenizer", None)
    own = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert boot_bridge(model).tokenizer.get_vocab() == own.get_vocab()


def test_a_tokenizer_beside_a_folder_is_the_one_that_is_used() -> None:
    other = word_tokenizer("a b c d e")
    bridge = boot_bridge(GOLDEN / "gpt2_tiny" / "model", other)
    assert bridge.tokenizer.get_vocab() == other.get_vocab()
