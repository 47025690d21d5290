"""All chapters have one shape, and every figure and formula is referred to in the text."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
BEFORE = ["At a glance", "Why it matters", "How it is measured"]
AFTER = ["Baseline and negative control", "What would have shown the opposite", "Limitations",
         "Try it yourself", "Exercises", "Further reading"]  # fmt: skip


def faults(notebook: dict[str, Any]) -> list[str]:
    """Where a chapter leaves the common shape; empty when it does not."""
    cells = notebook["cells"]
    headings = re.findall(r"^## (.+)$", prose(cells), flags=re.MULTILINE)
    shape = [h for h in headings if not h.startswith("Result: ")]
    found = [f"headings {shape}"] if shape != BEFORE + AFTER else []
    results = [i for i, h in enumerate(headings) if h.startswith("Result: ")]
    if not results or results != list(range(len(BEFORE), len(BEFORE) + len(results))):
        found.append("results do not stand between method and control")
    opening = r"# .+\n\n\*\*(In one sentence|The claim)\.\*\* [A-Z].+\.\n\n"
    if not re.match(opening, "".join(cells[0]["source"])):
        found.append("does not open with its claim in one sentence")
    glance = _between(cells, "## At a glance", "## How it is measured")
    if not any("figure" in cell["metadata"].get("tags", []) for cell in glance):
        found.append("no figure at a glance")
    last = prose(cells).rpartition("## Further reading")[2]
    if "{cite:t}`" not in last or "- " not in last:
        found.append("further reading cites nothing")
    if "../book/exercises.md" not in prose(cells):
        found.append("no link to the exercises")
    return found


def prose(cells: list[dict[str, Any]]) -> str:
    """The Markdown of a notebook, one cell below another."""
    return "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


def _between(cells: list[dict[str, Any]], start: str, end: str) -> list[dict[str, Any]]:
    place = {h: i for i, c in enumerate(cells) for h in (start, end) if h in "".join(c["source"])}
    return cells[place[start] : place[end] + 1] if {start, end} <= set(place) else []


def unmentioned(texts: dict[str, str], figures: dict[str, list[str]]) -> list[str]:
    """Figures that their own page never refers to, and formulas that no page refers to."""
    found = [
        f"{page}: {name}"
        for page, names in figures.items()
        for name in names
        if f"{{numref}}`{name}`" not in texts[page]
    ]
    everything = "\n".join(texts.values())
    for page, text in texts.items():
        labels = re.findall(r"^:label: (\S+)$", text, flags=re.MULTILINE)
        found += [f"{page}: {x}" for x in labels if f"{{eq}}`{x}`" not in everything]
    return found


def _book() -> tuple[dict[str, str], dict[str, list[str]]]:
    texts, figures = {}, {}
    for path in sorted((ROOT / "notebooks").rglob("*.ipynb")):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        texts[path.stem] = prose(cells)
        figures[path.stem] = [
            c["metadata"]["mystnb"]["figure"]["name"]
            for c in cells
            if "figure" in c["metadata"].get("tags", [])
        ]
    for path in (ROOT / "book").glob("*.md"):
        texts[path.stem] = text = path.read_text("utf-8")
        figures[path.stem] = re.findall(r"^:name: (fig-\S+)$", text, flags=re.MULTILINE)
    return texts, figures


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_chapter_has_the_common_shape(path: Path) -> None:
    assert faults(json.loads(path.read_text("utf-8"))) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("## Limitations", "## Limits", "headings"),
        ("## Result: ", "## ", "results"),
        ("**The claim.** ", "", "one sentence"),
        ("{cite:t}`", "{cite:p}`", "further reading"),
        ("../book/exercises.md", "", "exercises"),
    ],
)
def test_a_chapter_of_another_shape_is_named(old: str, new: str, expected: str) -> None:
    text = CHAPTERS[4].read_text("utf-8")
    assert old in text
    assert any(expected in fault for fault in faults(json.loads(text.replace(old, new))))


def test_a_chapter_without_an_early_figure_is_named() -> None:
    notebook = json.loads(CHAPTERS[4].read_text("utf-8"))
    for cell in notebook["cells"]:
        cell["metadata"].pop("tags", None)
    assert "no figure at a glance" in faults(notebook)


def test_every_figure_and_formula_is_referred_to() -> None:
    assert unmentioned(*_book()) == []


def test_a_figure_or_formula_without_a_reference_is_seen() -> None:
    texts = {"one": ":label: sum\n{numref}`fig-a`", "two": "{eq}`other` {numref}`fig-b`"}
    assert unmentioned(texts, {"one": ["fig-a", "fig-b"]}) == ["one: fig-b", "one: sum"]
