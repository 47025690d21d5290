"""The book of a run: stage its source, build it with Jupyter Book, return its first page.

The notebooks in the repository have no outputs. So the book is built from a staged source tree,
``runs/<name>/book/source``: configuration and prose as they are, the notebooks that the run
executed instead of the stored ones, and the parts of :func:`generated_parts`. Pages of
exercises show stubs and fold solutions (:mod:`kc_utils.book.exercises`).
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from kc_utils import REFERENCE, ROOT, STORED_SWEEP, artifacts
from kc_utils.book import (
    contents,
    findings,
    front_figure,
    parameter_page,
    parity_table,
    plan_page,
    reference_tables,
    run_tables,
)
from kc_utils.book.checkout import need_checkout
from kc_utils.book.exercises import published_notebook
from kc_utils.book.slides import NAME as SLIDES
from kc_utils.book.slides import slides_of
from kc_utils.book.whole_book import NAME, write_whole_book
from kc_utils.errors import KcError
from kc_utils.runs.dataset import PROVENANCE, SweepTables
from kc_utils.runs.folder import Run
from kc_utils.study.pipeline import check_executed

logger = logging.getLogger(__name__)

_BUILDERS = ("jupyter-book", "sphinx", "myst-nb", "sphinx-book-theme", "latex2mathml", "nbconvert")
_WARNING = re.compile(r"(?:WARNING|ERROR|CRITICAL): .*")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_GLOSSARY = "book/glossary.md"
#: Source whose docstrings are on a page of the book.
_DESCRIBED = ("kc_utils/circuits", "kc_utils/errors.py")
EXERCISES = "exercises"  # folder below notebooks/
_SKIPPED = {"__pycache__", ".ipynb_checkpoints", "findings"}


def stage_book(run_dir: str | Path, root: Path = ROOT, out: Path | None = None) -> Path:
    """Write the source tree of the book of a run and return its folder.

    Args:
        run_dir: folder of a run whose notebooks have been executed.
        root: project root with ``_config.yml``, ``_toc.yml``, ``book/``, ``notebooks/``.
        out: where to write; ``<run_dir>/book/source`` by default.

    Files whose content is unchanged keep their modification time, so that a second build is
    incremental; files that no longer belong to the book are removed.

    Raises:
        KcError: the project's own pages, the run, or an executed notebook is missing.
    """
    need_checkout("kc book", root)
    from kc_utils.plots.interactive.attention import CIRCUITSVIS, circuitsvis_source

    run = Run.open(run_dir)
    out = run.path / "book" / "source" if out is None else out
    wanted = _prose(root) | _notebooks(run, root)
    for name, text in generated_parts(run, root).items():
        wanted[f"book/generated/{name}"] = text.encode()
    wanted[f"book/_static/{CIRCUITSVIS}"] = circuitsvis_source().encode()
    if slides := slides_of(run.path / "notebooks", run.command()):
        wanted[f"book/_static/{SLIDES}"] = slides.encode()
    stale = [p for p in artifacts.files_below(out) if p.relative_to(out).as_posix() not in wanted]
    for path in stale:
        path.unlink()
    for name, content in wanted.items():
        _write_if_changed(out / name, content)
    return out


def generated_parts(run: Run, root: Path) -> dict[str, str]:
    """Every generated part of the book of ``run``: file name -> MyST text, or SVG for a figure.

    What was found is there only if the project has the tables of a sweep.
    """
    reference, stored = root / REFERENCE, root / STORED_SWEEP
    sweep = SweepTables.open(stored) if (stored / PROVENANCE).is_file() else None
    figures = front_figure.pages(sweep) if sweep else {}
    return (
        findings.pages(root, run)
        | figures
        | plan_page.pages()
        | reference_tables.pages(root)
        | parameter_page.pages(run, root)
        | run_tables.pages(run, reference)
        | parity_table.pages(reference)
    )


def build_book(run_dir: str | Path, root: Path = ROOT) -> Path:
    """Build the book of a run below ``<run_dir>/book`` and return the path of its ``index.html``.

    A warning fails the build (``-n -W --keep-going``). Nothing is done when neither the source nor
    the building packages have changed since the last good build.

    Raises:
        KcError: an executed notebook is missing, or Jupyter Book warned; the first warnings are
            quoted and the whole output is in ``book/build.log``.
    """
    run = Run.open(run_dir)
    book = run.path / "book"
    index, stamp = book / "_build" / "html" / "index.html", book / "built.json"
    source = stage_book(run.path, root, book / "source")
    files = digests(source) | described_source(root)
    whole = index.with_name(NAME)
    complete = stamp.is_file() and index.is_file() and whole.is_file()
    built = artifacts.read_json(stamp) if complete else {}
    if built == files:
        logger.info("the book is up to date")
        return index
    if not built or set(built) != set(files) or not _only_pages_changed(built, files):
        # Pages of removed files would stay behind, and Sphinx does not see new style sheets.
        artifacts.remove(book / "_build")
    stamp.unlink(missing_ok=True)
    _jupyter_book(source, book)
    _one_page(source, index.parent)
    artifacts.write_json(stamp, files)
    return index


def _one_page(source: Path, html: Path) -> None:
    """The whole book in one file, from the pages of ``_toc.yml`` in their order."""
    toc = yaml.safe_load((source / "_toc.yml").read_text(encoding="utf-8"))
    title = yaml.safe_load((source / "_config.yml").read_text(encoding="utf-8"))["title"]
    files = [toc["root"], *(entry["file"] for _, entry in contents.entries(toc))]
    write_whole_book(html, files, title)


def digests(source: Path) -> dict[str, str]:
    """SHA-256 of every staged file, and the versions of the packages that turn them into pages."""
    files = {
        p.relative_to(source).as_posix(): artifacts.sha256(p) for p in artifacts.files_below(source)
    }
    versions = [f"{name} {metadata.version(name)}" for name in _BUILDERS]
    return files | {"": hashlib.sha256("\n".join(versions).encode()).hexdigest()}


def described_source(root: Path) -> dict[str, str]:
    """SHA-256 of every file of the library whose docstrings the book shows."""
    files = [p for name in _DESCRIBED for p in ((root / name), *(root / name).rglob("*.py"))]
    return {p.relative_to(root).as_posix(): artifacts.sha256(p) for p in files if p.is_file()}


def _only_pages_changed(built: dict[str, str], files: dict[str, str]) -> bool:
    changed = [name for name in files if built.get(name) != files[name]]
    pages = all(name.endswith((".md", ".ipynb")) or name.startswith(_DESCRIBED) for name in changed)
    return pages and _GLOSSARY not in changed  # every page links to its terms


def stored_notebooks(root: Path) -> list[Path]:
    """The notebooks of a project: chapters, then exercises."""
    folder = root / "notebooks"
    return [p for f in (folder, folder / EXERCISES) for p in sorted(f.glob("*.ipynb"))]


def clean_notebook(
    text: str, folders: dict[str, str], opening: Callable[[str], str] = lambda text: text
) -> bytes:
    """An executed notebook for publication: no record of the machine, parameters and set-up folded.

    Set-up stands before the first section; later imports belong to a method, which stays in sight.

    Args:
        text: the notebook's JSON.
        folders: absolute folder -> what to show in its place, in the order of replacement.
        opening: what becomes of the text of the first cell.
    """
    for folder, shown in folders.items():
        text = text.replace(folder, shown)
    notebook: dict[str, Any] = json.loads(text)
    notebook["metadata"].pop("papermill", None)
    first = notebook["cells"][0]
    first["source"] = opening("".join(first["source"]))
    started = False  # whether the first section has begun
    for cell in notebook["cells"]:
        started |= cell["cell_type"] == "markdown" and "".join(cell["source"]).startswith("## ")
        cell["metadata"].pop("papermill", None)
        cell["metadata"].pop("execution", None)
        tags = cell["metadata"].get("tags", [])
        if "parameters" in tags:
            _fold(cell, "Parameters and their defaults")
        elif "injected-parameters" in tags:
            _fold(cell, "Parameters of this run")
        elif cell["cell_type"] == "code" and _imports(cell) and not tags and not started:
            _fold(cell, "Set-up")
    return (json.dumps(notebook, indent=1, ensure_ascii=False) + "\n").encode()


def _imports(cell: dict[str, Any]) -> bool:
    """Whether a cell sets the scene: imports, and nothing that it would show."""
    return "".join(cell["source"]).startswith(("import ", "from ")) and not cell["outputs"]


def _fold(cell: dict[str, Any], words: str) -> None:
    """Show a code cell's input only on request."""
    cell["metadata"]["tags"] = [*cell["metadata"].get("tags", []), "hide-input"]
    prompts = {"code_prompt_show": words, "code_prompt_hide": words}
    cell["metadata"]["mystnb"] = cell["metadata"].get("mystnb", {}) | prompts


