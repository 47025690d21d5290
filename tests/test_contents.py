"""The contents of the book: chapters in order, minutes, routes, and what comes before what."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from kc_utils.book import contents

ROOT = Path(__file__).resolve().parent.parent
TOC = """\
root: book/index
parts:
  - caption: First
    chapters: [{file: book/method}]
  - caption: Second
    numbered: 1
    chapters: [{file: notebooks/03_circuit_discovery}, {file: notebooks/04_circuit_evaluation}]
  - caption: Third
    numbered: 1
    chapters: [{file: notebooks/12_evidence}]
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A project with four pages of known length."""
    (tmp_path / "_toc.yml").write_text(TOC)
    (tmp_path / "book").mkdir()
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "book" / "method.md").write_text("# Method\n\n" + "word " * 360)
    for name, words in (("03_circuit_discovery", 180), ("04_circuit_evaluation", 1800),
                        ("12_evidence", 1)):  # fmt: skip
        cells = [{"cell_type": "markdown", "metadata": {}, "source": f"# {name}\n" + "w " * words}]
        (tmp_path / "notebooks" / f"{name}.ipynb").write_text(json.dumps({"cells": cells}))
    return tmp_path


def test_chapters_follow_the_contents_and_count_on_through_the_parts(small: Path) -> None:
    found = contents.chapters(small)
    assert [(c.number, c.title, c.part) for c in found] == [
        (None, "Method", "First"), (1, "03_circuit_discovery", "Second"),
        (2, "04_circuit_evaluation", "Second"), (3, "12_evidence", "Third"),
    ]  # fmt: skip
    assert [c.minutes for c in found] == [2, 1, 10, 1]


def test_the_table_names_only_pages_that_exist(small: Path) -> None:
    table = contents.chapter_table(contents.chapters(small))
    rows = [line for line in table.splitlines() if "[2. 04" in line]
    assert rows == [
        "| [2. 04_circuit_evaluation](/notebooks/04_circuit_evaluation) | 10 | "
        "[chapter 1](/notebooks/03_circuit_discovery) |"
    ]
    assert "study" not in table and table.count("| minutes |") == 3


def test_routes_skip_pages_that_do_not_exist_and_add_minutes(small: Path) -> None:
    text = contents.routes(contents.chapters(small))
    said = dict(re.findall(r"^(.+)\n: .*reading: (.+)$", text, flags=re.MULTILINE))
    assert said["A researcher"] == "13 minutes" and "A day" not in said
    assert "study" not in text.replace("weak", "") and "teaching" not in text


@pytest.mark.parametrize(("who", "least", "most"), [("Fifteen minutes", 0, 15),
                                                    ("Two hours", 80, 130)])  # fmt: skip
def test_a_route_takes_the_time_it_is_called_by(who: str, least: int, most: int) -> None:
    spent = {chapter.file: chapter.minutes for chapter in contents.chapters(ROOT)}
    files = next(route.files for route in contents.TIMES if route.who == who)
    assert least <= sum(spent[file] for file in files) <= most


def test_figures_formulas_and_code_cost_time() -> None:
    prose = ("markdown", "word " * 180)
    assert contents.minutes([prose]) == 1
    formula = ("markdown", "```{math}\n" + "a b c " * 500 + "\n```")
    assert contents.minutes([prose, *[formula] * 4]) == 4
    assert contents.minutes([prose, ("code", "x\n" * 30), ("figure", "plot()"),
                                  ("figure", "plot()")]) == 3  # fmt: skip
    assert contents.minutes([prose] * 12) == 10


def test_prerequisites_of_the_book_come_before_what_needs_them() -> None:
    order = [chapter.file for chapter in contents.chapters(ROOT)]
    for file, needs in contents.NEEDS.items():
        late = [n for n in needs if file in order and n in order
                and order.index(n) >= order.index(file)]  # fmt: skip
        assert late == [], file
