"""Run folders: keys, digests, and refusing what is damaged or does not belong."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from kc_utils import artifacts
from kc_utils.config import profiles
from kc_utils.errors import KcError, typed_path
from kc_utils.runs.folder import Run
from kc_utils.runs.record import commit
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


def test_a_piece_with_one_changed_bit_is_computed_again_and_said_to_be(run, caplog) -> None:
    work = Workspace(run, "one", TOY.key(run.config, "one"))
    work.piece("0", lambda: pd.DataFrame({"value": [40]}))
    work.piece("1", lambda: pd.DataFrame({"value": [41]}))
    damaged = work.parts / "0.parquet"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 3] ^= 8
    damaged.write_bytes(content)
    assert finish(run).table("one")["value"].tolist() == [0, 41, 2]
    assert "0.parquet is damaged: it is computed again" in caplog.text
    assert not list(run.path.rglob("*.sha256"))


def test_of_a_symbolic_link_the_link_is_removed(tmp_path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").touch()
    link = tmp_path / "scores"
    for target in ("elsewhere", "nowhere"):
        link.symlink_to(tmp_path / target)
        artifacts.remove(link)
        assert not link.is_symlink() and (tmp_path / "elsewhere" / "kept").exists()
    artifacts.remove(tmp_path / "elsewhere")
    assert not list(tmp_path.iterdir()), "control: a folder is removed with what is in it"


def test_a_write_that_fails_leaves_nothing(tmp_path) -> None:
    (tmp_path / "a.txt").write_text("old")

    def fail(path) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        artifacts.write_atomically(tmp_path / "a.txt", fail)
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"x")])
def test_the_proposed_command_keeps_the_settings_of_the_run(tmp_path, harm) -> None:
    settings = profiles.load("smoke", ["seed=1", "circuit.top_n=12"])
    run = finish(Run.create(tmp_path / "my run", settings))
    harm(run.table_path("one"))
    again = f'kc run --profile smoke --run-dir "{run.path}" --set seed=1 --set circuit.top_n=12'
    with pytest.raises(KcError, match=r"one\.parquet") as refusal:
        run.table("one")
    assert f"'{again} --from one' recomputes it" in str(refusal.value)


def test_an_unknown_profile_makes_no_folder_and_is_refused_for_a_run_that_is_there(
    run, tmp_path
) -> None:
    for path in (tmp_path / "new" / "run", run.path):
        with pytest.raises(KcError, match="Unknown profile 'tinny'; allowed are"):
            Run.open_or_create(path, "tinny")
    assert not (tmp_path / "new").exists()


def test_what_is_no_run_is_told_what_it_is(run, tmp_path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    for path, words in (
        (run.path / "tables", f"it lies in that of the run '{run.path}'"),
        (tmp_path / "full", "it holds something else, and a new run needs a new or empty folder"),
        (tmp_path / "full" / "file", "it holds something else, and a new run"),
        (tmp_path / "new one", f'--profile tiny --run-dir "{tmp_path}/new one"'),
    ):
        with pytest.raises(KcError, match=r"holds no run \(no run\.json\)") as refusal:
            Run.open(path)
        assert words in str(refusal.value)


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


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"stages": []}, "stages"),
        ({"stages": {"one": {"key": 3, "seconds": 1.0, "wrote": {}}}}, r"stages\.one\.key"),
        ({"stages": {"one": {"key": "a", "seconds": "soon", "wrote": {}}}}, "seconds"),
        ({"stages": {"one": {"key": "a", "seconds": -1.0, "wrote": {}}}}, "seconds"),
        ({"other_seconds": {"book": float("inf")}}, "other_seconds"),
        ({"notebook": {}}, "notebook"),
        ({"config": None}, "config"),
        ({"other_seconds": {"book": 1.0}}, "digest"),  # of the right shape
    ],
)
def test_a_run_json_of_another_shape_or_content_is_named(run, change, said) -> None:
    path = finish(run).path / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(KcError, match=rf"run\.json is damaged.*{said}"):
        Run.open(run.path)


def test_any_changed_bit_of_run_json_is_named(run) -> None:
    path = finish(run).path / "run.json"
    content = path.read_bytes()
    for place in range(0, len(content), 37):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            read = Run.open(run.path)
        except KcError as error:
            assert "run.json" in str(error)
        else:  # white space
            assert read.record == run.record


def test_without_git_the_commit_is_not_recorded(monkeypatch, tmp_path) -> None:
    assert commit() is None or len(commit()) == 12
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit() is None


def test_another_profile_or_a_foreign_folder_is_refused(run, tmp_path) -> None:
    with pytest.raises(KcError, match=r"profile 'smoke', not 'tiny'"):
        Run.create(run.path, profiles.load("tiny"))
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.tex").write_text("precious")
    with pytest.raises(KcError, match="not empty"):
        Run.create(tmp_path / "foreign", profiles.load("tiny"))
    assert [p.name for p in (tmp_path / "foreign").iterdir()] == ["thesis.tex"]


def test_paths_that_cannot_be_are_refused_and_home_is_known() -> None:
    for wrong in ("~nosuch", "~nosuch/run"):
        with pytest.raises(KcError, match=f"{wrong}' is not possible: there is no such user"):
            Run.open(wrong)
    with pytest.raises(KcError, match=r"udcff' is not possible: it is not UTF-8"):
        Run.draft("\udcff", profiles.load("smoke"))
    assert typed_path("~/runs") == Path.home() / "runs"


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


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ([], "run.json is damaged: it holds no record of a run."),
        ({"config": {"nonsense": 1}, "stages": {}}, "run.json holds what this version refuses:"),
        ({"config": {}, "stages": {"world": {"key": "k", "seconds": float("nan"), "wrote": {}}}},
         "run.json is damaged: stages.world.seconds: Input should be a finite number."),
    ],
    ids=["list", "configuration", "seconds"],
)  # fmt: skip
def test_a_record_of_another_shape_is_refused_with_its_file(tmp_path: Path, record, said) -> None:
    (tmp_path / "run.json").write_text(json.dumps(record))
    with pytest.raises(KcError) as caught:
        Run.open(tmp_path)
    assert f"{tmp_path / said}" in str(caught.value)
