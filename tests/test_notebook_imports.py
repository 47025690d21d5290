"""What a notebook imports from the library is there: found in a second, not after a run."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
from pathlib import Path

import pytest

from kc_utils.book.build import stored_notebooks

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = stored_notebooks(ROOT)


def missing(source: str) -> list[str]:
    """Names that ``source`` imports from ``kc_utils`` and that do not exist there."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("kc_utils"):
            module = importlib.import_module(node.module)
            found += [
                f"{node.module}.{name.name}"
                for name in node.names
                if not hasattr(module, name.name) and not _is_module(node.module, name.name)
            ]
    return found


def _is_module(package: str, name: str) -> bool:
    spec = importlib.util.find_spec(package)
    folders = (spec.submodule_search_locations if spec else None) or []
    return any((Path(f) / f"{name}.py").is_file() or (Path(f) / name).is_dir() for f in folders)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_every_import_of_a_notebook_exists(path: Path) -> None:
    cells = json.loads(path.read_text("utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    lines = [line for cell in code for line in cell.splitlines() if not line.startswith("%")]
    assert missing("\n".join(lines)) == []


def test_a_name_that_is_gone_is_found() -> None:
    assert missing("from kc_utils.artifacts import gone, sha256") == ["kc_utils.artifacts.gone"]
