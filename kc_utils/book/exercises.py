"""Exercises: how they are written in notebooks, and what readers and participants see of them.

An exercise is six cells in a row of a notebook below ``notebooks/exercises``, told apart by a tag:

- ``exercise`` (prose): heading, difficulty, minutes, the chapter it belongs to, the question;
- ``solution`` (code): the solution; what stands between the two marker lines is what a
  participant writes, everything else is given;
- ``test`` (code): judges the answer, and refuses a plausible wrong one;
- ``hint``, ``mistakes``, ``explanation`` (prose): folded as Hint, Common mistakes and Solution.

This is the one source. The stub is derived from the solution cell, the table of all exercises from
the headings. The published page shows the stub and folds the solution; the student version holds
no solution at all (:mod:`kc_utils.book.student`).
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kc_utils.errors import KcError

TAGS = ("exercise", "solution", "test", "hint", "mistakes", "explanation")
BEGIN, END = "# solution begins", "# solution ends"
MOST_DOTS = 5
_TITLE = re.compile(r"## Exercise (\d+\.\d+): (.+)")
_FACTS = re.compile(
    r"\*Difficulty <span aria-hidden=\"true\">(●+○*)</span> (\d) of 5 · about (\d+) minutes · "
    r"belongs to \[chapter (\d+)\]\(\.\./(\d+_\w+)\.ipynb\)\*"
)


@dataclass(frozen=True)
class Exercise:
    """What the heading of an exercise says; ``notebook`` and ``chapter`` are names without ending.

    ``difficulty`` is 1 to 5, ``minutes`` what a participant needs, ``cells`` the index of the
    notebook's cell for each tag.
    """

    number: str
    title: str
    difficulty: int
    minutes: int
    chapter: str
    notebook: str
    cells: dict[str, int]

    @property
    def anchor(self) -> str:
        """Name of the exercise as a target of cross references."""
        return f"exercise-{self.number.replace('.', '-')}"

    @property
    def dots(self) -> str:
        """The difficulty as five dots."""
        return "●" * self.difficulty + "○" * (MOST_DOTS - self.difficulty)


def exercise_notebooks(root: Path) -> list[Path]:
    """The notebooks with exercises of a project, in their order."""
    return sorted((root / "notebooks" / "exercises").glob("*.ipynb"))


def all_exercises(root: Path) -> list[Exercise]:
    """Every exercise of a project, in order; KcError names what is not complete."""
    paths = exercise_notebooks(root)
    return [e for path in paths for e in exercises_of(json.loads(path.read_text("utf-8")), path)]


def exercises_of(notebook: dict[str, Any], path: Path) -> list[Exercise]:
    """The exercises of a notebook.

    Raises:
        KcError: an exercise lacks a cell, or its heading does not say what it has to.
    """
    tags = [_tag(cell) for cell in notebook["cells"]]
    found = []
    for first in (i for i, tag in enumerate(tags) if tag == "exercise"):
        found.append(_read(notebook["cells"], first, path.stem))
        if tuple(tags[first : first + len(TAGS)]) != TAGS:
            raise KcError(
                f"{path.name}: exercise {found[-1].number} has the cells "
                f"{', '.join(map(str, tags[first : first + len(TAGS)]))}; needed are "
                f"{', '.join(TAGS)}, in this order."
            )
    if sum(tag is not None for tag in tags) != len(found) * len(TAGS):
        raise KcError(f"{path.name}: a cell with the tag of an exercise belongs to none.")
    return found


def stub(source: str, number: str) -> str:
    """A solution cell without its solution: the marked lines become NotImplementedError.

    Raises:
        KcError: there is not exactly one marked part with at least one line.
    """
    lines = source.splitlines()
    marks = [i for i, line in enumerate(lines) if line.strip() in (BEGIN, END)]
    if [lines[i].strip() for i in marks] != [BEGIN, END] or marks[1] == marks[0] + 1:
        raise KcError(
            f"Exercise {number}: the solution needs one line {BEGIN!r}, then lines of code, then "
            f"one line {END!r}."
        )
    indent = lines[marks[0]].removesuffix(BEGIN)
    raised = f'{indent}raise NotImplementedError("exercise {number}")'
    return "\n".join([*lines[: marks[0]], raised, *lines[marks[1] + 1 :]])


def solution(source: str) -> str:
    """A solution cell as a reader sees it: without the marker lines."""
    return "\n".join(x for x in source.splitlines() if x.strip() not in (BEGIN, END))


def student_notebook(notebook: dict[str, Any], path: Path) -> dict[str, Any]:
    """The notebook of a participant: stubs instead of solutions, no folded solution."""
    exercises = exercises_of(notebook, path)
    mine = copy.deepcopy(notebook)
    for exercise in exercises:
        cell = mine["cells"][exercise.cells["solution"]]
        _set_source(cell, stub(source_of(cell), exercise.number))
    mine["cells"] = [cell for cell in mine["cells"] if _tag(cell) != "explanation"]
    return mine


def published_notebook(notebook: dict[str, Any], path: Path) -> dict[str, Any]:
    """An executed notebook as its page shows it.

    The stub stands where the solution ran, the solution's code is folded together with its
    explanation, and every exercise is a target of cross references.
    """
    shown = copy.deepcopy(notebook)
    for exercise in exercises_of(notebook, path):
        head, code, folded = (
            shown["cells"][exercise.cells[tag]] for tag in ("exercise", "solution", "explanation")
        )
        _set_source(head, f"({exercise.anchor})=\n{source_of(head)}")
        _set_source(folded, _with_code(source_of(folded), solution(source_of(code)), exercise))
        _set_source(code, stub(source_of(code), exercise.number))
    return shown


class _OneSentence(Exception):
    """In a notebook, an error that shows its message and no lines of code."""

    def _render_traceback_(self) -> list[str]:
        """What IPython prints instead of a traceback."""
        return [str(self)]


class NoAnswer(_OneSentence, NotImplementedError):
    """Nobody has written an answer yet."""


class WrongAnswer(_OneSentence, AssertionError):
    """A test refuses an answer and says why."""


def judge(
    check: Callable[[Callable[..., Any]], None],
    answer: Callable[..., Any],
    *,
    wrong: Callable[..., Any],
) -> None:
    """Run the test ``check`` on an answer, and on a plausible wrong one, which it has to refuse.

    What a test has to say is not to be looked for below the lines of this file and of the test, so
    a notebook shows the sentence alone. Any other error of an answer keeps its traceback.

    Raises:
        NoAnswer: the answer is still a stub.
        WrongAnswer: the answer fails.
        AssertionError: ``check`` is too weak to tell an answer from the wrong one.
    """
    try:
        check(answer)
    except NotImplementedError as error:
        which = str(error) or "the exercise"
        raise NoAnswer(
            f"{which.capitalize()} has no answer yet: write it instead of "
            "'raise NotImplementedError', run that cell, then this one."
        ) from None
    except AssertionError as error:
        raise WrongAnswer(f"Not yet: {error}") from None
    try:
        check(wrong)
    except AssertionError:
        print("Passed. A plausible wrong answer was refused.")
        return
    raise AssertionError("The test is too weak: it accepts a wrong answer. Please report this.")


def source_of(cell: dict[str, Any]) -> str:
    """Text of a cell, whether it is stored as one string or as lines."""
    return "".join(cell["source"])


def _set_source(cell: dict[str, Any], text: str) -> None:
    cell["source"] = text.splitlines(keepends=True)


def _tag(cell: dict[str, Any]) -> str | None:
    found: Iterable[str] = (t for t in cell["metadata"].get("tags", []) if t in TAGS)
    return next(iter(found), None)


def _read(cells: list[dict[str, Any]], first: int, name: str) -> Exercise:
    lines = source_of(cells[first]).splitlines()
    title = _TITLE.fullmatch(lines[0]) if lines else None
    facts = _FACTS.fullmatch(lines[2]) if len(lines) > 3 else None
    if title is None or facts is None:
        raise KcError(
            f"{name}: the exercise that begins with {lines[:1]} needs a heading '## Exercise 1.1: "
            "Title', an empty line, and a line with difficulty, minutes and chapter."
        )
    dots, difficulty, minutes, chapter, stem = facts.groups()
    exercise = Exercise(
        title[1], title[2], int(difficulty), int(minutes), stem, name,
        {tag: first + i for i, tag in enumerate(TAGS)},
    )  # fmt: skip
    if dots != exercise.dots or int(chapter) != int(stem.partition("_")[0]):
        raise KcError(
            f"{name}: exercise {exercise.number} shows {dots} for {difficulty} of 5, and chapter "
            f"{chapter} for {stem}; both have to agree."
        )
    return exercise


def _with_code(text: str, code: str, exercise: Exercise) -> str:
    end = "</details>"
    if not text.rstrip().endswith(end):
        raise KcError(f"Exercise {exercise.number}: the folded solution has to end with {end}.")
    return f"{text.rstrip().removesuffix(end)}\n```python\n{code}\n```\n\n{end}"
