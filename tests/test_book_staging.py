"""Staging and building the book of a run: what is taken, what is skipped, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kc_utils import STORED_SWEEP, artifacts
from kc_utils.book import build, markdown, reference_tables
from kc_utils.config import profiles
from kc_utils.errors import KcError
from kc_utils.runs import notebooks
from kc_utils.runs.folder import Run, key_of
from kc_utils.study.pipeline import check_executed
from kc_utils.study.stages import STAGES

CONFIG = """\
title: A small book
only_build_toc_files: true
execute: {execute_notebooks: "off"}
"""
CONTRACTS = """
[[tool.importlinter.contracts]]
type = "layers"
layers = ["one"]
"""
CONTENTS = """\
format: jb-book
root: book/index
chapters: [{file: notebooks/01_first}]
"""
TABLES = "```{include} generated/run_summary.md\n```\n"


def _notebook(run: Path, injected: bool) -> str:
    def code(source: str, **metadata: Any) -> dict[str, Any]:
        return {"cell_type": "code", "id": source[:3], "metadata": metadata, "outputs": [],
                "execution_count": None, "source": source}  # fmt: skip

    cells: list[dict[str, Any]] = [
        {"cell_type": "markdown", "id": "t", "metadata": {}, "source": "# First"}
    ]
    if injected:
        cells.append(code(f'run_dir = "{run}"', tags=["injected-parameters"], papermill={"s": 1}))
    metadata: dict[str, Any] = {"language_info": {"name": "python", "pygments_lexer": "ipython3"}}
    if injected:
        metadata["papermill"] = {"output_path": f"{run}/x.ipynb"}
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project root with one page and one notebook."""
    root = tmp_path / "project"
    (root / "book").mkdir(parents=True)
    (root / "kc_utils").mkdir()
    (root / "kc_utils" / "one.py").write_text('"""The :mod:`~a.b` and ``c``."""\n')
    (root / "pyproject.toml").write_text(CONTRACTS)
    (root / "_config.yml").write_text(CONFIG)
    (root / "_toc.yml").write_text(CONTENTS)
    (root / "book" / "index.md").write_text(f"# Small\n\nHello.\n\n{TABLES}")
    (root / "notebooks").mkdir()
    (root / "notebooks" / "01_first.ipynb").write_text(_notebook(root, injected=False))
    return root


@pytest.fixture
def run(root: Path) -> Run:
    """A run below the root whose notebook has been executed."""
    run = Run.create(root / "runs" / "mine", profiles.load("smoke"))
    (run.path / "notebooks").mkdir()
    (run.path / "notebooks" / "01_first.ipynb").write_text(_notebook(run.path, injected=True))
    return run


def test_stage_takes_prose_executed_notebooks_and_generated_tables(run: Run, root: Path) -> None:
    source = build.stage_book(run.path, root)
    assert (source / "_config.yml").read_text() == CONFIG
    assert "smoke" in (source / "book" / "generated" / "run_summary.md").read_text()
    notebook = json.loads((source / "notebooks" / "01_first.ipynb").read_text())
    assert notebook["cells"][1]["source"] == 'run_dir = "runs/mine"'
    assert "hide-input" in notebook["cells"][1]["metadata"]["tags"]


def test_parameters_and_set_up_are_folded_and_nothing_else() -> None:
    def code(source: str, outputs: tuple = (), *tags: str) -> dict[str, Any]:
        return {"cell_type": "code", "metadata": {"tags": [*tags]} if tags else {},
                "outputs": list(outputs), "source": source}  # fmt: skip

    cells = [
        code("a = 1", (), "parameters"),
        code("import numpy\nrun = 1"),
        code("from x import y\ny()", ({"output_type": "stream"},)),
        code("import z", (), "figure"),
        {"cell_type": "markdown", "metadata": {}, "source": "from here on"},
        code("import w\nw.prepare()"),
        {"cell_type": "markdown", "metadata": {}, "source": "## At a glance"},
        code("from method import step\nscores = step()"),  # in the reader's sight
    ]
    text = json.dumps({"cells": cells, "metadata": {}})
    staged = json.loads(build.clean_notebook(text, {}))["cells"]
    folded = ["hide-input" in cell["metadata"].get("tags", []) for cell in staged]
    assert folded == [True, True, False, False, False, True, False, False]


def test_staged_source_names_no_folder_of_the_machine(run: Run, root: Path) -> None:
    source = build.stage_book(run.path, root)
    texts = [p.read_text() for p in source.rglob("*") if p.is_file()]
    assert texts and not [text for text in texts if str(root) in text]


@pytest.mark.slow
def test_stage_keeps_unchanged_files_and_removes_stale_ones(run: Run, root: Path) -> None:
    source = build.stage_book(run.path, root)
    index, stale = source / "book" / "index.md", source / "book" / "old.md"
    stale.write_text("old")
    before = index.stat().st_mtime_ns
    build.stage_book(run.path, root)
    assert index.stat().st_mtime_ns == before and not stale.exists()
    (root / "book" / "index.md").write_text("# New\n")
    build.stage_book(run.path, root)
    assert index.read_text() == "# New\n"


