"""``kc student`` gives nothing away: no output, no path; and it never loses an older folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from exercise_cells import PATHS, load

from kc_utils import config
from kc_utils.book import student
from kc_utils.book.student import write_student
from kc_utils.errors import KcError
from kc_utils.runs.folder import Run
from kc_utils.study.stages import STAGES

ROOT = Path(__file__).resolve().parent.parent
SECRET = "forty-two"
HOME = "/" + "home/teacher/courses"  # spelled so that it is no path of a machine


def executed(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook as JupyterLab and papermill leave it after a teacher has run it."""
    for i, cell in enumerate(notebook["cells"]):
        cell["metadata"] |= {"papermill": {"duration": 1.5}, "solution": SECRET}
        if cell["cell_type"] == "code":
            cell["execution_count"] = i + 1
            cell["outputs"] = [
                {"output_type": "stream", "name": "stdout", "text": [f"{SECRET} in {HOME}\n"]}
            ]
    notebook["metadata"] |= {
        "papermill": {"parameters": {"run_dir": f"{HOME}/run"}},
        "widgets": {"state": SECRET},
    }
    notebook["metadata"]["kernelspec"]["path"] = f"{HOME}/python"
    return notebook


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout whose notebooks somebody has run in their place."""
    root = tmp_path / "project"
    folder = root / "notebooks" / "exercises"
    folder.mkdir(parents=True)
    (root / "book").mkdir()
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, root)
    chapter = sorted((ROOT / "notebooks").glob("*.ipynb"))[0]
    for source, target in ((PATHS[0], folder), (chapter, root / "notebooks")):
        text = json.dumps(executed(load(source)))
        (target / source.name).write_text(text, "utf-8")
    return root


def contents(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def test_what_an_execution_left_is_not_handed_out(project: Path, tmp_path: Path) -> None:
    kept = contents(project)
    assert SECRET in "".join(map(str, kept.values()))  # the control
    out = tmp_path / "out"
    write_student(out, root=project)
    given = contents(out)
    assert len([name for name in given if name.endswith(".ipynb")]) == 2
    for name, content in given.items():
        assert SECRET.encode() not in content and HOME.encode() not in content, name
        assert str(tmp_path).encode() not in content, name
    assert contents(project) == kept


def test_a_reader_keeps_tags_kernel_and_folded_cells(project: Path, tmp_path: Path) -> None:
    write_student(tmp_path / "out", root=project)
    for path in (tmp_path / "out").rglob("*.ipynb"):
        folder = "notebooks/exercises" if path.parent.name == "exercises" else "notebooks"
        stored = load(ROOT / folder / path.name)
        mine = load(path)
        assert mine["metadata"] == stored["metadata"]
        theirs = {cell["id"]: cell["metadata"] for cell in stored["cells"]}
        assert all(cell["metadata"] == theirs[cell["id"]] for cell in mine["cells"])
        assert all(cell.get("outputs", []) == [] for cell in mine["cells"])


class Killed(BaseException):
    """What ends a process wherever it is."""


@pytest.mark.parametrize("renamings", [0, 1])
def test_an_interrupted_replacement_leaves_the_old_folder(
    renamings: int, project: Path, tmp_path: Path, monkeypatch
) -> None:
    out = tmp_path / "out"
    write_student(out, root=project)
    before, left = contents(out), [renamings]
    rename = Path.rename

    def interrupted(self: Path, target: Path) -> Path:
        left[0] -= 1
        if left[0] == -1:
            raise Killed
        return rename(self, target)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Path, "rename", interrupted)
        write_student(out, root=project)
    assert contents(out) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "project"]


def test_a_process_killed_between_its_renamings_loses_nothing(
    project: Path, tmp_path: Path, monkeypatch
) -> None:
    out = tmp_path / "out"
    write_student(out, root=project)
    notes = out / "notes.txt"
    notes.write_text("somebody's work")
    before, rename = contents(out), Path.rename
    monkeypatch.setattr(student, "_refuse_foreign", lambda out: None)

    def killed(self: Path, target: Path) -> Path:
        if not target.name.endswith(".old"):
            raise Killed  # the second renaming, and the one that would undo the first
        return rename(self, target)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Path, "rename", killed)
        write_student(out, root=project)
    assert not out.exists()
    monkeypatch.undo()
    with pytest.raises(KcError, match=r"notes\.txt was changed or added"):
        write_student(out, root=project)
    assert contents(out) == before


def test_a_stamp_of_another_shape_is_no_stamp(project: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / student.STAMP).write_text("[]")
    with pytest.raises(KcError, match="was not written by kc student"):
        write_student(out, root=project)


def test_the_run_is_handed_out_without_the_paths_of_its_machine(
    project: Path, tmp_path: Path, own_run: Path
) -> None:
    run = Run.open(own_run)
    values = run.config.model_dump(mode="json")
    values["model"] |= {"source": "folder", "path": f"{HOME}/model"}
    values["world"]["known_names_file"] = f"{HOME}/names.txt"
    settings = config.build(values)
    run.record["config"] = values
    for name, stage in run.record["stages"].items():
        stage["key"] = STAGES.key(settings, name)
    run.save()
    out = tmp_path / "out"
    write_student(out, own_run, root=project)
    for name, content in contents(out).items():
        assert HOME.encode() not in content and str(own_run).encode() not in content, name
    copy = Run.open(out / "run")
    assert copy.config.model.path == "model" and copy.config.world.known_names_file == "names.txt"
    assert all(STAGES.done(copy, stage.name) for stage in STAGES.study)


@pytest.mark.parametrize("gone", ["notebooks", "_toc.yml"])
def test_without_a_checkout_one_sentence_says_what_is_needed(
    gone: str, project: Path, tmp_path: Path
) -> None:
    (project / gone).rename(tmp_path / "elsewhere")
    with pytest.raises(KcError, match=rf"kc student needs a checkout .* has no {gone}; run it"):
        write_student(tmp_path / "out", root=project)
    assert not (tmp_path / "out").exists()
