"""Generated tables of the page "This run": notebooks, stored runs, everything that is random."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kc_utils.book.cost_tables import peak
from kc_utils.book.generated import as_markdown, table
from kc_utils.book.stored_runs import stored_references
from kc_utils.runs.dataset import PROVENANCE, SweepTables
from kc_utils.runs.folder import Run
from kc_utils.study.stages import STAGES

#: Calls that start a stream of random numbers.
_SOURCES = {"default_rng", "stream", "manual_seed"}
#: Rooms whose randomness is in no result of a run.
_LEFT_OUT = {"bench", "doctor"}


def pages(run: Run, root: Path) -> dict[str, str]:
    """The generated parts of the page "This run": file name -> MyST text."""
    reference = root / "book" / "reference"
    return {
        "run_notebooks.md": notebooks(run),
        "sweep_runs.md": sweep_runs(reference / "sweep"),
        "stored_runs.md": stored_runs(reference),
        "run_seeds.md": seeds(root / "kc_utils"),
    }


def notebooks(run: Run) -> str:
    """Seconds per executed notebook, of its longest cell, and the most memory it held."""
    rows = [
        (f"`{name}`", f"{step['seconds']:.1f}", _longest_cell(run.path, name), peak([step]))
        for name, step in run.record["notebooks"].items()
    ]
    if not rows:
        return "No notebook of this run has been executed.\n"
    total = sum(step["seconds"] for step in run.record["notebooks"].values())
    rows.append(("**sum**", f"**{total:.1f}**", "", ""))
    return table(("notebook", "seconds", "longest cell, seconds", "peak memory"), rows)


def sweep_runs(folder: Path) -> str:
    """The runs of the stored sweep: profile, seed, seconds of both groups, commit, machine."""
    if not (folder / PROVENANCE).is_file():
        return "The project holds no stored sweep.\n"
    study = {stage.name for stage in STAGES.study}
    rows = []
    for run in SweepTables.open(folder).provenance["runs"]:
        seconds = run["seconds"]
        groups = (
            sum(s for n, s in seconds.items() if (n in study) is own) for own in (True, False)
        )
        rows.append(
            (f"`{run['profile']}`", f"`{run['seed']}`", *(f"{s:,.0f}" for s in groups),
             f"`{run['git'] or 'not recorded'}`", run["machine"], str(run["device"]),
             run["versions"]["torch"])
        )  # fmt: skip
    header = ("profile", "seed", "seconds of the study", "of the experiments", "commit", "machine",
              "device", "torch")  # fmt: skip
    return table(header, rows)


def stored_runs(reference: Path) -> str:
    """The other results that are kept with the book: what, seconds, commit, machine, date."""
    rows = []
    for stored in stored_references(reference):
        made = stored.provenance
        config = made["config"]
        rows.append(
            (f"`{stored.path.name}`", f"`{config['profile']}`", f"`{config['seed']}`",
             f"{sum(made['seconds'].values()):,.0f}", f"`{made['git'] or 'not recorded'}`",
             made["machine"], made["date"])
        )  # fmt: skip
    if not rows:
        return "The project holds no other stored results.\n"
    return table(("what", "profile", "seed", "seconds", "commit", "machine", "date"), rows)


def seeds(package: Path) -> str:
    """Every place of the library that draws random numbers, and what its stream is made from."""
    rows = [
        (f"`{file}`", f"`{name}`", what, f"`{source}`")
        for file, name, what, source in sorted(set(random_sources(package)))
    ]
    return table(("file", "function", "what it does", "stream"), rows)


def random_sources(package: Path) -> Iterator[tuple[str, str, str, str]]:
    """(file, function, first sentence of its docstring, call) for every random stream."""
    for path in sorted(package.rglob("*.py")):
        file = path.relative_to(package).as_posix()
        if file.split("/")[0] in _LEFT_OUT:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        numbers = _constants(tree)
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef):
                said = ast.get_docstring(function) or ast.get_docstring(tree) or ""
                what = as_markdown(said.split("\n\n")[0].split(". ")[0])
                for call in _calls(function):
                    source = ast.unparse(_Named(numbers).visit(call))
                    yield file, function.name, what.rstrip("."), source


def _calls(function: ast.FunctionDef) -> Iterator[ast.Call]:
    """Calls of the function itself that start a stream, not of functions inside it."""
    todo: list[ast.AST] = list(function.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef):
            continue
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in _SOURCES and node.args:
                yield node
                continue
        todo += ast.iter_child_nodes(node)


class _Named(ast.NodeTransformer):
    """Puts the numbers of a module's constants in the place of their names."""

    def __init__(self, numbers: dict[str, int]) -> None:
        self.numbers = numbers

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """A constant's number, or the name as it is."""
        return ast.Constant(self.numbers[node.id]) if node.id in self.numbers else node


def _constants(tree: ast.Module) -> dict[str, int]:
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            for target in node.targets:
                if isinstance(target, ast.Name) and isinstance(node.value.value, int):
                    found[target.id] = node.value.value
    return found


def _longest_cell(folder: Path, name: str) -> str:
    path = folder / "notebooks" / f"{name}.ipynb"
    if not path.is_file():
        return ""
    cells: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    taken = [(cell["metadata"].get("papermill") or {}).get("duration") for cell in cells]
    return f"{max((s for s in taken if s), default=0):.1f}"