def test_missing_executed_notebook_is_named_with_the_command(run: Run, root: Path) -> None:
    (run.path / "notebooks" / "01_first.ipynb").unlink()
    with pytest.raises(KcError, match=r"01_first\.ipynb is missing.*kc run --profile smoke"):
        build.stage_book(run.path, root)


def test_damaged_executed_notebook_is_named(run: Run, root: Path) -> None:
    (run.path / "notebooks" / "01_first.ipynb").write_text("{")
    with pytest.raises(KcError, match=r"01_first\.ipynb is damaged"):
        build.stage_book(run.path, root)


def test_notebooks_of_another_configuration_are_not_staged(run: Run, root: Path) -> None:
    keys = [STAGES.key(run.config, stage.name) for stage in STAGES.study]
    digest = artifacts.sha256(run.path / "notebooks" / "01_first.ipynb")
    known = {"key": "k", "seconds": 1.0, "digest": digest, "results": key_of(keys)}
    run.record["notebooks"] = {"01_first": known}
    run.save()
    build.stage_book(run.path, root)
    run.record["config"]["seed"] = 5
    run.save()
    with pytest.raises(KcError, match=r"01_first\.ipynb was executed for another configuration"):
        build.stage_book(run.path, root)


def test_figures_of_another_sweep_are_refused(run: Run, root: Path, monkeypatch) -> None:
    monkeypatch.setattr(notebooks, "ROOT", root)
    record = root / STORED_SWEEP / "sweep.json"
    record.parent.mkdir(parents=True)
    record.write_text("{}")
    source = root / "notebooks" / "01_first.ipynb"
    assert notebooks.sweep_shown("01_first") is None  # it draws nothing from the sweep
    source.write_text(source.read_text().replace("# First", "# First, from sweep_dir"))
    digest = artifacts.sha256(run.path / "notebooks" / "01_first.ipynb")
    keys = [STAGES.key(run.config, stage.name) for stage in STAGES.study]
    known = {"key": "k", "seconds": 1.0, "digest": digest, "results": key_of(keys)}
    run.record["notebooks"] = {"01_first": known | {"sweep": notebooks.sweep_shown("01_first")}}
    check_executed(run, ["01_first"])
    record.write_text('{"runs": []}')
    with pytest.raises(KcError, match=r"01_first\.ipynb shows other tables than book/ref.*'kc run"):
        check_executed(run, ["01_first"])


@pytest.mark.slow
def test_build_is_skipped_when_nothing_changed(run: Run, root: Path, monkeypatch) -> None:
    builds = []

    def fake(source: Path, out: Path) -> None:
        builds.append(source)
        for name in ("index", "book/index", "notebooks/01_first"):
            page = out / "_build" / "html" / f"{name}.html"
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(f"<html><article class='bd-article'><h1>{name}</h1></article></html>")

    monkeypatch.setattr(build, "_jupyter_book", fake)
    index = build.build_book(run.path, root)
    assert index == run.path / "book" / "_build" / "html" / "index.html"
    run.record["other_seconds"]["book"] = 12.5  # what `kc book` notes when it is done
    run.save()
    build.build_book(run.path, root)
    assert len(builds) == 1
    (root / "book" / "index.md").write_text("# Changed\n")
    build.build_book(run.path, root)
    assert len(builds) == 2
    whole = index.with_name("whole-book.html")
    assert "notebooks/01_first" in whole.read_text()
    for count, lost in ((3, index), (4, whole)):
        lost.unlink()
        build.build_book(run.path, root)
        assert len(builds) == count and lost.is_file()


def test_a_changed_glossary_builds_every_page_again() -> None:
    before = {"book/a.md": "1", "book/glossary.md": "1"}
    assert build._only_pages_changed(before, before | {"book/a.md": "2"})
    assert not build._only_pages_changed(before, before | {"book/glossary.md": "2"})


@pytest.mark.slow
def test_a_warning_fails_the_build_every_time(run: Run, root: Path) -> None:
    page = root / "book" / "index.md"
    good = page.read_text()
    page.write_text(good + "\n{ref}`nowhere`\n")
    for _ in range(2):
        with pytest.raises(KcError, match=r"1 warning\(s\).*nowhere"):
            build.build_book(run.path, root)
    page.write_text(good)
    assert build.build_book(run.path, root).is_file()


def test_every_profile_has_a_row() -> None:
    table = reference_tables.profile_table()
    assert all(f"| `{name}` |" in table for name in profiles.PROFILES)


def test_cells_cannot_break_the_table() -> None:
    assert "a \\| b c" in markdown.table(("x",), [("a | b\nc",)])
