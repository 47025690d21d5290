"""Slides of the demonstrations: what they show, and how a browser shows them offline."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from conftest import ROOT, kc
from watching import OVERFLOW, watch

from kc_utils import artifacts
from kc_utils.book import slides
from kc_utils.config import profiles
from kc_utils.errors import KcError
from kc_utils.runs.folder import Run, key_of
from kc_utils.study.stages import STAGES

PLAN = slides.plan()


def planned(figures: list[str]) -> dict:
    """A plan with one demonstration that shows these figures."""
    about = {"title": "T", "subtitle": "S", "description": "D", "close": "C"}
    shown = {"title": "One", "ask": "Which?", "command": "kc claims", "figures": figures}
    return {"deck": about, "demonstration": [shown]}


@pytest.fixture
def notebooks(tmp_path: Path) -> Path:
    """A folder with an executed notebook of one figure, and one whose figure was not drawn."""
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
    mystnb = {"figure": {"name": "fig-a"}, "image": {"alt": 'Two "lines" rise.'}}
    outputs = [{"output_type": "execute_result", "data": {"image/svg+xml": [svg]}}]
    cell = {"cell_type": "code", "source": ["secret()"], "execution_count": 1, "outputs": outputs}
    cell["metadata"] = {"tags": ["figure"], "mystnb": mystnb}
    for name, made in (("one", cell), ("empty", cell | {"outputs": []})):
        (tmp_path / f"{name}.ipynb").write_text(json.dumps({"cells": [made]}))
    return tmp_path


def test_the_plan_follows_the_page_for_teachers_and_names_figures_that_exist() -> None:
    page = (ROOT / "book" / "teaching.md").read_text("utf-8")
    titles = re.findall(r"^\*\*\d\. (.+?) \(", page, flags=re.MULTILINE)
    assert [d["title"] for d in PLAN["demonstration"]] == [t.rstrip(".") for t in titles]
    for where in (f for d in PLAN["demonstration"] for f in d["figures"]):
        name, _, figure = where.rpartition("/")
        assert f'"name": "{figure}"' in (ROOT / "notebooks" / f"{name}.ipynb").read_text("utf-8")


def test_a_demonstration_is_a_question_and_then_its_figures(notebooks: Path) -> None:
    deck = slides.deck(notebooks, planned(["one/fig-a"]))
    kinds = [cell["metadata"]["slideshow"]["slide_type"] for cell in deck["cells"]]
    assert kinds == ["slide", "slide", "subslide", "-", "slide"]
    assert "Which?" in deck["cells"][1]["source"] and "kc claims" in deck["cells"][1]["source"]
    text = slides.as_html(deck)
    assert text.count("<section") == 3 + 4  # three columns, four slides
    assert BeautifulSoup(text, "html.parser").img["alt"] == 'Two "lines" rise.'
    assert "secret()" not in text
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", text)


@pytest.mark.parametrize(
    ("figure", "message"),
    [
        ("two/fig-a", "two.ipynb is missing"),
        ("one/fig-b", "no figure 'fig-b'"),
        ("empty/fig-a", "no picture of fig-a"),
    ],
)
def test_what_is_missing_is_named(notebooks: Path, figure: str, message: str) -> None:
    command = "kc run --profile smoke --run-dir here"
    with pytest.raises(KcError, match=rf"{message}.*; '{command}' executes it"):
        slides.deck(notebooks, planned([figure]), command)


def test_a_project_with_other_notebooks_has_no_slides(notebooks: Path) -> None:
    assert slides.slides_of(notebooks) is None


def test_slides_are_written_over_nothing_but_html(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", profiles.load("smoke"))
    before = (run.path / "run.json").read_bytes()
    with pytest.raises(KcError, match=r"run\.json' is not possible; allowed are names of \*\.html"):
        slides.write_slides(run.path, run.path / "run.json")
    assert (run.path / "run.json").read_bytes() == before


def executed(notebooks: Path, path: Path) -> Run:
    """A run whose record says that it executed the notebook of one figure."""
    run = Run.create(path, profiles.load("smoke"))
    shutil.copytree(notebooks, run.path / "notebooks", ignore=lambda *_: [path.name])
    keys = [STAGES.key(run.config, stage.name) for stage in STAGES.study]
    digest = artifacts.sha256(run.path / "notebooks" / "one.ipynb")
    known = {"key": "k", "seconds": 1.0, "digest": digest, "results": key_of(keys)}
    run.record["notebooks"] = {"one": known}
    run.save()
    return run


@pytest.mark.parametrize("recorded", [True, False])
def test_slides_show_what_the_run_executed_last(
    notebooks: Path, tmp_path: Path, monkeypatch, recorded: bool
) -> None:
    monkeypatch.setattr(slides, "plan", lambda: planned(["one/fig-a"]))
    run = executed(notebooks, tmp_path / "run")
    slides.write_slides(run.path).unlink()
    if not recorded:  # by an earlier version; the run holds no stage of its configuration
        del run.record["notebooks"]["one"]["results"]
    run.record["config"]["seed"] = 5
    run.save()
    with pytest.raises(KcError, match=r"one\.ipynb was executed for another conf.*'kc run --prof"):
        slides.write_slides(run.path)
    assert not (run.path / slides.NAME).exists()


@pytest.mark.parametrize("change", ["one letter", "no notebook"])
def test_a_damaged_notebook_gives_no_slides(
    notebooks: Path, tmp_path: Path, monkeypatch, change: str
) -> None:
    monkeypatch.setattr(slides, "plan", lambda: planned(["one/fig-a"]))
    run = executed(notebooks, tmp_path / "run")
    file = run.path / "notebooks" / "one.ipynb"
    text = file.read_text()
    file.write_text(text.replace("rise", "rose") if change == "one letter" else "{")
    with pytest.raises(KcError, match=r"one\.ipynb is damaged .*executes it again"):
        slides.write_slides(run.path)
    run.record["notebooks"] = {}
    run.save()
    if change == "no notebook":  # unknown to the record, too
        with pytest.raises(KcError, match=r"one\.ipynb is damaged: not a notebook"):
            slides.write_slides(run.path)


@pytest.mark.browser
def test_slides_in_a_browser(browser, smoke_run: Path, tmp_path: Path) -> None:
    file = tmp_path / "apart" / "slides.html"
    file.parent.mkdir()
    assert str(file) in kc("slides", "--run-dir", smoke_run, "--out", file).stdout
    page, wrong = browser.new_page(viewport={"width": 1280, "height": 760}), []
    watch(page, wrong, lambda url: url == file.as_uri() or url.startswith("data:"))
    page.goto(file.as_uri())
    figures = [f for d in PLAN["demonstration"] for f in d["figures"]]
    count = 2 + len(PLAN["demonstration"]) + len(figures)
    assert page.evaluate("Reveal.getTotalSlides()") == count
    seen = 0
    for _ in range(count - 1):
        page.keyboard.press("Space")
        shown = page.locator(".slides section.present:not(.stack) .deck-figure")
        if shown.count():
            box = shown.locator("img, svg").first.bounding_box()
            assert box["width"] > 300 and box["height"] > 100
            assert box["y"] + box["height"] <= 760
            seen += 1
    assert seen == len(figures) and page.evaluate(OVERFLOW) <= 0
    assert page.evaluate("Reveal.isLastSlide()")
    page.close()
    assert wrong == []
