"""Tasks in MIB's format: rows, files, pairs of tokens, and the areas of every method."""

from __future__ import annotations

import json
from pathlib import Path

import benchmark_models
import pandas as pd
import pytest
import torch

from kc_utils.benchmark import areas_by_method, tasks
from kc_utils.book.benchmark_tables import BenchmarkTables, store_benchmark
from kc_utils.circuits import boot_bridge
from kc_utils.circuits.circuit_size import SHARES
from kc_utils.circuits.evaluation import BatchEvaluation
from kc_utils.errors import KcError
from kc_utils.models.tokenizers import train_bpe

IOI_ROW = {  # as a row of mib-bench/ioi is built
    "prompt": "When Mary and John went home, John gave a drink to",
    "choices": ["John", "Mary"],
    "answerKey": 1,
    "s2_io_flip_counterfactual": {
        "prompt": "When Mary and John went home, Mary gave a drink to",
        "choices": ["John", "Mary"],
        "answerKey": 0,
    },
    "abc_counterfactual": {
        "prompt": "When Anna and Paul went home, Mark gave a drink to",
        "choices": ["John", "Mary"],
        "answerKey": 1,
    },
}


@pytest.fixture(scope="module")
def tokenizer():
    return benchmark_models.tokenizer()


@pytest.fixture(scope="module")
def model():
    return benchmark_models.model()


@pytest.mark.parametrize("name", tasks.TASKS)
def test_rows_are_the_same_for_a_seed_and_differ_in_what_is_asked(name: str) -> None:
    rows = tasks.task_rows(name, 30, 4)
    assert rows == tasks.task_rows(name, 30, 4) != tasks.task_rows(name, 30, 5)
    usual = tasks.TASKS[name][1]
    assert usual in tasks.counterfactuals(rows)
    for row in rows:
        assert tasks._answer(row) != tasks._answer(row[usual])


def test_the_one_who_gives_is_not_the_one_who_gets() -> None:
    for row in tasks.ioi(30, 0):
        giver, io = row["metadata"]["subject"], row["metadata"]["indirect_object"]
        assert row["prompt"].count(giver) == 2 and row["prompt"].count(io) == 1
        assert row["choices"][row["answerKey"]] == io
        other = row["s2_io_flip_counterfactual"]
        assert other["prompt"].count(io) == 2 and other["choices"][other["answerKey"]] == giver
        abc = row["abc_counterfactual"]["prompt"]
        assert giver not in abc and io not in abc


def test_sums_are_right_and_of_one_digit() -> None:
    for row in tasks.addition(40, 0):
        assert int(row["label"]) == row["operand1"] + row["operand2"] < 10
        assert row["prompt"].endswith(f"{row['operand1']} + {row['operand2']} =")
        assert row["random_counterfactual"]["label"] != row["label"]


