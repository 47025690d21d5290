"""Kernels that are forked: they begin with what notebooks import and with nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import psutil
import pytest
from conftest import environment
from jupyter_client import AsyncKernelManager
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from papermill.exceptions import PapermillExecutionError

from kc_utils.runs.forked_kernel import AsyncForkingKernels, import_beforehand, imported

pytestmark = pytest.mark.slow

PATIENCE = 600  # seconds
#: With a module that nothing else in a kernel imports.
FIGURE = "import matplotlib.pyplot as plt\nplt.plot([1, 2]);"
CODE = """
import os, sys
assert "wave" in sys.modules, "not imported beforehand"
import wave
assert not hasattr(wave, "mark"), "left behind by another kernel"
wave.mark = os.environ["MARK"]
print(os.getppid(), wave.mark, os.getcwd(), os.getsid(0) == os.getpid())
"""


def notebook(path: Path, *cells: str) -> Path:
    made = [new_markdown_cell("import nothing"), *map(new_code_cell, cells)]
    nbformat.write(new_notebook(cells=made), path)
    return path


def execute(source: Path, manager: type = AsyncForkingKernels) -> list[str]:
    """The words that the last cell prints."""
    done = papermill.execute_notebook(
        str(source), str(source.with_name("done.ipynb")), kernel_name="python3",
        cwd=str(source.parent), progress_bar=False, kernel_manager_class=manager,
    )  # fmt: skip
    return done.cells[-1]["outputs"][0]["text"].split()


def test_what_a_notebook_imports_is_found(tmp_path: Path) -> None:
    cells = (
        "%matplotlib inline\nimport a.b as c, d\nfrom e.f import g",
        "!ls\nif 1:\n    import h",
    )
    assert imported(notebook(tmp_path / "x.ipynb", *cells)) == {"a.b", "d", "e.f", "h"}


def test_every_kernel_is_a_new_fork_of_one_server(tmp_path: Path, monkeypatch) -> None:
    source = notebook(tmp_path / "x.ipynb", FIGURE, CODE)
    import_beforehand([source])
    found = []
    for mark in ("one", "two"):
        monkeypatch.setenv("MARK", mark)  # each has the variables of the moment when it starts
        found.append(execute(source))
    outputs = nbformat.read(tmp_path / "done.ipynb", as_version=4).cells[1]["outputs"]
    assert "image/png" in outputs[-1]["data"], "matplotlib draws into the notebook"
    (server, *first), (again, *second) = found
    assert server == again != str(os.getpid())
    assert [first, second] == [[mark, str(tmp_path), "True"] for mark in ("one", "two")]
    with pytest.raises(PapermillExecutionError, match="not imported beforehand"):
        execute(source, AsyncKernelManager)  # control


_HOLDS = """
import sys, time
from kc_utils.runs.forked_kernel import ForkingKernels
if __name__ == "__main__":
    manager = ForkingKernels(kernel_name="python3")
    manager.start_kernel()
    print(manager.provisioner.pid, flush=True)
    sys.stdin.read()
"""


def test_a_kernel_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    (tmp_path / "holds.py").write_text(_HOLDS)
    with subprocess.Popen(
        [sys.executable, "holds.py"], cwd=tmp_path, env=environment(), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        kernel = psutil.Process(int(process.stdout.readline()))
        server = kernel.parent()
        assert kernel.is_running() and server.pid != process.pid
        process.kill()
    _, alive = psutil.wait_procs([kernel, server], timeout=PATIENCE)
    assert alive == []
