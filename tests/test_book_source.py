"""Static checks of what the book is made from: notebooks, prose, configuration, citation."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from pybtex.database import parse_file

from kc_utils.book.build import EXERCISES, stored_notebooks
from kc_utils.cli.app import app

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = stored_notebooks(ROOT)  # chapters, then exercises
CHAPTERS = [path for path in NOTEBOOKS if path.parent.name != EXERCISES]
STAGES = ("01_data_synthesis", "02_training", "03_circuit_discovery", "04_circuit_evaluation",
          "05_performance", "06_topology", "07_components", "08_forgetting",
          "09_real_model", "10_capitals", "11_methods", "12_evidence")  # fmt: skip
MOST_LINES, SHORTEST_ALT = 30, 20
WIDEST_LINE, LONGEST_FUNCTION = 88, 10  # what a page shows without a scroll bar; lines in a cell
FORMATS = re.compile(r"\b(?:Markdown|HTML|say|sentence|listed|plots\.table|faithfulness_table)\(")
# Folders of one machine, spelled so that this file does not match itself.
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|Users|root|work)" + r"/\w")


#: The one cell in which a reader sees a whole method at once: EAP-IG in 40 lines without blanks.
WHOLE_METHOD, WHOLE_METHOD_LINES = "whole-method", 45


def problems(notebook: dict[str, Any]) -> list[str]:
    """What is wrong with a stored notebook; empty when nothing is."""
    cells = notebook["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    prose = [cell for cell in cells if cell["cell_type"] == "markdown"]
    found = [f"outputs in cell {c.get('id')}" for c in code if c["outputs"]]
    found += [f"execution count in cell {c.get('id')}" for c in code if c["execution_count"]]
    if (n := sum("parameters" in _tags(cell) for cell in code)) != 1:
        found.append(f"{n} cells of parameters")
    if any("injected-parameters" in _tags(cell) for cell in code):
        found.append("injected parameters")
    if 3 * len(prose) < len(cells):
        found.append(f"{len(prose)} prose cells of {len(cells)}")
    limits = [(c, WHOLE_METHOD_LINES if WHOLE_METHOD in _tags(c) else MOST_LINES) for c in code]
    found += [f"long cell {c.get('id')}" for c, most in limits if _lines(c) > most]
    return found + [p for cell in code if "figure" in _tags(cell) for p in _figure_problems(cell)]


def distractions(notebook: dict[str, Any]) -> list[str]:
    """What keeps a reader of the code that is shown from the method.

    Lines wider than the page, code that formats a sentence or a table, and long functions.
    """
    found = []
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code" or "hide-input" in _tags(cell):
            continue
        source, name = "".join(cell["source"]), cell.get("id")
        wide = [line for line in source.splitlines() if len(line) > WIDEST_LINE]
        found += [f"wide line in cell {name}: {line}" for line in wide]
        found += [f"cell {name} formats {call}...)" for call in FORMATS.findall(source)]
        functions = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef)]
        whole = WHOLE_METHOD in _tags(cell)
        long = [f for f in functions if f.end_lineno - f.lineno >= LONGEST_FUNCTION and not whole]
        found += [f"long function {f.name} in cell {name}" for f in long]
    return found


def _figure_problems(cell: dict[str, Any]) -> list[str]:
    shown = cell["metadata"].get("mystnb", {})
    figure, alt = shown.get("figure", {}), shown.get("image", {}).get("alt", "")
    name = figure.get("name") or cell.get("id")
    found = [f"figure {name} has no {key}" for key in ("caption", "name") if not figure.get(key)]
    if "display(" in "".join(cell["source"]):  # a caption is set below every output of its cell
        found.append(f"figure {name} is not all that its cell shows")
    sentence = len(alt) >= SHORTEST_ALT and alt[0].isupper() and alt[-1] in ".!?"
    return found if sentence else [*found, f"figure {name}: alt text {alt!r} is no sentence"]


def _tags(cell: dict[str, Any]) -> list[str]:
    return cell["metadata"].get("tags", [])


def _lines(cell: dict[str, Any]) -> int:
    return len("".join(cell["source"]).splitlines())


def _yaml(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text("utf-8"))


def _repository() -> str:
    return _yaml("_config.yml")["repository"]["url"]


def _pages() -> list[Path]:
    return sorted((ROOT / "book").glob("*.md"))


def test_the_stages_have_their_notebooks() -> None:
    assert [path.stem for path in NOTEBOOKS][: len(STAGES)] == list(STAGES)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_is_stored_clean_and_readable(path: Path) -> None:
    assert problems(json.loads(path.read_text("utf-8"))) == []


def test_one_cell_shows_a_whole_method_in_forty_lines() -> None:
    cells = [
        (path.stem, cell)
        for path in NOTEBOOKS
        for cell in json.loads(path.read_text("utf-8"))["cells"]
        if WHOLE_METHOD in _tags(cell)
    ]
    assert [name for name, _ in cells] == ["background_4_integrated_gradients"]
    lines = "".join(cells[0][1]["source"]).splitlines()
    assert sum(bool(line.strip()) for line in lines) <= 40


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_a_chapter_shows_its_method_and_folds_the_rest(path: Path) -> None:
    assert distractions(json.loads(path.read_text("utf-8"))) == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a = " + "1" * 85, "wide line"),
        ("say('{n}', n=1)", "formats say("),
        ("plots.table(run.table('hits'))", "formats plots.table("),
        ("def f():\n" + "    a = 1\n" * 10, "long function f"),
    ],
)
def test_what_a_reader_should_not_see_may_be_folded(source: str, expected: str) -> None:
    notebook = _notebook()
    assert distractions(notebook) == []
    notebook["cells"][1]["source"] = source
    (found,) = distractions(notebook)
    assert expected in found
    notebook["cells"][1]["metadata"]["tags"].append("hide-input")
    assert distractions(notebook) == []


def test_figure_names_are_unique() -> None:
    cells = (c for p in NOTEBOOKS for c in json.loads(p.read_text("utf-8"))["cells"])
    names = [c["metadata"]["mystnb"]["figure"]["name"] for c in cells if "figure" in _tags(c)]
    assert len(names) == len(set(names))


def _notebook() -> dict[str, Any]:
    def cell(kind: str, source: str, **metadata: Any) -> dict[str, Any]:
        more = {"outputs": [], "execution_count": None} if kind == "code" else {}
        return {"cell_type": kind, "id": source, "metadata": metadata, "source": source} | more

    image = {"alt": "Accuracy rises with the epoch."}
    figure = {"caption": "Accuracy.", "name": "fig-accuracy"}
    return {
        "cells": [
            cell("markdown", "# Title"),
            cell("code", "a = 1", tags=["parameters"]),
            cell("code", "plot()", tags=["figure"], mystnb={"image": image, "figure": figure}),
        ]
    }


def test_a_good_notebook_has_no_problems() -> None:
    assert problems(_notebook()) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda n: n["cells"][1].update(outputs=[{"output_type": "stream"}]), "outputs"),
        (lambda n: n["cells"][1].update(execution_count=3), "execution count"),
        (lambda n: n["cells"][1]["metadata"].update(tags=[]), "0 cells of parameters"),
        (lambda n: n["cells"][2]["metadata"]["tags"].append("parameters"), "2 cells"),
        (lambda n: n["cells"][2]["metadata"]["tags"].append("injected-parameters"), "injected"),
        (lambda n: n["cells"].append(n["cells"][1] | {"metadata": {}}), "prose cells"),
        (lambda n: n["cells"][1].update(source="a = 1\n" * 31), "long cell"),
        (lambda n: n["cells"][2]["metadata"].pop("mystnb"), "no caption"),
        (lambda n: n["cells"][2]["metadata"]["mystnb"]["image"].update(alt="a.png"), "no sentence"),
        (lambda n: n["cells"][2]["metadata"]["mystnb"]["figure"].pop("name"), "no name"),
        (lambda n: n["cells"][2].update(source="display(plot(), say('so'))"), "not all"),
    ],
)
def test_a_bad_notebook_is_named(change, expected) -> None:
    notebook = _notebook()
    change(notebook)
    assert any(expected in problem for problem in problems(notebook))


def test_contents_list_every_page_and_notebook_once() -> None:
    contents = _yaml("_toc.yml")
    listed = [contents["root"], *(c["file"] for p in contents["parts"] for c in p["chapters"])]
    there = [p.relative_to(ROOT).with_suffix("").as_posix() for p in (*_pages(), *NOTEBOOKS)]
    assert sorted(listed) == sorted(there)


def test_no_path_of_a_machine_is_stored() -> None:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = []
    for name in names.splitlines():
        try:
            text = (ROOT / name).read_text("utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            continue
        found += [f"{name}: {match[0]}" for match in MACHINE_PATH.finditer(text)]
    assert found == []


@pytest.mark.parametrize("path", ["/ho" + "me/ada/x", "'/wo" + "rk/main'", "file:///ro" + "ot/a"])
def test_a_path_of_a_machine_is_seen(path: str) -> None:
    assert MACHINE_PATH.search(path)


def test_every_reference_can_be_found() -> None:
    entries = parse_file(str(ROOT / "book" / "references.bib")).entries
    assert "ou2025" in entries and len(entries) > 10
    lost = [k for k, e in entries.items() if not e.fields.get("url", "").startswith("https://")]
    assert lost == []


def test_every_reference_is_cited() -> None:
    texts = [p.read_text("utf-8") for p in (*_pages(), *NOTEBOOKS)]
    cited = {key for text in texts for group in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", text)
             for key in re.split(r"\s*,\s*", group)}  # fmt: skip
    assert set(parse_file(str(ROOT / "book" / "references.bib")).entries) == cited


def test_citation_names_the_project_and_the_paper() -> None:
    citation = _yaml("CITATION.cff")
    required = {"cff-version", "message", "title", "authors", "type", "license", "version"}
    assert required <= set(citation)
    assert citation["license"] == "MIT" and (ROOT / "LICENSE").read_text().startswith("MIT License")
    assert citation["authors"] == [{"name": _yaml("_config.yml")["author"]}]
    (paper,) = citation["references"]
    assert paper["url"].endswith("2502.11196")
    assert {"family-names": "Ou", "given-names": "Yixin"} in paper["authors"]
    pyproject = (ROOT / "pyproject.toml").read_text("utf-8")
    assert f'version = "{citation["version"]}"' in pyproject
    assert f"## {citation['version']}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_address_of_the_repository_is_the_same_everywhere() -> None:
    address = _repository()
    assert _yaml("CITATION.cff")["repository-code"] == address
    assert f'\\"{address}\\"' in (ROOT / ".colab" / "start.ipynb").read_text("utf-8")
    other = re.compile(rf"https://github\.com/[\w.-]+/{address.rpartition('/')[2]}\b")
    for name in ("README.md", "pyproject.toml"):
        assert set(other.findall((ROOT / name).read_text("utf-8"))) <= {address}, name


def test_the_workflow_tests_everything_and_publishes_main_only() -> None:
    workflow = _yaml(".github/workflows/book.yml")
    triggers = workflow[True]  # YAML reads the key "on" as true
    assert triggers["push"]["branches"] == ["main"] and "pull_request" in triggers
    steps = workflow["jobs"]["build"]["steps"]
    assert [s["run"] for s in steps if s.get("run", "").startswith("make")] == [
        "make test",
        "make book",
    ]
    publish = workflow["jobs"]["publish"]
    assert publish["needs"] == "build" and "!= 'pull_request'" in publish["if"]
    assert any("actions/deploy-pages" in step.get("uses", "") for step in publish["steps"])


def test_commands_in_the_prose_exist() -> None:
    commands = app.registered_commands
    known = {c.name or c.callback.__name__.replace("_", "-") for c in commands}
    for page in _pages():
        used = re.findall(r"^kc ([\w-]+)", page.read_text("utf-8"), flags=re.MULTILINE)
        assert set(used) <= known, page.name
