"""Notebooks as their users run them: papermill with other parameters, and nbval on what was run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, environment

#: The chapters; exercises are run as their participants do (test_exercises, test_student).
NOTEBOOKS = sorted(p.stem for p in (ROOT / "notebooks").glob("*.ipynb"))
pytestmark = pytest.mark.slow


def program(name: str, *arguments: str | Path) -> subprocess.CompletedProcess:
    command = [str(Path(sys.executable).with_name(name)), *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment())


def texts(notebook: Path) -> str:
    """Everything that the cells of a notebook put out."""
    cells = json.loads(notebook.read_text())["cells"]
    return json.dumps([cell.get("outputs") for cell in cells])


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_papermill_with_another_task(name: str, smoke_run: Path, tmp_path: Path) -> None:
    out = tmp_path / f"{name}.ipynb"
    parameters = ["-p", "run_dir", smoke_run, "-p", "task", "company"]
    notebook = ROOT / "notebooks" / f"{name}.ipynb"
    done = program("papermill", notebook, out, *parameters, "--no-progress-bar")
    assert done.returncode == 0, done.stderr[-3000:]
    assert '"stream"' not in texts(out) or '"stderr"' not in texts(out), "noise on stderr"


def test_a_task_that_the_run_does_not_study_is_one_sentence(
    smoke_run: Path, tmp_path: Path
) -> None:
    parameters = ["-p", "run_dir", smoke_run, "-p", "task", "hobby"]
    notebook = ROOT / "notebooks" / "05_performance.ipynb"
    done = program("papermill", notebook, tmp_path / "out.ipynb", *parameters)
    assert done.returncode != 0
    assert "task = 'hobby' is not studied" in done.stderr
    assert "city, company" in done.stderr


def test_the_executed_notebooks_run_again(smoke_run: Path) -> None:
    folder = smoke_run / "notebooks"
    done = program("pytest", "--nbval-lax", "-p", "no:cacheprovider", "-n", "0", "-c", "/dev/null",
                   "--ignore", folder / "exercises", "--rootdir", ROOT, folder)  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
