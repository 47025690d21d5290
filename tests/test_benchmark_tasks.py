"""Tasks in MIB's format: rows, files, pairs of tokens, and the areas of every method."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel
from typer.testing import CliRunner

from kc_utils.benchmark import areas_by_method, ground_truth, tasks
from kc_utils.book.benchmark_tables import BenchmarkTables, store_benchmark
from kc_utils.circuits import boot_bridge
from kc_utils.circuits.circuit_size import SHARES
from kc_utils.circuits.evaluation import BatchEvaluation
from kc_utils.cli import benchmark, judged_tasks
from kc_utils.cli.main import app
from kc_utils.errors import KcError
from kc_utils.models.tokenizers import save_tokenizer, train_bpe

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
    texts = [row["prompt"] + " " + str(tasks._answer(row)) for name in tasks.TASKS
             for row in tasks.task_rows(name, 60, 9)]  # fmt: skip
    return train_bpe(texts * 3, 700)


@pytest.fixture(scope="module")
def model() -> GPT2LMHeadModel:
    torch.manual_seed(0)
    config = GPT2Config(n_layer=2, n_head=2, n_embd=16, n_positions=64, vocab_size=700,
                        initializer_range=0.4, bos_token_id=0, eos_token_id=0)  # fmt: skip
    return GPT2LMHeadModel(config).double().eval()


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


def kc(*words: str | Path) -> str:
    """What the command line says: its output, or its sentence."""
    result = CliRunner().invoke(app, ["benchmark", *map(str, words)], catch_exceptions=True)
    return str(result.exception) if isinstance(result.exception, KcError) else result.output


@pytest.fixture(scope="module")
def stored_model(tmp_path_factory, model, tokenizer) -> Path:
    folder = tmp_path_factory.mktemp("stored") / "model"
    model.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    return folder


def test_the_command_judges_a_model_on_made_and_on_given_tasks(
    tmp_path: Path, stored_model: Path
) -> None:
    tasks.write_rows(tmp_path / "mine.jsonl", tasks.addition(12, 3))
    words = ["--model", stored_model, "--pairs", 6, "--method", "eap", "--draws", 1]
    output = kc(*words, "--task", "ioi", "--task", tmp_path / "mine.jsonl", "--polish", 6,
                "--out", tmp_path / "out")  # fmt: skip
    assert "areas" in output and "polish" in output
    stored = BenchmarkTables.open(tmp_path / "out")
    assert set(stored.table("areas")["task"]) == {"ioi", "mine"}
    assert stored.table("areas")["cpr_low"].isna().all(), "one draw says nothing of its spread"
    assert stored.record["model"]["name"] == "model"
    counts = stored.table("pairs")[["discovery", "held_out", "left_out"]]
    assert counts.sum(axis=1).tolist() == [12, 12] and (counts["held_out"] > 2).all()
    polished = stored.table("polish").set_index(["task", "circuit"])["n_edges"]
    for task in ("ioi", "mine"):
        assert polished[task, "polished"] <= polished[task, "cut"]
    made = tasks.read_rows(tmp_path / "out" / "ioi.jsonl")
    assert made == [*tasks.ioi(6, 0), *tasks.ioi(6, 1)]


def test_areas_are_means_over_draws_with_an_interval(tmp_path: Path, stored_model: Path) -> None:
    words = ["--model", stored_model, "--method", "eap", "--task", "addition"]
    kc(*words, "--pairs", 8, "--draws", 3, "--out", tmp_path / "three")
    stored = BenchmarkTables.open(tmp_path / "three")
    each, areas = stored.table("draws"), stored.table("areas")
    assert len(each) == 3 * len(areas) and (areas["draws"] == 3).all()
    for row in areas.itertuples():
        own = each[(each["method"] == row.method) & (each["cut"] == row.cut)]["cmd"]
        assert row.cmd == pytest.approx(own.mean())
        half = 4.3027 * own.std() / 3**0.5  # Student's t for two degrees of freedom
        assert (row.cmd_low, row.cmd_high) == pytest.approx((own.mean() - half, own.mean() + half))
    curves = stored.table("curves")
    assert len(curves) == len(areas) * len(SHARES)
    assert curves[curves["share"] == 1]["faithfulness"].to_numpy() == pytest.approx(1)
    kc(*words, "--pairs", 8, "--draws", 1, "--seed", 1, "--out", tmp_path / "second")
    second = BenchmarkTables.open(tmp_path / "second").table("areas")["cmd"]
    assert second.to_numpy() == pytest.approx(each[each["draw"] == 1]["cmd"].to_numpy())
    assert each[each["draw"] == 0]["cmd"].to_numpy() != pytest.approx(second.to_numpy())


def test_draws_of_a_file_share_no_row(tmp_path: Path) -> None:
    path, rows = tmp_path / "mine.jsonl", tasks.addition(13, 3)
    tasks.write_rows(path, rows)
    asked = judged_tasks.Asked(50, 3, 5, 0, "logit_diff", None, None)
    draws = judged_tasks.draws_of(str(path), asked)
    assert [row for halves in draws for half in halves for row in half] == rows[:12]
    with pytest.raises(KcError, match="holds 13 rows; two halves of 7 draws need at least 14"):
        judged_tasks.draws_of(str(path), replace(asked, draws=7))


def test_another_metric_judges_and_scores(tmp_path: Path, stored_model: Path) -> None:
    words = ["--model", stored_model, "--task", "ioi", "--pairs", 6, "--draws", 1]
    found = {}
    for metric in ("logit_diff", "kl"):
        kc(*words, "--method", "eap-ig", "--metric", metric, "--out", tmp_path / metric)
        stored = BenchmarkTables.open(tmp_path / metric)
        assert stored.record["settings"]["metric"] == metric
        found[metric] = stored.table("curves")
    assert (found["kl"]["faithfulness"] <= 1 + 1e-9).all(), "KL to the model is never below 0"
    assert not np.allclose(found["kl"]["faithfulness"], found["logit_diff"]["faithfulness"])
    said = kc(*words, "--method", "eap", "--metric", "kl")
    assert "eap scores every edge 0 by --metric kl" in said and "clean-corrupted" in said
    assert benchmark._gradient_methods(None, "kl") == [
        "eap-ig", "eap-ig-activations", "clean-corrupted"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--task", "ioi"], "--task has no effect without --model"),
        (["--polish", "0"], "--polish has no effect without --model; leave it out."),
        (["--seed", "0"], "--seed has no effect without --model"),
        (["--pairs", "24"], "--pairs has no effect without --model"),
        (["--draws", "3"], "--draws has no effect without --model"),
        (["--metric", "logit_diff"], "--metric has no effect without --model"),
        (["--metric", "accuracy"], "--metric 'accuracy' is not one of logit_diff, prob_diff, kl"),
        (["--draws", "0"], "need to be at least 1"),
        (["--batch-size", "2"], "--batch-size has no effect without --model"),
        (["--model", "x", "--task", "ioi", "--seeds", "3"], "--seeds has no effect with --model"),
        (["--keep"], "--keep stores what takes long"),
        (["--model", "nowhere"], "--model needs a --task"),
        (["--model", "nowhere", "--task", "ioi"], "nowhere"),
        (["--model", "nowhere", "--task", "mcqa"], "'mcqa' is not a task"),
        (["--model", "nowhere", "--task", "none.jsonl"], "There is no file"),
        (["--model", "x", "--task", "ioi", "--counterfactual", "abc"], "is for rows of a file"),
        (["--method", "magic"], "is not one of eap"),
        (["--model", "x", "--task", "ioi", "--method", "exact"], "is not one of eap"),
        (["--pairs", "0"], "--pairs 0 is not possible; allowed are whole numbers from 1"),
        (["--model", "x", "--task", "addition", "--seed", "-1"], "--seed -1 is not possible"),
    ],
)
def test_a_mistake_is_said_in_one_sentence(words: list[str], said: str) -> None:
    output = kc(*words)
    assert said in output and "Traceback" not in output


@pytest.mark.parametrize("words", [[], ["--model", "nowhere", "--task", "ioi"]])
def test_a_folder_that_cannot_be_written_is_refused_before_anything_else(
    tmp_path: Path, words: list[str], monkeypatch
) -> None:
    monkeypatch.setattr(ground_truth, "cases", lambda: pytest.fail("it computes"))
    (tmp_path / "file").touch()
    assert "/file' is no folder; choose another" in kc(*words, "--out", tmp_path / "file" / "x")
    if words:
        assert "holds no benchmark; choose another --out" in kc(*words, "--out", tmp_path)
    (tmp_path / "file").unlink()
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    assert "you may not write into" in kc(*words, "--out", tmp_path / "new")
    assert not list(tmp_path.iterdir())
