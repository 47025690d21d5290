"""The book's contents with minutes and prerequisites, and routes through it, from ``_toc.yml``.

Minutes are estimated from what a page holds: words at 180 a minute, half a minute a figure, three
quarters of a minute a formula, and two seconds a line of code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

WORDS, FIGURE, FORMULA, LINE = 1 / 180, 0.5, 0.75, 1 / 30  # minutes

_CODE = re.compile(r"^```(?!\{math\}).*?^```", re.DOTALL | re.MULTILINE)
_FORMULA = re.compile(r"^```\{math\}.*?^```", re.DOTALL | re.MULTILINE)
_NB = "notebooks/"

#: What a page takes for granted. Pages that are not listed need nothing but the front page.
NEEDS: dict[str, tuple[str, ...]] = {
    "book/method": ("book/study",),
    f"{_NB}background_2_circuits": (f"{_NB}background_1_residual_stream",),
    f"{_NB}background_3_patching": (f"{_NB}background_2_circuits",),
    f"{_NB}background_4_integrated_gradients": (f"{_NB}background_3_patching",),
    f"{_NB}background_5_every_edge": (f"{_NB}background_4_integrated_gradients",),
    f"{_NB}background_6_known_circuits": (f"{_NB}background_4_integrated_gradients",),
    f"{_NB}01_data_synthesis": ("book/study",),
    f"{_NB}02_training": (f"{_NB}01_data_synthesis",),
    f"{_NB}03_circuit_discovery": ("book/method", f"{_NB}02_training"),
    f"{_NB}04_circuit_evaluation": (f"{_NB}03_circuit_discovery",),
    f"{_NB}05_performance": (f"{_NB}02_training", f"{_NB}04_circuit_evaluation"),
    f"{_NB}06_topology": (f"{_NB}03_circuit_discovery",),
    f"{_NB}07_components": (f"{_NB}03_circuit_discovery",),
    f"{_NB}08_forgetting": (f"{_NB}05_performance", f"{_NB}06_topology"),
    f"{_NB}09_real_model": (f"{_NB}05_performance", f"{_NB}06_topology"),
    f"{_NB}10_capitals": ("book/method", f"{_NB}04_circuit_evaluation"),
    f"{_NB}11_methods": ("book/method", f"{_NB}03_circuit_discovery"),
    f"{_NB}12_evidence": ("book/study",),
    f"{_NB}13_relevance": (f"{_NB}05_performance",),
    f"{_NB}14_exposure": (f"{_NB}02_training",),
    f"{_NB}15_strategies": (f"{_NB}06_topology", f"{_NB}08_forgetting"),
    f"{_NB}explorer": ("book/method",),
}


@dataclass(frozen=True)
class Chapter:
    """A page of the contents: its file without suffix, title, number, part and reading time."""

    file: str
    title: str
    number: int | None
    part: str
    minutes: int

    @property
    def label(self) -> str:
        """The title with its number, if it has one."""
        return self.title if self.number is None else f"{self.number}. {self.title}"

    @property
    def link(self) -> str:
        """A Markdown link from a page in ``book/``."""
        return f"[{self.label}](/{self.file})"


@dataclass(frozen=True)
class Route:
    """A way through the book: for whom, and which pages. Pages that do not exist are skipped."""

    who: str
    files: tuple[str, ...]
    note: str = ""


TIMES = (
    Route("Fifteen minutes", ("book/study",), "this page first"),
    Route(
        "Two hours",
        ("book/study", "book/method", f"{_NB}04_circuit_evaluation", f"{_NB}06_topology",
         f"{_NB}12_evidence"),
    ),
    Route("A day", (), "every page in order, and the exercises on the way"),
)  # fmt: skip
READERS = (
    Route(
        "New to interpretability",
        (f"{_NB}background_1_residual_stream", f"{_NB}background_2_circuits",
         f"{_NB}background_3_patching", f"{_NB}background_4_integrated_gradients", "book/method",
         f"{_NB}03_circuit_discovery"),
    ),
    Route(
        "A researcher",
        ("book/method", f"{_NB}background_5_every_edge", f"{_NB}11_methods",
         f"{_NB}04_circuit_evaluation", f"{_NB}06_topology", f"{_NB}12_evidence"),
        "why there are so many controls: {ref}`weak spots <weak-spots>`",
    ),
    Route(
        "A teacher",
        ("book/teaching", "book/exercises", f"{_NB}01_data_synthesis",
         f"{_NB}03_circuit_discovery", f"{_NB}05_performance"),
        "each chapter ends with things to try that take minutes",
    ),
    Route(
        "A rerunner",
        ("book/rerun", f"{_NB}explorer", "book/own_facts", "book/profiles", f"{_NB}02_training",
         f"{_NB}12_evidence"),
    ),
)  # fmt: skip


def pages(root: Path) -> dict[str, str]:
    """Generated parts of the front page: file name -> MyST text."""
    known = chapters(root)
    return {"chapters.md": chapter_table(known), "routes.md": routes(known)}


def chapters(root: Path) -> list[Chapter]:
    """Every page of ``_toc.yml`` after the front page, in its order.

    Numbers run through all parts that are numbered.
    """
    contents = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    found, number = [], 0
    for part, entry in entries(contents):
        numbered = bool(part.get("numbered"))
        number += numbered
        source = _source(root, entry["file"])
        title = entry.get("title") or _title(source)
        of_part = part.get("caption", "")
        shown = number if numbered else None
        found.append(Chapter(entry["file"], title, shown, of_part, minutes(source)))
    return found


def entries(contents: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Part and entry of every page of a ``_toc.yml`` after the first, in its order."""
    parts = contents.get("parts") or [contents]
    return [(part, entry) for part in parts for entry in part.get("chapters", [])]