def test_a_file_holds_what_was_written(tmp_path: Path) -> None:
    for name in tasks.TASKS:
        rows, path = tasks.task_rows(name, 5, 0), tmp_path / f"{name}.jsonl"
        tasks.write_rows(path, rows)
        assert tasks.read_rows(path) == rows
        assert len(path.read_text("utf-8").splitlines()) == 5


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2 is no question"),
        ("[]", "it has no prompt"),
        ('{"prompt": 3, "label": "1"}', "it has no prompt"),
        ('{"prompt": "a"}', "neither choices nor a label"),
        ('{"prompt": "a", "label": true}', "neither choices nor a label"),
        ('{"prompt": "a", "choices": ["x"], "answerKey": 0}', "two or more choices"),
        ('{"prompt": "a", "choices": ["x", "y"], "answerKey": 2}', "two or more choices"),
        ('{"prompt": "a", "choices": ["x", "y"], "answerKey": true}', "two or more choices"),
        (
            '{"prompt": "a", "label": "b", "x_counterfactual": {"label": "c"}}',
            "its 'x_counterfactual' has no prompt",
        ),
        ("[" * 100_000, "line 2 is no question"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "task.jsonl"
    path.write_text(json.dumps(IOI_ROW) + "\n" + line + "\n", "utf-8")
    with pytest.raises(KcError, match="line 2") as error:
        tasks.read_rows(path)
    assert said in str(error.value) and len(str(error.value)) < 400


def test_files_that_are_no_tasks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(KcError, match="There is no file"):
        tasks.read_rows(tmp_path / "missing.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(KcError, match="holds no question"):
        tasks.read_rows(tmp_path / "empty.jsonl")
    (tmp_path / "bytes.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(KcError, match="not a text file"):
        tasks.read_rows(tmp_path / "bytes.jsonl")
    with pytest.raises(KcError, match="'mcqa' is not a task"):
        tasks.task_rows("mcqa", 1, 0)


def test_pairs_have_the_answers_of_the_rows(tokenizer) -> None:
    batch, left_out = tasks.pairs_of([IOI_ROW], tokenizer)
    assert left_out == 0
    prompt = tokenizer.decode(batch.clean_ids[0])
    assert IOI_ROW["prompt"].startswith(prompt.strip()) or prompt.startswith(IOI_ROW["prompt"])
    assert tokenizer.decode(batch.right_ids[:1]).strip() in "Mary"
    assert tokenizer.decode(batch.wrong_ids[:1]).strip() in "John"
    other, _ = tasks.pairs_of([IOI_ROW], tokenizer, "abc_counterfactual")
    assert torch.equal(other.clean_ids, batch.clean_ids)
    assert not torch.equal(other.corrupted_ids, batch.corrupted_ids)
    with pytest.raises(KcError, match="allowed are s2_io_flip_counterfactual, abc_counterfactual"):
        tasks.pairs_of([IOI_ROW], tokenizer, "random_counterfactual")


def test_tokens_that_both_answers_begin_with_belong_to_the_prompt() -> None:
    apart = train_bpe(["1 2 3 4 5 6 7 8 9 + ="], 258)  # bytes: the blank is a token of its own
    row = {"prompt": "1 + 2 =", "label": "3",
           "random_counterfactual": {"prompt": "4 + 4 =", "label": "8"}}  # fmt: skip
    batch, _ = tasks.pairs_of([row], apart)
    assert apart.decode(batch.clean_ids[0]) == "1 + 2 = "
    assert apart.decode(batch.corrupted_ids[0]) == "4 + 4 = "
    assert apart.decode([int(batch.right_ids[0]), int(batch.wrong_ids[0])]) == "38"


def test_rows_without_a_counterfactual_and_no_rows_are_refused(tokenizer) -> None:
    with pytest.raises(KcError, match="share no counterfactual"):
        tasks.pairs_of([{"prompt": "a", "label": "b"}], tokenizer)
    with pytest.raises(KcError, match="at least 1 is needed"):
        tasks.pairs_of([], tokenizer)


def test_rows_that_make_no_pair_are_counted(tokenizer) -> None:
    longer = IOI_ROW | {"s2_io_flip_counterfactual": {"prompt": "Mary gave it to", "label": "John"}}
    batch, left_out = tasks.pairs_of([IOI_ROW, longer], tokenizer)
    assert len(batch) == 1 and left_out == 1
    with pytest.raises(KcError, match="None of 1 rows"):
        tasks.pairs_of([longer], tokenizer)


def test_every_size_of_every_method_has_a_faithfulness(model, tokenizer) -> None:
    bridge = boot_bridge(model, tokenizer)
    halves = [tasks.pairs_of(tasks.ioi(12, seed), tokenizer)[0] for seed in (0, 1)]
    evaluation = BatchEvaluation(bridge, halves[1])
    told: list[str] = []
    curves = areas_by_method.faithfulness_by_size(
        evaluation, halves[0], ("eap", "eap-ig"), signs=(True, False), progress=told.append
    )
    assert told == ["eap", "eap-ig", areas_by_method.RANDOM]
    assert len(curves) == 5 * len(SHARES)
    whole = curves[curves["share"] == 1]
    assert whole["faithfulness"].to_numpy() == pytest.approx(1)
    areas = areas_by_method.areas_by_method(curves).set_index(["method", "cut"])
    found = areas.loc[[("eap-ig", "|score|")], "cmd"].item()
    assert found < areas.loc[[(areas_by_method.RANDOM, "")], "cmd"].item()
    with pytest.raises(KcError, match="No method"):
        areas_by_method.faithfulness_by_size(evaluation, halves[0], ())


def test_a_stored_benchmark_is_whole_or_not_there(tmp_path: Path) -> None:
    table = pd.DataFrame({"task": ["ioi"], "cpr": [0.5]})
    record = {"model": {"name": "m"}, "settings": {}}
    store_benchmark(tmp_path / "b", {"areas": table}, record)
    store_benchmark(tmp_path / "b", {"areas": table}, record)  # an earlier one is replaced
    stored = BenchmarkTables.open(tmp_path / "b")
    pd.testing.assert_frame_equal(stored.table("areas"), table)
    (tmp_path / "b" / "areas.parquet").write_bytes(b"x")
    with pytest.raises(KcError, match="damaged"):
        stored.table("areas")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    with pytest.raises(KcError, match="holds no benchmark"):
        store_benchmark(tmp_path / "other", {"areas": table}, record)
    assert (tmp_path / "other" / "mine.txt").read_text() == "mine"
