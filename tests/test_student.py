"""``kc student``: what is handed out, what is never handed out, what is never overwritten."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, kc, python
from exercise_cells import PATHS, load, outcomes

from kc_utils.book import student
from kc_utils.book.exercises import BEGIN, END, exercises_of, source_of
from kc_utils.book.student import write_student
from kc_utils.errors import KcError
from kc_utils.runs.folder import Run
from kc_utils.study.stages import STAGES
from kc_utils.study.stages.common import open_bridge


@pytest.fixture(scope="module")
def handed_out(tmp_path_factory: pytest.TempPathFactory, smoke_run: Path) -> Path:
    """The folder of a participant, with a run."""
    out = tmp_path_factory.mktemp("student") / "exercises"
    done = kc("student", "--out", out, "--run-dir", smoke_run)
    assert "exercises, run of" in done.stdout
    return out


def tags(cell: dict[str, Any]) -> list[str]:
    return cell["metadata"].get("tags", [])


def outside(source: str) -> tuple[list[str], list[str]]:
    """Lines before and after the marked part of a solution."""
    lines = source.splitlines()
    marks = [i for i, line in enumerate(lines) if line.strip() in (BEGIN, END)]
    return lines[: marks[0]], lines[marks[1] + 1 :]


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
def test_only_solutions_and_the_run_differ(path: Path, handed_out: Path) -> None:
    stored = load(path)
    mine = load(handed_out / "notebooks" / "exercises" / path.name)
    assert {k: v for k, v in mine.items() if k != "cells"} == {
        k: v for k, v in stored.items() if k != "cells"
    }
    left = [cell for cell in stored["cells"] if "explanation" not in tags(cell)]
    for cell, own in zip(left, mine["cells"], strict=True):
        theirs, text = source_of(cell), source_of(own)
        if "parameters" in tags(cell):
            assert (
                text == theirs.replace('run_dir = "runs/tiny"', 'run_dir = "../../run"') != theirs
            )
        elif "solution" in tags(cell):
            (before, after), lines = outside(theirs), text.splitlines()
            assert lines[: len(before)] == before and lines[len(before) + 1 :] == after
            assert lines[len(before)].strip().startswith("raise NotImplementedError(")
        else:
            assert text == theirs
        assert {k: v for k, v in own.items() if k != "source"} == {
            k: v for k, v in cell.items() if k != "source"
        }


def test_no_line_of_a_solution_is_handed_out(handed_out: Path) -> None:
    given = "\n".join(p.read_text() for p in handed_out.rglob("*") if p.suffix in (".md", ".ipynb"))
    for path in PATHS:
        notebook = load(path)
        for exercise in exercises_of(notebook, path):
            lines = source_of(notebook["cells"][exercise.cells["solution"]]).splitlines()
            marks = [i for i, line in enumerate(lines) if line.strip() in (BEGIN, END)]
            secret = json.dumps("\n".join(lines[marks[0] + 1 : marks[1]]))[1:-1]
            assert secret not in given.replace('\\n",\n    "', "\\n"), exercise.number


def test_the_copy_of_the_run_is_a_finished_run(handed_out: Path, smoke_run: Path) -> None:
    copy, run = Run.open(handed_out / "run"), Run.open(smoke_run)
    for stage in STAGES.study:
        assert STAGES.done(copy, stage.name)
        copy.verify_stage(stage.name)
    last = int(run.table("checkpoints")["step"].iloc[-1])
    assert open_bridge(copy, last).cfg.n_layers == run.config.model.n_layers
    size = {p: sum(len(c) for c in snapshot(p).values()) for p in (copy.path, run.path)}
    assert size[copy.path] < 0.7 * size[run.path]


def test_all_checkpoints_can_be_taken_along(tmp_path: Path, smoke_run: Path) -> None:
    write_student(tmp_path / "out", smoke_run, all_checkpoints=True)
    copied, there = (sorted(p.name for p in (r / "checkpoints").glob("step-*"))
                     for r in (tmp_path / "out" / "run", smoke_run))  # fmt: skip
    assert copied == there and len(there) > 2


def test_a_participant_opens_the_first_notebook(handed_out: Path) -> None:
    folder = handed_out / "notebooks" / "exercises"
    program = (
        "import json, sys\n"
        "space = {}\n"
        "for cell in json.load(open(sys.argv[1]))['cells']:\n"
        "    if 'exercise' in cell['metadata'].get('tags', []): break\n"
        "    if cell['cell_type'] == 'code': exec(''.join(cell['source']), space)\n"
        "print(len(space['people']))"
    )
    done = python("-c", program, PATHS[0].name, cwd=folder)
    assert done.returncode == 0 and int(done.stdout) > 0, done.stderr[-2000:]


@pytest.mark.slow
def test_every_exercise_can_be_done_on_the_copy(handed_out: Path) -> None:
    for path in PATHS:
        errors = [error for error in outcomes(load(path), handed_out / "run").values() if error]
        assert errors == [], path.name


def test_the_readme_lists_the_exercises(handed_out: Path) -> None:
    text = (handed_out / "README.md").read_text()
    assert text.count("](notebooks/exercises/e") >= 20 and "MiB" in text


def test_no_link_of_the_folder_leads_nowhere(handed_out: Path) -> None:
    files = [handed_out / "README.md", *handed_out.glob("notebooks/**/*.ipynb")]
    for path in files:
        cells = load(path)["cells"] if path.suffix == ".ipynb" else [{"source": path.read_text()}]
        text = "\n".join(source_of(c) for c in cells if c.get("cell_type") != "code")
        links = [x for x in re.findall(r"\]\(([^)\s]+)\)", text) if not x.startswith("http")]
        assert links and not [x for x in links if not (path.parent / x).is_file()], path.name


def test_the_prose_of_the_folder_is_plain_markdown(handed_out: Path) -> None:
    """Roles and directives of the book are shown as they stand by JupyterLab."""
    for path in handed_out.glob("notebooks/**/*.ipynb"):
        prose = [source_of(c) for c in load(path)["cells"] if c["cell_type"] == "markdown"]
        found = re.search(r"\{[\w:]+\}`|^[`:]{3,}\{|^\([\w-]+\)=$", "\n".join(prose), re.MULTILINE)
        assert not found, f"{path.name}: {found[0]}"
        assert (
            "{term}`" in (ROOT / "notebooks" / "03_circuit_discovery.ipynb").read_text()
        )  # control


def test_without_a_run_the_notebooks_keep_theirs(tmp_path: Path) -> None:
    made = write_student(tmp_path / "out")
    assert made.run_mib == 0 and not (tmp_path / "out" / "run").exists()
    first = load(tmp_path / "out" / "notebooks" / "exercises" / PATHS[0].name)
    (parameters,) = [c for c in first["cells"] if "parameters" in tags(c)]
    assert 'run_dir = "runs/tiny"' in source_of(parameters)


def test_an_untouched_folder_is_written_again(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_student(out)
    before = snapshot(out)
    (out / "notebooks" / ".ipynb_checkpoints").mkdir()
    write_student(out)
    assert snapshot(out) == before
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_somebodys_work_is_never_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_student(out)
    notebook = out / "notebooks" / "exercises" / PATHS[1].name
    notebook.write_text(notebook.read_text().replace("raise NotImplementedError", "return 1 #", 1))
    before = snapshot(out)
    with pytest.raises(KcError, match=rf"{PATHS[1].name} was changed or added.*another --out"):
        write_student(out)
    assert snapshot(out) == before


def test_a_foreign_folder_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "out" / "notes.txt"
    file.parent.mkdir()
    file.write_text("mine")
    done = kc("student", "--out", tmp_path / "out", check=False)
    assert done.returncode == 2 and "choose another --out" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["out"] and file.read_text() == "mine"


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(KcError, match="out is not a folder"):
        write_student(tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_checkpoints_of_no_run_are_refused(tmp_path: Path) -> None:
    done = kc("student", "--out", tmp_path / "out", "--all-checkpoints", check=False)
    assert done.returncode == 2 and not (tmp_path / "out").exists()
    assert done.stderr.startswith("kc: --all-checkpoints has no effect without --run-dir")


def test_a_run_that_is_not_finished_is_refused(tmp_path: Path, own_run: Path) -> None:
    run = Run.open(own_run)
    del run.record["stages"]["forgetting"]
    run.save()
    with pytest.raises(KcError, match="does not hold stage 'forgetting' yet"):
        write_student(tmp_path / "out", own_run)
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_that_is_gone_is_missed_before_participants_do(
    tmp_path: Path, own_run: Path
) -> None:
    last = max((own_run / "checkpoints").glob("step-*"))
    shutil.rmtree(last)
    with pytest.raises(KcError, match=rf"{last.name}/.* is missing; 'kc run .*--from training'"):
        write_student(tmp_path / "out", own_run)
    assert not (tmp_path / "out").exists()


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch) -> None:
    def fail(*_: object) -> str:
        raise RuntimeError("no space left")

    monkeypatch.setattr(student, "readme", fail)
    with pytest.raises(RuntimeError):
        write_student(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_command_is_documented_where_readers_look() -> None:
    assert "kc student --out" in (ROOT / "book" / "exercises.md").read_text()