def minutes(cells: Sequence[tuple[str, str]]) -> int:
    """Minutes to read a page, in steps of one up to five and of five beyond; at least one.

    Args:
        cells: kind (markdown, code or figure) and text of each part of the page.
    """
    spent = 0.0
    for kind, text in cells:
        if kind == "markdown":
            spent += FORMULA * len(_FORMULA.findall(text)) + FIGURE * text.count("```{figure}")
            spent += WORDS * len(_CODE.sub("", _FORMULA.sub("", text)).split())
        else:
            spent += FIGURE * (kind == "figure") + LINE * len(text.splitlines())
    return max(1, round(spent)) if spent < 5.5 else 5 * round(spent / 5)


def chapter_table(known: Sequence[Chapter]) -> str:
    """A table per part: chapter, minutes, and what should be read before it."""
    by_file = {chapter.file: chapter for chapter in known}
    text = []
    for part in dict.fromkeys(chapter.part for chapter in known):
        text += [f"| {part or 'Chapter'} | minutes | read before |", "| --- | ---: | --- |"]
        for chapter in (c for c in known if c.part == part):
            needs = [by_file[f] for f in NEEDS.get(chapter.file, ()) if f in by_file]
            before = ", ".join(f"[{_short(n)}](/{n.file})" for n in needs)
            text.append(f"| {chapter.link} | {chapter.minutes} | {before} |")
        text.append("")
    return "\n".join(text)


def routes(known: Sequence[Chapter]) -> str:
    """The ways through the book as two lists: by time, and by reader, with minutes added up."""
    by_file = {chapter.file: chapter for chapter in known}
    text = []
    for heading, group in (("By time", TIMES), ("By reader", READERS)):
        text += [f"**{heading}**", ""]
        for route in group:
            stops = [by_file[file] for file in route.files if file in by_file]
            path = " → ".join(stop.link for stop in stops)
            total = f"reading: {_duration(sum(stop.minutes for stop in stops))}"
            added = total if group is READERS else ""  # a route by time is called by its time
            said = "; ".join(words for words in (path, route.note, added) if words)
            text += [route.who, f": {said}", ""]
    return "\n".join(text)


def _duration(total: int) -> str:
    return f"{total} minutes" if total < 90 else f"{total / 60:.0f} hours"


def _short(chapter: Chapter) -> str:
    return chapter.title if chapter.number is None else f"chapter {chapter.number}"


def _source(root: Path, file: str) -> list[tuple[str, str]]:
    notebook = root / f"{file}.ipynb"
    if not notebook.is_file():
        return [("markdown", (root / f"{file}.md").read_text(encoding="utf-8"))]
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return [(_kind(cell), "".join(cell["source"])) for cell in cells]


def _kind(cell: dict) -> str:
    return "figure" if "figure" in cell["metadata"].get("tags", []) else cell["cell_type"]


def _title(cells: Sequence[tuple[str, str]]) -> str:
    lines = (line for kind, text in cells if kind == "markdown" for line in text.splitlines())
    return next((line.removeprefix("# ") for line in lines if line.startswith("# ")), "Untitled")
