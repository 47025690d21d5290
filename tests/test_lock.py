"""One writer per run folder: others are refused by name, and a dead holder holds nothing."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from kc_utils.config import profiles
from kc_utils.errors import KcError
from kc_utils.runs.folder import Run
from kc_utils.runs.lock import lock_file, locked
from kc_utils.runs.stage import Stage, Stages

_HOLD = """
import sys
from pathlib import Path
from kc_utils.runs.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""
TOY = Stages((Stage("one", "01_one", (), lambda c: [c.seed], lambda work: None),))


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of ``tmp_path / "run"`` until its input ends."""
    command = [sys.executable, "-c", _HOLD, str(tmp_path / "run")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_writer_is_refused_and_told_who_holds_the_folder(holder, tmp_path) -> None:
    with pytest.raises(KcError, match=rf"being written by process {holder.pid} \(-c .*run\)"):
        with locked(tmp_path / "run"):
            pass
    holder.communicate("")
    with locked(tmp_path / "run"):
        pass
    assert not lock_file(tmp_path / "run").exists()


def test_a_command_that_is_not_utf_8_holds_a_lock_too(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["kc", "facts", "\udcff"])
    with locked(tmp_path / "run"):
        assert lock_file(tmp_path / "run").read_text().endswith(r"(kc facts \udcff)")


def test_a_killed_holder_holds_nothing(holder, tmp_path) -> None:
    (tmp_path / "run" / "tables").mkdir(parents=True)
    (tmp_path / "run" / "tables" / ".a.parquet.1.partial").write_text("half")
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with locked(tmp_path / "run"):
        assert not [p for p in (tmp_path / "run").rglob("*") if p.is_file()]


@pytest.mark.parametrize("where", ["/proc/run", "/proc/new/run", "file/run"])
def test_where_no_folder_can_be_made_nobody_else_is_said_to_write(tmp_path, where: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KcError, match=r"run' is not possible: nothing can be written into '.*'"):
        with locked(tmp_path / where):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_stage_is_not_computed_beside_another_writer_but_can_be_read(tmp_path) -> None:
    run = Run.create(tmp_path / "run", profiles.load("smoke"))
    with locked(run.path):
        with pytest.raises(KcError, match="is being written by"):
            TOY.ensure(run, "one")
        TOY.compute(run, "one")  # what the holder does
        TOY.ensure(run, "one")  # done: nothing is written
        assert Run.open(run.path).record["stages"]["one"]


def test_a_stage_is_not_computed_for_a_configuration_that_has_changed(tmp_path) -> None:
    run = Run.create(tmp_path / "run", profiles.load("smoke"))
    Run.create(run.path, profiles.load("smoke", ["seed=5"]))
    with pytest.raises(KcError, match="was changed by another process"):
        TOY.ensure(run, "one")
    assert Run.open(run.path).record["stages"] == {}


def test_what_another_process_has_finished_meanwhile_is_kept(tmp_path) -> None:
    first = Run.create(tmp_path / "run", profiles.load("smoke"))
    second = Run.open(first.path)
    TOY.ensure(first, "one")
    done = Run.open(first.path).record
    TOY.ensure(second, "one")
    assert Run.open(first.path).record == done == second.record
