"""Notebooks as their users run them: papermill fills in other parameters, nbval runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import papermill
import pytest
from conftest import ROOT, environment

#: The chapters; exercises are run as their participants do (test_exercises, test_student).
NOTEBOOKS = sorted(p.stem for p in (ROOT / "notebooks").glob("*.ipynb"))
pytestmark = pytest.mark.slow


def program(name: str, *arguments: str | Path) -> subprocess.CompletedProcess:
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    here = environment() | {"PYTHONPATH": path}
    command = [str(Path(sys.executable).with_name(name)), *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=here)


def cells(notebook: Path) -> list[dict]:
    """The code cells of a notebook."""
    return [c for c in json.loads(notebook.read_text())["cells"] if c["cell_type"] == "code"]


def test_they_run_again_with_another_task(smoke_run: Path, tmp_path: Path) -> None:
    """All that a task changes; where the parameter says that it is not used, nothing is new."""
    for name in NOTEBOOKS:
        source = ROOT / "notebooks" / f"{name}.ipynb"
        if "# not used here" in "".join(cells(source)[0]["source"]):
            continue
        parameters = {"run_dir": str(smoke_run), "task": "company"}
        papermill.execute_notebook(source, tmp_path / source.name, parameters, prepare_only=True)
    done = program("pytest", "--nbval-lax", "-p", "no:cacheprovider", "-n", "0", "-c", "/dev/null",
                   "-p", "tests.nbval_by_fork", "--rootdir", ROOT, tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]


def test_nothing_is_said_on_stderr(smoke_run: Path) -> None:
    for name in NOTEBOOKS:
        executed = cells(smoke_run / "notebooks" / f"{name}.ipynb")
        outputs = [output for cell in executed for output in cell["outputs"]]
        assert outputs, name
        assert not [o for o in outputs if o.get("name") == "stderr"], name


def test_a_task_that_the_run_does_not_study_is_one_sentence(
    smoke_run: Path, tmp_path: Path
) -> None:
    parameters = ["-p", "run_dir", smoke_run, "-p", "task", "hobby"]
    notebook = ROOT / "notebooks" / "05_performance.ipynb"
    done = program("papermill", notebook, tmp_path / "out.ipynb", *parameters)
    assert done.returncode != 0
    assert "task = 'hobby' is not studied" in done.stderr
    assert "city, company" in done.stderr
