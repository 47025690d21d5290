"""A participant's way through a folder: each exercise unanswered, then with its solution."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from playwright.sync_api import Page

from kc_utils.book.exercises import exercises_of, solution, source_of

from .lab_server import Lab
from .open_notebook import OpenNotebook

FOLDER = PurePosixPath("notebooks/exercises")
EXPLORER = PurePosixPath("notebooks/explorer.ipynb")


@dataclass
class Seen:
    """Seconds, and what was wrong, in words.

    ``notebooks`` maps a notebook to the seconds until it is open with a kernel (``open``), of the
    cells before its first exercise (``setup``), and of all cells after a restart (``anew``);
    ``exercises`` maps a number to the seconds of the solution and its test.
    """

    notebooks: dict[str, dict[str, float]] = field(default_factory=dict)
    exercises: dict[str, float] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def do_exercises(new_page: Callable[[], Page], lab: Lab, handed: Path, path: Path) -> Seen:
    """Do all exercises of one notebook.

    Args:
        new_page: opens a page of the browser.
        lab: the server.
        handed: the folder that it serves.
        path: the notebook with its solutions, in the checkout.
    """
    seen, cells = Seen(), _cells(handed / FOLDER / path.name)
    book = OpenNotebook(new_page(), lab, FOLDER / path.name, len(cells))
    solved = json.loads(path.read_text(encoding="utf-8"))
    places = {cell["id"]: i for i, cell in enumerate(cells)}
    exercises = exercises_of(solved, path)
    first = min(places[solved["cells"][e.cells["exercise"]]["id"]] for e in exercises)
    setup = [i for i in range(first) if cells[i]["cell_type"] == "code"]
    taken = {"open": book.seconds_to_open, "setup": sum(book.run(i) for i in setup)}
    for i in setup:
        seen.faults += [f"{path.stem}, cell {i}: {text[-300:]}" for text in book.complaints(i)]
    for exercise in exercises:
        answer, test = (solved["cells"][exercise.cells[tag]] for tag in ("solution", "test"))
        at, under = places[answer["id"]], places[test["id"]]
        book.run(at)
        book.run(under)
        seen.faults += unanswered(exercise.number, book.complaints(at), book.complaints(under))
        book.write(at, solution(source_of(answer)))
        seen.exercises[exercise.number] = round(book.run(at) + book.run(under), 2)
        wrong = book.complaints(at) + book.complaints(under)
        if wrong or "Passed." not in book.said(under):
            seen.faults.append(f"exercise {exercise.number}, solved: {' | '.join(wrong)[-300:]}")
    taken["anew"] = book.run_all_anew()
    seen.faults += [f"{path.stem}, run anew: {text[-300:]}" for text in book.complaints()]
    seen.notebooks[path.stem] = {name: round(seconds, 1) for name, seconds in taken.items()}
    book.close()
    return seen


def open_explorer(new_page: Callable[[], Page], lab: Lab, handed: Path) -> Seen:
    """Run the notebook with widgets, and look for them."""
    seen = Seen()
    book = OpenNotebook(new_page(), lab, EXPLORER, len(_cells(handed / EXPLORER)))
    taken = {"open": book.seconds_to_open, "anew": book.run_all_anew()}
    seen.faults += [f"explorer: {text[-300:]}" for text in book.complaints()]
    if not book.widgets():
        seen.faults.append("explorer: no widget is shown")
    seen.notebooks[EXPLORER.stem] = {name: round(seconds, 1) for name, seconds in taken.items()}
    book.close()
    return seen


def unanswered(number: str, answer: list[str], test: list[str]) -> list[str]:
    """What is wrong with what a participant sees who has written nothing yet."""
    if answer:
        return [f"exercise {number}: defining the stub fails: {answer[0][-300:]}"]
    if len(test) != 1:
        return [f"exercise {number}: without an answer the test says {len(test)} things"]
    if not test[0].startswith(f"Exercise {number} ") or len(test[0].splitlines()) > 2:
        return [f"exercise {number}: without an answer the test says: {test[0][-300:]}"]
    return []


def _cells(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]
