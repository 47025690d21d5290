"""Time left and the share done of a whole run, and what is said before it starts."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path

import pytest
from rich.console import Console

from kc_utils.cli.doctor.costs import Costs, Speed
from kc_utils.cli.estimate import expected_seconds, in_advance, scales
from kc_utils.config import profiles
from kc_utils.runs.machine import notebooks_at_once, usable_cores
from kc_utils.runs.time_left import CERTAIN, UNKNOWN, Outlook, in_words
from kc_utils.runs.whole_run import whole_run

STEPS = {"one": 100.0, "two": 300.0, "three": 600.0}


def test_before_a_step_is_done_the_range_is_wide() -> None:
    left = Outlook(STEPS).left()
    assert (left.least, left.most, left.unknown) == (1000 / UNKNOWN, 1000 * UNKNOWN, 0)
    assert Outlook(STEPS).share() == 0


def test_steps_that_are_done_set_the_pace_and_narrow_the_range() -> None:
    slow = Outlook(STEPS)
    slow.done("one", 300.0)
    slow.done("two", 900.0)
    assert 2.5 < slow.pace < 3
    left = slow.left()
    assert left.most / left.least == pytest.approx(CERTAIN**2)
    assert left.least < 600 * slow.pace < left.most
    assert slow.share() == pytest.approx(0.4)
    slow.done("three", 1800.0)
    assert slow.share() == 1 and slow.left().words() == "done"


def test_uneven_steps_leave_a_wider_range_than_even_ones() -> None:
    uneven = Outlook(STEPS)
    uneven.done("one", 250.0)
    uneven.done("two", 300.0)
    assert CERTAIN < uneven.factor <= UNKNOWN


def test_a_short_step_does_not_say_how_fast_the_machine_is() -> None:
    outlook = Outlook({"short": 0.1, "long": 1000.0})
    outlook.done("short", 5.0)
    assert outlook.pace < 1.2 and outlook.factor == UNKNOWN


def test_time_under_way_counts_but_never_as_done() -> None:
    outlook = Outlook(STEPS)
    assert outlook.left({"one": 60.0}).most == pytest.approx(940 * UNKNOWN)
    assert outlook.share({"one": 60.0}) == pytest.approx(0.06)
    assert outlook.share({"one": 9999.0}) < 0.1
    assert outlook.left({"one": 9999.0}).most == pytest.approx(900 * UNKNOWN)


def test_a_step_without_a_record_is_said_and_counts_like_a_mean_one() -> None:
    outlook = Outlook({"known": 60.0, "unknown": None})
    assert "and 1 step without a record" in outlook.left().words()
    outlook.done("unknown", 7.0)
    assert outlook.share() == 0.5 and outlook.left().unknown == 0
    none = Outlook({"a": None, "b": None})
    assert none.left().words() == "2 steps left, not recorded"
    none.done("a", 1.0)
    assert none.share() == 0.5


@pytest.mark.parametrize(
    ("least", "most", "words"),
    [
        (5.0, 20.0, "about a minute"),
        (600.0, 1210.0, "10 to 20 minutes"),
        (3000.0, 3010.0, "about 50 minutes"),
        (7200.0, 10800.0, "2 to 3 hours"),
    ],
)
def test_ranges_in_words(least: float, most: float, words: str) -> None:
    assert in_words(least, most) == words


def costs(folder: Path) -> Path:
    """A folder with a record in which training took 100 s, attribution 40 s, a notebook 8 s."""
    stages = {"training": {"seconds": 100.0}, "attribution": {"seconds": 40.0}}
    record = Costs("tiny", None, "a machine", Speed(1.0, 1.0, 1.0, 2), stages,
                   {"05_performance": {"seconds": 8.0}}, {}, 0, {"circuit.steps": 1.5})  # fmt: skip
    (folder / "costs.json").write_text(json.dumps(asdict(record)))
    return folder


def test_times_come_from_the_record_of_the_same_profile(tmp_path: Path) -> None:
    reference = costs(tmp_path)
    steps = ["training", "attribution", "circuit", "notebook 05_performance"]
    found = expected_seconds(profiles.load("tiny"), steps, reference)
    book = 8.0 / notebooks_at_once(usable_cores())
    assert found == dict(zip(steps, (100.0, 40.0, None, book), strict=True))
    other = expected_seconds(profiles.load("smoke"), steps, reference)
    assert other == dict(zip(steps, (None, None, None, book), strict=True))
    assert expected_seconds(profiles.load("tiny"), steps, tmp_path / "none") == dict.fromkeys(steps)


def test_a_profile_with_a_record_of_its_own_is_estimated_by_that(tmp_path: Path) -> None:
    reference = costs(tmp_path)
    record = json.loads((reference / "costs.json").read_text())
    other = record | {"profile": "smoke", "stages": {"training": {"seconds": 3.0}},
                      "notebooks": {"05_performance": {"seconds": 2.0}}}  # fmt: skip
    (reference / "costs-smoke.json").write_text(json.dumps(other))
    steps = ["training", "attribution", "notebook 05_performance", "notebook 06_topology"]
    book = 2.0 / notebooks_at_once(usable_cores())
    found = expected_seconds(profiles.load("smoke"), steps, reference)
    assert found == dict(zip(steps, (3.0, None, book, None), strict=True))
    assert expected_seconds(profiles.load("tiny"), steps, reference)["training"] == 100.0


def test_a_changed_parameter_scales_the_stages_that_grow_with_it(tmp_path: Path) -> None:
    reference = costs(tmp_path)
    half = profiles.load("tiny", ["training.epochs=12"])
    found = expected_seconds(half, ["training", "attribution"], reference)
    assert found == {"training": 50.0, "attribution": 20.0}
    twice = profiles.load("tiny", ["circuit.steps=10"])
    assert scales(twice, {"circuit.steps": 1.5})["attribution"] == pytest.approx(1.5)
    third = profiles.load("tiny", ["circuit.every=3", "circuit.tasks=[city]"])
    assert scales(third, {})["attribution"] == pytest.approx(1 / 9)
    assert scales(profiles.load("tiny", ["circuit.top_n=99", "seed=4"]), {}) == {}


def test_what_is_said_before_a_run() -> None:
    assert "20 to 80 minutes" in (said := in_advance({"a": 2400.0, "b": None}, "tiny", "here"))
    assert "half to twice as fast" in said and "Without a record: b." in said
    assert "No run of profile gpt2" in in_advance({"a": None}, "gpt2", "here")
    assert in_advance({}, "tiny", "here") == "Everything is done already."


def test_where_there_is_no_terminal_every_step_is_a_line_with_the_time_left() -> None:
    out = io.StringIO()
    with whole_run(STEPS, Console(file=out, width=200)) as run:
        for step, seconds in STEPS.items():
            run.begin(step, title=f"stage {step}")
            run.done(step, seconds)
    assert out.getvalue().splitlines() == [
        "stage one (0% done, 8 to 33 minutes left)",
        "stage two (10% done, 12 to 18 minutes left)",
        "stage three (40% done, 8 to 12 minutes left)",
    ]


def test_without_expectations_only_the_step_is_named() -> None:
    out = io.StringIO()
    with whole_run({}, Console(file=out, width=200)) as run:
        run.begin("one", title="stage one")
        run.done("one", 1.0)
    assert out.getvalue() == "stage one\n"


def test_on_a_terminal_one_bar_stays_over_all_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen, out = Terminal(), io.StringIO()
    monkeypatch.setattr("sys.stderr", screen)
    with whole_run(STEPS, Console(file=out, width=200)) as run:
        for step, seconds in STEPS.items():
            run.begin(step, title=f"stage {step}")
            run.done(step, seconds)
    shown = screen.getvalue()
    assert "whole run" in shown and "40%" in shown and "100%" in shown
    assert "8 to 12 minutes left" in shown and shown.rstrip().endswith("done")
    assert out.getvalue().splitlines() == ["stage one", "stage two", "stage three"]
