"""The exercises: complete, solved by their solutions, refused as stubs, folded on their pages."""

from __future__ import annotations

import ast
import builtins
import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from exercise_cells import PATHS, load, outcomes
from IPython.core.interactiveshell import InteractiveShell

from kc_utils.book import exercises, reference_tables
from kc_utils.book.exercises import (
    TAGS,
    all_exercises,
    exercises_of,
    judge,
    published_notebook,
    source_of,
    stub,
    student_notebook,
)
from kc_utils.errors import KcError
from kc_utils.study.pipeline import EXTRA_NOTEBOOKS

ALL = all_exercises(ROOT)
LABELS = {"hint": "Hint", "mistakes": "Common mistakes", "explanation": "Solution"}


def test_there_are_enough_and_their_numbers_are_in_order() -> None:
    assert len(ALL) >= 20
    numbers = [tuple(map(int, e.number.split("."))) for e in ALL]
    assert numbers == sorted(set(numbers))
    for exercise in ALL:
        assert exercise.notebook.startswith(f"e{exercise.number.split('.')[0]}_")
        assert (ROOT / "notebooks" / f"{exercise.chapter}.ipynb").is_file()
        assert 1 <= exercise.difficulty <= 5 and 5 <= exercise.minutes <= 45


def test_difficulties_differ() -> None:
    assert {e.difficulty for e in ALL} >= {1, 2, 3, 4}


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
def test_every_exercise_is_complete(path: Path) -> None:
    notebook = load(path)
    found = exercises_of(notebook, path)
    assert 3 <= len(found) <= 5
    for exercise in found:
        text = {tag: source_of(notebook["cells"][i]) for tag, i in exercise.cells.items()}
        assert len(text["exercise"].split()) > 40, "the question says why it matters"
        assert re.search(r"\njudge\(\s*check,\s*\w+,\s*wrong=", text["test"])
        assert "    assert " in text["test"]
        for tag, label in LABELS.items():
            assert text[tag].startswith(f"<details>\n<summary>{label}</summary>\n\n"), tag
            assert text[tag].endswith("\n\n</details>"), tag
        assert '"""' in text["solution"], "a stub needs a docstring that says what is wanted"


def test_the_pipeline_executes_every_notebook_of_exercises() -> None:
    names = {name for name in EXTRA_NOTEBOOKS if name.startswith("exercises/")}
    assert names == {f"exercises/{path.stem}" for path in PATHS}


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
def test_solutions_passed_their_tests_in_the_run(path: Path, smoke_run: Path) -> None:
    executed = load(smoke_run / "notebooks" / "exercises" / path.name)
    for exercise in exercises_of(executed, path):
        outputs = json.dumps(executed["cells"][exercise.cells["test"]]["outputs"])
        assert "Passed." in outputs, exercise.number


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
def test_every_stub_fails_its_test_and_nothing_else_fails(path: Path, smoke_run: Path) -> None:
    mine = student_notebook(load(path), path)
    found = outcomes(mine, smoke_run)
    tests = {c["id"] for c in mine["cells"] if "test" in c["metadata"].get("tags", [])}
    raised = {i: str(e) for i, e in found.items() if isinstance(e, NotImplementedError)}
    assert set(raised) == tests == {i for i, error in found.items() if error}
    for said, exercise in zip(raised.values(), exercises_of(load(path), path), strict=True):
        assert said.startswith(f"Exercise {exercise.number} has no answer yet: ")


def test_a_stub_keeps_all_but_the_marked_lines() -> None:
    given, last = "def f():\n    a = 1\n", "    return a"
    source = f"{given}    # solution begins\n    b = 2\n    # solution ends\n{last}"
    expected = f'{given}    raise NotImplementedError("exercise 1.1")\n{last}'
    assert stub(source, "1.1") == expected
    assert "solution" not in exercises.solution(source) and "b = 2" in exercises.solution(source)


@pytest.mark.parametrize(
    "source",
    ["x = 1", "# solution begins\nx = 1", "# solution ends\nx = 1\n# solution begins",
     "# solution begins\n# solution ends"],
)  # fmt: skip
def test_a_solution_without_its_marks_is_refused(source: str) -> None:
    with pytest.raises(KcError, match=r"Exercise 7\.7: the solution needs"):
        stub(source, "7.7")


def _without(tag: str):
    def change(cells: list[dict[str, Any]]) -> None:
        del cells[next(i for i, c in enumerate(cells) if tag in c["metadata"].get("tags", []))]

    return change


def _heading(old: str, new: str):
    def change(cells: list[dict[str, Any]]) -> None:
        cell = next(c for c in cells if "exercise" in c["metadata"].get("tags", []))
        assert old in source_of(cell)
        cell["source"] = source_of(cell).replace(old, new, 1)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *((_without(tag), "in this order") for tag in TAGS[1:]),
        (_without("exercise"), "belongs to none"),
        (_heading(" minutes", ""), "needs a heading"),
        (_heading("●○", "●●"), "both have to agree"),
        (_heading("[chapter 1]", "[chapter 2]"), "both have to agree"),
    ],
)
def test_an_incomplete_exercise_is_named(change, message: str) -> None:
    notebook = load(PATHS[0])
    change(notebook["cells"])
    with pytest.raises(KcError, match=message):
        exercises_of(notebook, PATHS[0])


