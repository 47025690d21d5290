"""Who may import whom: contracts hold and see a wrong import; the page's table says the same."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kc_utils.book.reference_tables import may_import, room_table

ROOT = Path(__file__).resolve().parent.parent
CONTRACTS = """
[[tool.importlinter.contracts]]
name = "in layers"
type = "layers"
layers = ["top", "left | right", "low : lower", "ground"]
[[tool.importlinter.contracts]]
name = "right is pure"
type = "forbidden"
source_modules = ["kc_utils.right"]
forbidden_modules = ["kc_utils.low", "torch"]
"""


def lint(folder: Path) -> subprocess.CompletedProcess:
    """``lint-imports`` on the package in ``folder``."""
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [str(program), "--no-cache", "--config", str(ROOT / "pyproject.toml")],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder), "NO_COLOR": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A folder with a copy of the package's source."""
    ignore = shutil.ignore_patterns("data", "__pycache__")
    shutil.copytree(ROOT / "kc_utils", tmp_path / "kc_utils", ignore=ignore)
    return tmp_path


def test_the_package_keeps_its_contracts(copied: Path) -> None:
    done = lint(copied)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("circuits/graph.py", "import kc_utils.runs.folder", "a room imports only from"),
        ("runs/folder.py", "import kc_utils.circuits.graph", "runs do not know mathematics"),
        ("config/run.py", "import torch", "config holds numbers"),
        ("world/pools.py", "import kc_utils.world.people", "no circle"),
        ("attic.py", "import kc_utils.errors", "a room imports only from"),
    ],
)
def test_a_wrong_import_breaks_its_contract(
    copied: Path, file: str, line: str, contract: str
) -> None:
    path = copied / "kc_utils" / file
    path.write_text(f"{path.read_text() if path.is_file() else ''}\n{line}\n")
    done = lint(copied)
    assert done.returncode == 1
    names = [text for text in done.stdout.splitlines() if text.endswith("BROKEN")]
    assert any(name.startswith(contract) for name in names) or "exhaustive" in done.stdout


def test_the_table_is_read_from_the_contracts(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(CONTRACTS)
    rooms = ("top", "left", "right", "low", "lower")
    for room in rooms:
        (tmp_path / "kc_utils" / room).mkdir(parents=True)
        (tmp_path / "kc_utils" / room / "__init__.py").write_text(f'"""Holds ``{room}``."""\n')
    (tmp_path / "kc_utils" / "ground.py").write_text('"""The ground."""\n')
    assert may_import(tmp_path)["right"] == ("lower", "ground")
    text = room_table(tmp_path)
    assert "| `left` | Holds `left`. | `low`, `lower`, `ground` |  |" in text
    assert "| `right` | Holds `right`. | `lower`, `ground` | right is pure |" in text
    assert "| `ground` | The ground. | nothing |  |" in text


def test_the_table_names_every_room_and_no_more_than_is_imported() -> None:
    allowed = may_import(ROOT)
    package = ROOT / "kc_utils"
    rooms = {p.stem for p in package.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert set(allowed) == rooms - {"__init__"}
    for path in package.rglob("*.py"):
        room = path.relative_to(package).parts[0].removesuffix(".py")
        imported = set()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{a.name}" for a in node.names]
            elif isinstance(node, ast.Import):
                names = [a.name for a in node.names]
            else:
                continue
            imported |= {n.split(".")[1] for n in names if n.startswith("kc_utils.")}
        assert (imported & rooms) - {room} <= set(allowed.get(room, ())), path
