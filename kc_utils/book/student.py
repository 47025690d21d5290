"""The folder that a participant gets: exercises without solutions, and a run to do them on.

Layout of the folder::

    README.md             what to do, with the list of exercises
    notebooks/exercises/  exercise notebooks, stubs instead of solutions
    notebooks/            the chapters that the exercises link to, as stored (no outputs)
    run/                  what exercises and chapters read of a run, if one was given
    student.json          digests of the notebooks and the README, as they were written

Notebooks point at ``run/``, so nothing has to be computed. What somebody's own execution left in a
notebook (outputs, numbers of cells, most metadata) would give solutions and paths away, so it stays
behind, and so do absolute paths in the configuration of the run. The folder is made beside its
place and renamed: it is whole or absent, and an older one stays until the new one stands.
"""

from __future__ import annotations

import copy
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kc_utils import ROOT, artifacts, config
from kc_utils.book.checkout import need_checkout
from kc_utils.book.exercises import (
    Exercise,
    all_exercises,
    exercise_notebooks,
    source_of,
    student_notebook,
)
from kc_utils.book.student_readme import readme
from kc_utils.errors import KcError, typed_path
from kc_utils.runs.folder import Run
from kc_utils.runs.inside import refuse_inside_run
from kc_utils.runs.replaced import replacing
from kc_utils.study.stages import STAGES

STAMP = "student.json"
LIST = "exercises.md"  # the page of the book whose place the README takes
RUN = "run"
#: Folders of a run that exercises and chapters read; checkpoints are chosen one by one.
_READ = ("data", "tokenizer", "base/model", "scores", "tables")
_MIB = 2**20
#: What a notebook says about itself and its cells that a reader needs.
_CELL_METADATA = ("tags", "mystnb")
_METADATA = {
    "kernelspec": ("display_name", "language", "name"),
    "language_info": ("name", "version"),
}
_FORMULA = re.compile(r"^```\{math\}\n(?::label: \S+\n)?(.*?)^```$", re.DOTALL | re.MULTILINE)
_DIRECTIVE = re.compile(r"^(?::{3,}.*|\([\w-]+\)=)\n?", re.MULTILINE)
_ROLE = re.compile(r"\{[a-z:]+\}`([^`<]*?)\s*(?:<([^>`]+)>)?`")
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s#:]+)(?:#[^)\s]*)?\)")
_RUN_DIR = re.compile(r"^run_dir = .*$", flags=re.MULTILINE)


@dataclass(frozen=True)
class StudentFolder:
    """What was written: the exercises, and the size of the run's copy in MiB (0 without one)."""

    path: Path
    exercises: tuple[Exercise, ...]
    run_mib: float


def write_student(
    out: Path, run_dir: Path | None = None, *, all_checkpoints: bool = False, root: Path = ROOT
) -> StudentFolder:
    """Write the student version of all exercises, and what they need of a run, into ``out``.

    Args:
        out: a new or empty folder, or one that this function wrote and nobody has worked in.
        run_dir: a finished run to copy; None leaves the notebooks' own ``run_dir``.
        all_checkpoints: copy every checkpoint, not only the first and the last.
        root: project root.

    Raises:
        KcError: ``out`` holds something else or somebody's work, or lies in a run; the run is not
            finished, or ``root`` holds no exercises.
    """
    need_checkout("kc student", root)
    out = typed_path(out).resolve()
    refuse_inside_run(out, "--out")
    run = None if run_dir is None else _finished(run_dir)
    exercises = tuple(all_exercises(root))
    with replacing(out) as folder:
        _refuse_foreign(out)
        _write_notebooks(folder / "notebooks", root, exercises, run is not None)
        size = 0.0 if run is None else _copy_run(run, folder / RUN, all_checkpoints)
        (folder / "README.md").write_text(readme(exercises, size), encoding="utf-8")
        artifacts.write_json(folder / STAMP, _digests(folder))
    return StudentFolder(out, exercises, size)


