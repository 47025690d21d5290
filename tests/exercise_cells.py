"""The exercise notebooks, and their cells run one by one."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from conftest import ROOT

from kc_utils.book.exercises import exercise_notebooks, source_of

PATHS = exercise_notebooks(ROOT)


def load(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8"))


def outcomes(notebook: dict[str, Any], run_dir: Path) -> dict[str, BaseException | None]:
    """Run all code cells in this process, going on after errors; cell id -> its error, if any."""
    space: dict[str, Any] = {"__name__": "__main__"}
    found: dict[str, BaseException | None] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        try:
            with redirect_stdout(io.StringIO()):
                exec(compile(source_of(cell), f"<{cell['id']}>", "exec"), space)
            found[cell["id"]] = None
        except (AssertionError, NotImplementedError) as error:
            found[cell["id"]] = error
        if "parameters" in cell["metadata"].get("tags", []):
            space["run_dir"] = str(run_dir)
    return found