def _prose(root: Path) -> dict[str, bytes]:
    names = ["_config.yml", "_toc.yml"]
    names += [
        path.relative_to(root).as_posix()
        for path in artifacts.files_below(root / "book")
        if not _SKIPPED & set(path.relative_to(root).parts)
    ]
    return {name: (root / name).read_bytes() for name in names}


def _notebooks(run: Run, root: Path) -> dict[str, bytes]:
    folders = {f"{run.path}": f"runs/{run.name}", f"{root}/": "", f"{root}": "."}
    staged = {}
    stored_ones = stored_notebooks(root)
    folder = root / "notebooks"
    check_executed(run, [p.relative_to(folder).with_suffix("").as_posix() for p in stored_ones])
    for stored in stored_ones:
        name = stored.relative_to(root).as_posix()
        executed = run.path / name
        if not executed.is_file():
            raise KcError(
                f"{executed} is missing, so the book has no page {stored.stem!r}; "
                f"'{run.command()}' executes it."
            )
        try:
            text = executed.read_text(encoding="utf-8")
            if stored.parent.name == EXERCISES:
                text = json.dumps(published_notebook(json.loads(text), stored), ensure_ascii=False)
            content = clean_notebook(text, folders, partial(_opened, stored.stem, root, run))
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError) as error:
            raise KcError(f"{executed} is damaged: not a notebook ({error!r}).") from None
        staged[name] = content
    return staged


def _opened(chapter: str, root: Path, run: Run, source: str) -> str:
    return findings.boxed(chapter, source, root, run)


def _write_if_changed(path: Path, content: bytes) -> None:
    if not path.is_file() or path.read_bytes() != content:
        artifacts.write_atomically(path, lambda partial: partial.write_bytes(content))


def _jupyter_book(source: Path, book: Path) -> None:
    program = Path(sys.executable).with_name("jupyter-book")
    command = [str(program), "build", str(source), "--path-output", str(book)]
    done = subprocess.run(
        [*command, "-n", "-W", "--keep-going"],
        env=os.environ | {"NO_COLOR": "1", "PYTHONWARNINGS": "ignore"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    output = _COLOUR.sub("", done.stdout)
    log = book / "build.log"
    artifacts.write_atomically(log, lambda p: p.write_text(output, encoding="utf-8"))
    if done.returncode:
        artifacts.remove(book / "_build")  # else the next build would not see the warnings again
        lines = [line for line in output.splitlines() if _WARNING.search(line)]
        first = " | ".join(lines[:5] or output.strip().splitlines()[-3:])
        raise KcError(
            f"The book has {len(lines)} warning(s) ({log}): {first}.".replace(f"{source}/", "")
        )
