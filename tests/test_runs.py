"""Run folders: keys, digests, and refusing what is damaged or does not belong."""

from __future__ import annotations

import pandas as pd
import pytest

from kc_utils.config import profiles
from kc_utils.errors import KcError
from kc_utils.runs.folder import Run
from kc_utils.runs.stage import Stage, Stages, Workspace
from kc_utils.study.stages import STAGES


def one(work: Workspace) -> None:
    pieces = [work.piece(str(i), lambda i=i: pd.DataFrame({"value": [i]})) for i in range(3)]
    work.table("one", pd.concat(pieces, ignore_index=True))


def two(work: Workspace) -> None:
    work.table("two", work.run.table("one") * work.config.circuit.top_n)


TOY = Stages(
    (
        Stage("one", "01_one", (), lambda c: [c.seed], one),
        Stage("two", "02_two", ("one",), lambda c: [c.circuit.top_n], two),
    )
)


@pytest.fixture
def run(tmp_path) -> Run:
    return Run.create(tmp_path / "run", profiles.load("smoke"))


def finish(run: Run) -> Run:
    for stage in TOY:
        TOY.ensure(run, stage.name)
    return run


def test_a_stage_runs_once_and_again_when_its_settings_change(run) -> None:
    first = finish(run).table("two")["value"].tolist()
    again = Run.create(run.path, profiles.load("smoke", ["circuit.top_n=30"]))
    assert TOY.done(again, "one")
    assert not TOY.done(again, "two")
    assert finish(again).table("two")["value"].tolist() != first


def test_a_stage_whose_input_is_missing_says_which(run) -> None:
    with pytest.raises(KcError, match=r"'two' needs stage 'one'.*kc run"):
        TOY.ensure(run, "two")


def test_pieces_of_a_killed_stage_are_used_and_those_of_other_settings_are_not(run) -> None:
    key = TOY.key(run.config, "one")
    work = Workspace(run, "one", key)
    work.piece("1", lambda: pd.DataFrame({"value": [41]}))
    assert finish(run).table("one")["value"].tolist() == [0, 41, 2]
    other = Run.create(run.path, profiles.load("smoke", ["seed=5"]))
    assert finish(other).table("one")["value"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("damage", [b"", b"nonsense"])
def test_a_damaged_table_is_named_and_never_used(run, damage) -> None:
    path = finish(run).table_path("one")
    path.write_bytes(damage)
    with pytest.raises(KcError, match=r"one\.parquet is damaged.*--from one"):
        run.table("one")


def test_one_changed_byte_is_found(run) -> None:
    path = finish(run).table_path("one")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(KcError, match="damaged"):
        run.table("one")


def test_a_missing_table_is_named(run) -> None:
    finish(run).table_path("one").unlink()
    with pytest.raises(KcError, match=r"one\.parquet.*missing"):
        run.table("one")


def test_a_damaged_run_json_is_named(run) -> None:
    (run.path / "run.json").write_text("{")
    with pytest.raises(KcError, match=r"run\.json is damaged"):
        Run.open(run.path)


def test_another_profile_or_a_foreign_folder_is_refused(run, tmp_path) -> None:
    with pytest.raises(KcError, match=r"profile 'smoke', not 'tiny'"):
        Run.create(run.path, profiles.load("tiny"))
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.tex").write_text("precious")
    with pytest.raises(KcError, match="not empty"):
        Run.create(tmp_path / "foreign", profiles.load("tiny"))
    assert [p.name for p in (tmp_path / "foreign").iterdir()] == ["thesis.tex"]


def test_forgetting_a_stage_forgets_what_depends_on_it(run) -> None:
    TOY.forget(finish(run), "one")
    assert not TOY.done(run, "one")
    assert not TOY.done(run, "two")


def test_circuit_size_does_not_retrain_and_epochs_do() -> None:
    base = profiles.load("tiny")
    size = profiles.load("tiny", ["circuit.top_n=100"])
    epochs = profiles.load("tiny", ["training.epochs=3"])
    for name in ("world", "base", "training", "attribution"):
        assert STAGES.key(base, name) == STAGES.key(size, name)
    assert STAGES.key(base, "circuit") != STAGES.key(size, "circuit")
    assert STAGES.key(base, "base") == STAGES.key(epochs, "base")
    for name in ("training", "attribution", "claims"):
        assert STAGES.key(base, name) != STAGES.key(epochs, name)
