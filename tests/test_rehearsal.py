"""The rehearsed workshop: its stored seconds are those of what there is; what it would complain of.

The rehearsal itself takes minutes and is not run here: ``make rehearsal``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from exercise_cells import PATHS
from rehearsal.kept import added
from rehearsal.participant import unanswered
from rehearsal.teacher import commands

from kc_utils.book import workshop_table
from kc_utils.book.exercises import all_exercises
from kc_utils.errors import KcError

REFERENCE = ROOT / "book" / "reference"
TEACHING = (ROOT / "book" / "teaching.md").read_text("utf-8")
FILES = {"workshop.md", "workshop_exercises.md", "workshop_commands.md"}


def report(**changed: Any) -> dict[str, Any]:
    """A rehearsal of two notebooks, with seconds that occur once."""
    first = {"open": 3.0, "setup": 7.0, "anew": 13.0}
    second = {"open": 5.0, "setup": 11.0, "anew": 17.0}
    made = {
        "git": "abc", "profile": "tiny", "machine": "Linux, 2 cores", "processor": "P",
        "cores": 2,
        "load_before": 0.4, "versions": {"jupyterlab": "4.9", "chromium": "200"},
        "installation": 150.0, "jupyter_lab": 19.0,
        "notebooks": {"e1_a": first, "e10_b": second, "explorer": {"open": 99.0, "anew": 99.0}},
        "exercises": {"10.1": 0.5, "1.2": 2.25, "1.1": 1.25}, "commands": {"kc doctor": 23.0},
    }  # fmt: skip
    return made | changed


def test_the_stored_seconds_are_of_the_exercises_and_commands_that_there_are() -> None:
    """If this fails, `make rehearsal` measures anew."""
    if not (REFERENCE / workshop_table.REPORT).is_file():
        pytest.skip("no rehearsal is stored, and the page says so: `make rehearsal`")
    stored = json.loads((REFERENCE / workshop_table.REPORT).read_text("utf-8"))
    assert set(stored["exercises"]) == {e.number for e in all_exercises(ROOT)}
    assert set(stored["notebooks"]) == {path.stem for path in PATHS} | {"explorer"}
    assert set(stored["commands"]) == {command for command, _ in commands(TEACHING)}
    assert stored["profile"] == "tiny", "the run that the page tells teachers to make"
    made = workshop_table.pages(REFERENCE, ROOT)
    assert set(made) == FILES and "minutes of waiting for groups 2 and 3;" in made["workshop.md"]
    assert all(f"{{include}} generated/{name}" in TEACHING for name in FILES)


def test_without_a_rehearsal_the_page_says_so(tmp_path: Path) -> None:
    assert set(workshop_table.pages(tmp_path, ROOT)) == FILES
    assert "No rehearsal" in workshop_table.pages(tmp_path, ROOT)["workshop.md"]


def test_what_was_measured_is_told_apart_from_what_is_an_estimate() -> None:
    said = workshop_table.words(report(), ["1"])
    measured, _, estimated = said.partition("**Estimated:**")
    for words in (
        "installing takes 2.5 minutes",
        "answers after 19 seconds",
        "kernel after 3 to 5 seconds",
        "take 7 to 11 seconds",
        "take 4 seconds",
    ):
        assert words in measured
    assert "how long people think" in " ".join(estimated.split())
    # the server, one notebook and its two exercises: 19 + 3 + 7 + 2.25 + 1.25
    assert "0.5 minutes of waiting for groups 1;" in said
    assert "installing" not in workshop_table.words(report(installation=None))
    assert "waiting" not in workshop_table.words(report())


@pytest.mark.parametrize(("load", "said"), [(0.9, False), (1.1, True), (4.9, True)])
def test_a_busy_machine_is_named(load: float, said: bool) -> None:
    assert (
        "an idle one takes fewer seconds" in workshop_table.words(report(load_before=load))
    ) == said


def test_tables_have_a_row_for_each_notebook_exercise_and_command() -> None:
    rows = workshop_table.notebooks(report()).splitlines()[2:]
    assert rows == ["| `e1_a` | 3.0 | 7.0 | 2.2 | 13.0 |", "| `e10_b` | 5.0 | 11.0 | 0.5 | 17.0 |"]
    rows = workshop_table.exercises(report()).splitlines()[2:]
    assert rows == ["| 1.1 | 1.25 |", "| 1.2 | 2.25 |", "| 10.1 | 0.50 |"]
    assert workshop_table.commands(report()).splitlines()[2:] == ["| `kc doctor` | 23.0 |"]


def test_commands_of_the_page_are_found_with_those_that_are_refused() -> None:
    found = dict(commands(TEACHING))
    assert len(found) > 8 and sum(found.values()) == 1
    assert next(c for c, refused in found.items() if refused).endswith("--run-dir runs/wrong")
    page = "```bash\nkc a --b    # nothing written\n.venv/bin/kc c\ncp x y\n```\n\n`kc d`\n"
    assert list(commands(page)) == [("kc a --b", True), (".venv/bin/kc c", False)]


@pytest.mark.parametrize(
    ("answer", "test", "wrong"),
    [
        ([], ["Exercise 1.1 has no answer yet: write it."], False),
        (["SyntaxError"], ["Exercise 1.1 has no answer yet: write it."], True),
        ([], [], True),
        ([], ["Exercise 1.2 has no answer yet: write it."], True),
        ([], ["Traceback\n...\nNotImplementedError: exercise 1.1"], True),
        ([], ["Exercise 1.1 \nline\nline"], True),
    ],
)
def test_a_stub_that_says_something_else_is_a_fault(
    answer: list[str], test: list[str], wrong: bool
) -> None:
    assert bool(unanswered("1.1", answer, test)) == wrong


def test_a_part_that_is_rehearsed_again_takes_the_place_of_the_old_one() -> None:
    again = {"exercises": {"1.1": 9.0}, "notebooks": {}, "load_before": 0.1, "git": "def"}
    again = {k: v for k, v in report(**again).items() if k != "commands"}
    made = added(report(), again)
    assert made == report(exercises={"10.1": 0.5, "1.2": 2.25, "1.1": 9.0}, git="def")
    for name, value in (("profile", "smoke"), ("versions", {}), ("processor", "Q")):
        with pytest.raises(KcError, match=f"stored rehearsal has {name}"):
            added(report(), report(**{name: value}))