def test_a_wrong_solution_is_caught(smoke_run: Path) -> None:
    notebook = load(PATHS[0])
    first = exercises_of(notebook, PATHS[0])[0]
    cell = notebook["cells"][first.cells["solution"]]
    cell["source"] = source_of(cell).replace("frequency > 5", "frequency > 4")
    found = [str(error) for error in outcomes(notebook, smoke_run).values() if error]
    assert found == ["Not yet: 5 biographies put a person in 'medium', not in 'high'"]


def test_judge_refuses_wrong_answers_and_weak_tests() -> None:
    def check(answer) -> None:
        assert answer(2) == 4, "2 squared is 4"

    judge(check, lambda x: x**2, wrong=lambda x: x + 1)
    with pytest.raises(AssertionError, match="2 squared"):
        judge(check, lambda x: x + 1, wrong=lambda x: x)
    with pytest.raises(AssertionError, match="too weak"):
        judge(check, lambda x: x**2, wrong=lambda x: x * 2)


def test_a_notebook_shows_what_a_test_says_and_no_lines_of_code(capsys, tmp_path: Path) -> None:
    shell = InteractiveShell(ipython_dir=str(tmp_path))
    shell.user_ns |= {"judge": judge}
    cells = {
        "": "def check(answer):\n    assert answer(2) == 4, f'2 squared is 4, not {answer(2)}'",
        "Not yet: 2 squared is 4, not 3": "judge(check, lambda x: x + 1, wrong=abs)",
        "Exercise 7.7 has no answer yet": (
            "def answer(x):\n    raise NotImplementedError('exercise 7.7')\n"
            "judge(check, answer, wrong=abs)"
        ),
    }
    for said, code in cells.items():
        shell.run_cell(code)
        shown = capsys.readouterr().out.strip()
        assert shown.startswith(said) and len(shown.splitlines()) == bool(said)
    shell.run_cell("judge(check, lambda x: [][x], wrong=abs)")  # control: not the test's word
    assert "Traceback" in capsys.readouterr().out


def _names(source: str) -> tuple[set[str], set[str]]:
    """Names that a cell binds, and names that it reads."""
    nodes = list(ast.walk(ast.parse(source)))
    names = [n for n in nodes if isinstance(n, ast.Name)]
    bound = {n.id for n in names if isinstance(n.ctx, ast.Store)}
    bound |= {n.name for n in nodes if isinstance(n, ast.FunctionDef)}
    bound |= {n.arg for n in nodes if isinstance(n, ast.arg)}
    bound |= {n.asname or n.name.split(".")[0] for n in nodes if isinstance(n, ast.alias)}
    return bound, {n.id for n in names if isinstance(n.ctx, ast.Load)}


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
def test_no_exercise_needs_another(path: Path) -> None:
    """So a plan can leave one out."""
    cells, given = load(path)["cells"], set(dir(builtins))
    found = exercises_of(load(path), path)
    for cell in cells[: found[0].cells["exercise"]]:
        given |= _names(source_of(cell))[0] if cell["cell_type"] == "code" else set()
    for exercise in found:
        own = [_names(source_of(cells[exercise.cells[tag]])) for tag in ("solution", "test")]
        needed = own[0][1] | own[1][1]
        assert needed <= given | own[0][0] | own[1][0], exercise.number


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
def test_every_assertion_of_a_test_says_what_is_wrong(path: Path) -> None:
    notebook = load(path)
    for exercise in exercises_of(notebook, path):
        test = ast.parse(source_of(notebook["cells"][exercise.cells["test"]]))
        silent = [n for n in ast.walk(test) if isinstance(n, ast.Assert) and n.msg is None]
        assert not silent, ast.unparse(silent[0])


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
def test_a_page_shows_the_stub_and_folds_the_solution(path: Path) -> None:
    stored = load(path)
    before = copy.deepcopy(stored)
    shown = published_notebook(stored, path)
    assert stored == before
    for exercise in exercises_of(stored, path):
        text = {tag: source_of(shown["cells"][i]) for tag, i in exercise.cells.items()}
        code = exercises.solution(source_of(stored["cells"][exercise.cells["solution"]]))
        assert text["solution"].count(f'NotImplementedError("exercise {exercise.number}")') == 1
        assert f"```python\n{code}\n```\n\n</details>" in text["explanation"]
        assert text["exercise"].startswith(f"({exercise.anchor})=\n## Exercise")
    assert exercises.BEGIN not in json.dumps(shown)


def test_the_table_has_a_row_for_every_exercise() -> None:
    rows = reference_tables.exercise_table(ROOT).splitlines()[2:]
    assert len(rows) == len(ALL)
    for row, exercise in zip(rows, ALL, strict=True):
        assert f"{{ref}}`{exercise.title} <{exercise.anchor}>`" in row
        assert f"| {exercise.minutes} |" in row and f"{exercise.difficulty}&nbsp;of&nbsp;5" in row


def test_chapters_name_the_exercises_that_belong_to_them() -> None:
    for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        chapter = int(path.name[:2])
        own = {e.number.replace(".", "-") for e in ALL if f"{chapter:02}_" in e.chapter}
        named = set(re.findall(r"<exercise-(\d-\d)>", path.read_text("utf-8")))
        assert named == own, path.name