def _refuse_foreign(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise KcError(f"{out} is not a folder; choose another --out.")
    if not out.exists() or not any(out.iterdir()):
        return
    if not (out / STAMP).is_file():
        raise KcError(
            f"{out} is not empty and was not written by kc student; choose another --out."
        )
    written, found = artifacts.read_json(out / STAMP), _digests(out)
    if not isinstance(written, dict):
        raise KcError(f"{out / STAMP} was not written by kc student; choose another --out.")
    changed = sorted(name for name in found if written.get(name) != found[name])
    if changed:
        raise KcError(
            f"{out / changed[0]} was changed or added since kc student wrote it; choose another "
            "--out, so that nobody's work is lost."
        )


def _digests(folder: Path) -> dict[str, str]:
    """SHA-256 of what a participant may work in: everything but the run's copy."""
    files = [p.relative_to(folder) for p in artifacts.files_below(folder)]
    own = [p for p in files if p.parts[0] != RUN and ".ipynb_checkpoints" not in p.parts]
    return {p.as_posix(): artifacts.sha256(folder / p) for p in own if p.name != STAMP}


def _finished(run_dir: Path) -> Run:
    run = Run.open(run_dir)
    missing = [s.name for s in STAGES.study if not STAGES.done(run, s.name)]
    if missing:
        raise KcError(
            f"Run {run.name!r} does not hold stage {missing[0]!r} yet; "
            f"'{run.command(run_dir)}' computes it."
        )
    return run


def _write_notebooks(
    folder: Path, root: Path, exercises: tuple[Exercise, ...], with_run: bool
) -> None:
    chapters = sorted((root / "notebooks").glob("*.ipynb"))
    places = _places(chapters, exercises)
    for path in chapters:
        notebook = _plain(json.loads(path.read_text(encoding="utf-8")), places)
        _write(folder / path.name, _pointed(notebook, f"../{RUN}") if with_run else notebook)
    for path in exercise_notebooks(root):
        notebook = student_notebook(json.loads(path.read_text(encoding="utf-8")), path)
        notebook = _pointed(notebook, f"../../{RUN}") if with_run else notebook
        _write(folder / "exercises" / path.name, notebook)


def _plain(notebook: dict[str, Any], places: Mapping[str, str]) -> dict[str, Any]:
    """The notebook with MyST's roles and directives as the plain Markdown that JupyterLab shows."""

    def link(said: str, target: str) -> str:
        return f"[{said}]({places[target]})" if target in places else said

    cells = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            text = _FORMULA.sub(r"$$\n\1$$", _DIRECTIVE.sub("", source_of(cell)))
            text = _ROLE.sub(lambda found: link(found[1], found[2] or ""), text)
            text = _LINK.sub(lambda found: link(found[1], found[2]), text)
            cell = cell | {"source": text.splitlines(keepends=True)}
        cells.append(cell)
    return notebook | {"cells": cells}


def _places(chapters: list[Path], exercises: tuple[Exercise, ...]) -> dict[str, str]:
    """Where chapters may lead to from the folder's ``notebooks``, by what they link to in the book.

    Pages of the book are not handed out: some hold the solutions.
    """
    own = {e.anchor: f"exercises/{e.notebook}.ipynb" for e in exercises}
    return own | {path.name: path.name for path in chapters} | {f"../book/{LIST}": "../README.md"}


def _pointed(notebook: dict[str, Any], run_dir: str) -> dict[str, Any]:
    """The notebook with ``run_dir`` set in its cell of parameters."""
    pointed = copy.deepcopy(notebook)
    for cell in pointed["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            text = _RUN_DIR.sub(f'run_dir = "{run_dir}"', source_of(cell))
            cell["source"] = text.splitlines(keepends=True)
    return pointed


def _unexecuted(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook as if nobody had run it, with the metadata that a reader needs."""
    cells = []
    for cell in notebook["cells"]:
        cell = cell | {"metadata": _only(cell["metadata"], _CELL_METADATA)}
        cells.append(cell | ({"outputs": [], "execution_count": None} if "outputs" in cell else {}))
    metadata = notebook["metadata"]
    kept = {
        name: _only(metadata[name], keys) for name, keys in _METADATA.items() if name in metadata
    }
    return notebook | {"cells": cells, "metadata": kept}


def _only(values: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in names}


def _write(path: Path, notebook: dict[str, Any]) -> None:
    notebook = _unexecuted(notebook)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _copy_run(run: Run, target: Path, all_checkpoints: bool) -> float:
    """Copy the parts that are read, and note in the copy which files it holds; size in MiB."""
    steps = run.table("checkpoints")["step"].tolist()
    kept = [
        f"checkpoints/step-{step:06d}"
        for step in (steps if all_checkpoints else dict.fromkeys((steps[0], steps[-1])))
    ]
    written = [file for stage in run.record["stages"].values() for file in stage["wrote"]]
    for part in (*_READ, *kept):
        # Parts that are gone are refused, by name.
        if (run.path / part).exists() or any(file.startswith(f"{part}/") for file in written):
            source = run.verify(run.path / part)
            shutil.copytree(source, target / part, ignore=shutil.ignore_patterns("resume", ".*"))
    record = copy.deepcopy(run.record)
    for stage in record["stages"].values():
        stage["wrote"] = {f: d for f, d in stage["wrote"].items() if (target / f).is_file()}
    artifacts.write_json(target / "run.json", _portable(run, record) | {"notebooks": {}})
    return sum(p.stat().st_size for p in artifacts.files_below(target)) / _MIB


def _portable(run: Run, record: dict[str, Any]) -> dict[str, Any]:
    """The record with the names of files in its configuration, not where they lie on this machine.

    A stage that is done stays so: it gets the key that it has under the new configuration.
    """
    settings = _named(record["config"])
    if settings == record["config"]:
        return record
    there = config.build(settings)
    stages = {
        name: stage | ({"key": STAGES.key(there, name)} if STAGES.done(run, name) else {})
        for name, stage in record["stages"].items()
    }
    return record | {"config": settings, "stages": stages}


def _named(value: Any) -> Any:
    """``value`` with every absolute path in it cut to its last part."""
    if isinstance(value, dict):
        return {key: _named(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_named(item) for item in value]
    if isinstance(value, str) and (Path(value).is_absolute() or value.startswith("~")):
        return Path(value).name
    return value
