"""Slides of the demonstrations: what they show, and how a browser shows them offline."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from conftest import ROOT, kc
from watching import OVERFLOW, watch

from kc_utils.book import slides
from kc_utils.errors import KcError

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
    with pytest.raises(KcError, match=message):
        slides.deck(notebooks, planned([figure]))


def test_a_project_with_other_notebooks_has_no_slides(notebooks: Path) -> None:
    assert slides.slides_of(notebooks) is None


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
