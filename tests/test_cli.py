"""The command line: what it says, its exit codes, and that a mistake overwrites nothing."""

from __future__ import annotations

import hashlib
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, kc

from kc_utils import artifacts
from kc_utils.book.build import stored_notebooks
from kc_utils.cli.app import app
from kc_utils.cli.outcome import outcome
from kc_utils.config import profiles
from kc_utils.runs.folder import Run
from kc_utils.study.stages import STAGES

NOTEBOOKS = stored_notebooks(ROOT)


def snapshot(folder: Path) -> dict[str, str]:
    files = (p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "training.epoch=5"], ["training.epoch", "training.epochs"]),
        (["--set", "training.epochs=-5"], ["training.epochs", "-5"]),
        (["--set", "circuit.top_n=10000000"], ["circuit.top_n", "10000000", "edges"]),
        (["--set", "world.n_people=6"], ["band"]),
        (["--from", "circus"], ["circus", "circuit"]),
        (["--profile", "giant"], ["giant", "tiny"]),
    ],
)
@pytest.mark.slow
def test_a_mistake_is_one_sentence_exit_2_and_nothing_changes(
    own_run: Path, arguments: list[str], words: list[str]
) -> None:
    before = snapshot(own_run)
    profile = [] if "--profile" in arguments else ["--profile", "smoke"]
    done = kc("run", *profile, "--run-dir", own_run, *arguments, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("kc: ")
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert all(word in done.stderr for word in words), done.stderr
    assert snapshot(own_run) == before


@pytest.mark.parametrize("mistake", [["--profile", "giant"], ["--set", "training.epoch=5"]])
def test_a_mistyped_setting_is_named_before_long_imports(mistake: list[str]) -> None:
    code = (
        "import sys; from kc_utils.cli import main\n"
        f"sys.argv = ['kc', 'run', *{mistake}]\n"
        "try: main.main()\n"
        "finally: print('torch' in sys.modules, 'papermill' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (2, "False False")
    assert done.stderr.startswith("kc: ")


def test_a_mistake_makes_no_run_folder(tmp_path: Path) -> None:
    target = tmp_path / "run"
    done = kc("run", "--profile", "smoke", "--run-dir", target, "--set", "seed=-1", check=False)
    assert (done.returncode, target.exists()) == (2, False)


@pytest.mark.parametrize("option", ["--to", "--from"])
def test_an_empty_name_of_a_stage_is_refused(tmp_path: Path, option: str) -> None:
    line = ("run", "--profile", "smoke", "--run-dir", tmp_path / "run", option, "")
    done = kc(*line, "--no-notebooks", check=False)
    assert (done.returncode, (tmp_path / "run").exists()) == (2, False)
    assert done.stderr.startswith("kc: Unknown stage ''; allowed are world")


def test_status_of_no_run_says_how_to_start_one(tmp_path: Path) -> None:
    done = kc("status", tmp_path / "none", check=False)
    assert done.returncode == 2
    assert "kc run" in done.stderr


@pytest.mark.parametrize("start", [["--from", "circuit"], ["--from=circuit"]])
def test_the_start_that_is_proposed_is_the_command_as_it_was_typed(
    tmp_path: Path, start: list[str], capsys
) -> None:
    options = ["--profile", "smoke", "--set", "seed=3", "--run-dir", str(tmp_path / "my run")]
    assert outcome(lambda: app(["run", *options[:2], *start, *options[2:], "--no-notebooks"])) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "holds no run (no run.json); start one with 'kc run" in said
    command = said[said.index("'kc run") + 1 : said.rindex("'")]
    assert shlex.split(command) == ["kc", "run", *options, "--no-notebooks"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "start one with 'kc run --profile tiny --run-dir runs/tiny'"),
        (["--profile", "smoke"], "start one with 'kc run --profile smoke --run-dir runs/smoke'"),
        (["--profile", "smok"], "Unknown profile 'smok'; allowed are"),
        (["--profile", "smoke", "--run-dir", "x"], "--profile has no effect with --run-dir"),
    ],
)
def test_the_book_of_no_run_proposes_the_profile_that_was_named(
    words: list[str], said: str, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    assert outcome(lambda: app(["book", *words])) == 2
    assert said in capsys.readouterr().err


def test_help_names_every_command_and_option() -> None:
    text = kc("--help").stdout
    for command in ("run", "book", "status", "profiles", "parity", "reference"):
        assert command in text
    options = kc("run", "--help").stdout
    for option in ("--profile", "--set", "--run-dir", "--from", "--to"):
        assert option in options


def test_profiles_are_listed() -> None:
    text = kc("profiles").stdout
    for name in ("smoke", "tiny", "tiny-llama", "smollm2-mini", "gpt2", "phi-1.5"):
        assert name in text


@pytest.mark.slow
def test_status_of_a_finished_run(smoke_run: Path) -> None:
    text = kc("status", smoke_run).stdout
    assert text.count("done") >= 11
    assert "missing" not in text
    assert "out of date" not in text


def test_status_names_files_of_a_finished_stage_that_are_gone(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", profiles.load("smoke"))
    files = [run.path / "data" / name for name in ("people.parquet", "texts.parquet")]
    for path in files:
        artifacts.write_json(path, "a table")
    run.record_stage("world", STAGES.key(run.config, "world"), 1.0, [run.path / "data"])
    text = kc("status", run.path).stdout
    assert "done" in text and "gone" not in text
    files[0].unlink()
    text = kc("status", run.path).stdout
    assert "files are gone" in text and "done" not in text
    assert "data/people.parquet of stage world is gone; 'kc run --profile smoke" in text
    files[1].unlink()
    text = kc("status", run.path).stdout
    assert "data/people.parquet and 1 more of stage world are gone" in text
    assert f"--run-dir {run.path} --from world' computes them again." in text


@pytest.mark.slow
def test_a_second_run_recomputes_nothing(smoke_run: Path) -> None:
    def times() -> dict[Path, int]:
        folders = (smoke_run / "tables", smoke_run / "notebooks")
        return {p: p.stat().st_mtime_ns for folder in folders for p in folder.iterdir()}

    before = times()
    kc("run", "--profile", "smoke", "--run-dir", smoke_run)
    assert times() == before
    assert len(list((smoke_run / "notebooks").rglob("*.ipynb"))) == len(NOTEBOOKS)


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["cut", "missing"])
def test_a_damaged_or_missing_artefact_is_named_and_nothing_is_overwritten(
    own_run: Path, damage: str
) -> None:
    file = own_run / "tables" / "topology.parquet"
    content = file.read_bytes()[:-7]
    file.unlink() if damage == "missing" else file.write_bytes(content)
    before = snapshot(own_run)
    done = kc("run", "--profile", "smoke", "--run-dir", own_run, check=False)
    assert done.returncode == 2
    assert "topology.parquet" in done.stderr
    assert "--from topology" in done.stderr
    assert snapshot(own_run) == before


@pytest.mark.slow
def test_from_computes_a_stage_again(own_run: Path) -> None:
    before = snapshot(own_run / "tables")
    (own_run / "tables" / "claims.parquet").unlink()
    options = ["--run-dir", own_run, "--from", "claims", "--no-notebooks"]
    kc("run", "--profile", "smoke", *options)
    assert snapshot(own_run / "tables") == before
