"""The campaign's own parts: what it counts was done, and what it looks for would be seen."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from contextlib import chdir
from pathlib import Path

import pytest
from campaign import command_lines as words_tried
from campaign import damage, kills
from campaign import outcome as outcomes
from campaign.__main__ import merged, timed
from campaign.clocks import jumping, suspend
from campaign.command_lines import COMMANDS, command_lines, nothing_computed, try_words
from campaign.commands import Command, Unbroken
from campaign.damage import damage_files
from campaign.kills import kill
from campaign.outcome import Outcome, digests, whole
from conftest import python
from hypothesis import Phase, find, settings

from kc_utils import artifacts
from kc_utils.config import profiles
from kc_utils.errors import KcError
from kc_utils.runs.folder import Run

pytestmark = pytest.mark.slow

#: A command that is quick the first time, then never ends twice, then is quick again. It counts by
#: appending: a file that is written anew is empty for a moment, and could be seen or killed then.
_STUB = """
import sys, time
from pathlib import Path
folder, starts = Path(sys.argv[-1]), Path(sys.argv[1])
with starts.open("a") as counted:
    counted.write("x")
(folder / "tables").mkdir(parents=True, exist_ok=True)
if len(starts.read_text()) in (2, 3):
    time.sleep(3600)
(folder / "tables" / "one.parquet").write_text("the same")
"""


@pytest.fixture
def command(tmp_path: Path, monkeypatch) -> Command:
    (tmp_path / "stub.py").write_text(_STUB)
    (tmp_path / "starts").write_text("")
    monkeypatch.setattr(outcomes, "KC", (sys.executable, str(tmp_path / "stub.py")))
    return Command("stub", (str(tmp_path / "starts"),), "--out")


def test_as_many_kills_as_were_asked_for_whatever_ends_before(
    command: Command, tmp_path: Path, monkeypatch
) -> None:
    made, outcome, starts = tmp_path / "made" / "it", Outcome("kills"), tmp_path / "starts"
    (made / "tables").mkdir(parents=True)
    (made / "tables" / "one.parquet").write_text("the same")
    processes = []

    def begun(*words: str, **environment: str) -> subprocess.Popen:
        """Until the stub is where it stays, or has ended."""
        before = len(starts.read_text())
        processes.append(outcomes.start(*words, **environment))
        while len(starts.read_text()) <= before:
            os.sched_yield()
        if before in (0, 3):
            os.waitid(os.P_PID, processes[-1].pid, os.WEXITED | os.WNOWAIT)
        return processes[-1]

    monkeypatch.setattr(kills, "start", begun)
    monkeypatch.setattr(kills.time, "sleep", lambda _: None)
    unbroken = Unbroken(digests(made), 1.0)
    kill(command, tmp_path / "killed" / "it", unbroken, 2, random.Random(0), outcome)
    assert outcome.failures == []
    assert sum(outcome.tried.values()) == 2
    assert starts.read_text() == "xxxx"


def test_a_table_that_differs_and_a_file_that_is_left_are_failures(tmp_path: Path) -> None:
    folder, outcome = tmp_path / "run", Outcome("kills")
    (folder / "tables").mkdir(parents=True)
    (folder / "tables" / "one.parquet").write_text("one")
    expected = digests(folder)
    whole("it", folder, expected, outcome)
    assert outcome.failures == []
    (folder / "tables" / "one.parquet").write_text("two")
    (tmp_path / ".run.lock").touch()
    whole("it", folder, expected, outcome)
    assert [failure.split(",")[0] for failure in outcome.failures] == [
        "it: 1 tables differ", "it: left behind ['.run.lock']"
    ]  # fmt: skip


def test_words_are_tried_behind_every_command_and_nothing_is_computed(tmp_path: Path) -> None:
    assert len(COMMANDS) == 17
    enough = settings(
        max_examples=5_000, derandomize=True, database=None, deadline=None,
        phases=[Phase.generate],  # any example will do: none has to be the simplest
    )  # fmt: skip
    for name in (*COMMANDS, "nosuch"):
        drawn = find(command_lines(), lambda words, name=name: words[0] == name, settings=enough)
        assert drawn[0] == name
    place = tmp_path / "words"
    for words in (
        ["run", "--profile", "smoke"], ["book", "--run-dir", "run"], ["claims"], ["benchmark"],
        ["sweep", "--profile", "smoke", "--seeds", "1", "--no-experiments"], ["doctor"],
    ):  # fmt: skip
        with nothing_computed(), chdir(tmp_path):
            try_words(words, place)


def test_what_is_more_than_a_sentence_or_left_behind_fails(tmp_path: Path, monkeypatch) -> None:
    def ends(error: Exception | None, leaves: str = "") -> None:
        def command(words: list[str]) -> None:
            Path(leaves or "new").touch()
            if error is not None:
                raise error

        monkeypatch.setattr(words_tried, "app", command)
        try_words(["run"], tmp_path / "words")

    ends(None)
    ends(KcError("No such thing."))
    for error, said in ((KcError("A\n  b."), "several"), (KcError("No end"), "No end"),
                        (ValueError("x"), "exit code 1")):  # fmt: skip
        with pytest.raises(AssertionError, match=said):
            ends(error)
    with pytest.raises(AssertionError, match=r"left behind \['.x.partial'\]"):
        ends(None, ".x.partial")


def test_a_damaged_notebook_has_to_be_refused(tmp_path: Path, monkeypatch) -> None:
    run = Run.create(tmp_path / "run", profiles.load("smoke"))
    notebook = run.path / "notebooks" / "exercises" / "e1_worlds_and_chance.ipynb"
    notebook.parent.mkdir(parents=True)
    notebook.write_text(json.dumps({"cells": []}))
    known = {"key": "k", "seconds": 1.0, "digest": artifacts.sha256(notebook)}
    run.record["notebooks"]["exercises/e1_worlds_and_chance"] = known
    run.save()
    outcome = Outcome("damage")
    damage_files(run.path, 20, random.Random(0), outcome)
    assert outcome.failures == [] and {"notebooks/*.ipynb: bit", "run.json: bit"} <= {
        *outcome.tried
    }
    monkeypatch.setattr(damage, "check_executed", lambda run, names: None)
    damage_files(run.path, 2, random.Random(0), outcome)
    assert [failure.split(": ")[1] for failure in outcome.failures] == [
        "an executed notebook would be shown as it is"
    ]


def test_no_attempt_begins_when_the_time_is_over_and_the_report_says_so(tmp_path: Path) -> None:
    outcome = Outcome("kills", until=time.monotonic() - 1.0)
    kill(Command("none", (), "--out"), tmp_path, Unbroken({}, 1.0), 5, random.Random(0), outcome)
    assert outcome.report()["tried"] == {"not tried: no time left": 1}


def test_the_clock_of_every_python_process_is_whole_hours_late() -> None:
    look = "import time; print(time.clock_gettime(time.CLOCK_REALTIME) - time.time())"
    done = subprocess.run(
        [sys.executable, "-c", look], env=os.environ | jumping(), capture_output=True, text=True
    )
    hours = float(done.stdout) / 3600
    assert -0.01 < hours < 24 and abs(hours - round(hours)) < 0.1


def test_a_suspended_process_stands_still_and_goes_on() -> None:
    def state() -> str:
        return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]

    seen = []

    def look() -> None:
        while state() != "T":
            os.sched_yield()
        seen.append("T")

    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        suspend(process.pid, look)
        process.communicate(b"\n")
    assert seen == ["T"] and process.returncode == 0
    suspend(process.pid, lambda: seen.append("nothing to suspend"))
    assert seen == ["T"]


def test_parts_that_were_not_run_again_keep_their_report(tmp_path: Path) -> None:
    report = tmp_path / "campaign.json"
    made = {"tried": {"a bit": 3}, "failures": [], "seconds": 61, "git": "1234567890ab"}
    assert merged(report, [{"part": "fuzz", **made}])["parts"][0]["part"] == "fuzz"
    artifacts.write_json(report, merged(report, [{"part": "fuzz", **made}]))
    newer = merged(report, [{"part": "damage", **made}, {"part": "fuzz", **made, "seconds": 120}])
    assert [(p["part"], p["seconds"]) for p in newer["parts"]] == [("damage", 61), ("fuzz", 120)]


def test_attempts_of_another_seed_are_counted_with_the_stored_ones(tmp_path: Path) -> None:
    report = tmp_path / "campaign.json"
    made = {"part": "kills", "failures": [], "seconds": 60, "git": "1234567890ab", "seed": 0}
    artifacts.write_json(report, merged(report, [made | {"tried": {"a": 3, "b": 1}}], add=True))
    more = made | {"tried": {"b": 2, "c": 1}, "failures": ["c"], "seed": 1, "git": "fedcba987654"}
    both = merged(report, [more], add=True)
    (part,) = both["parts"]
    assert part["tried"] == {"a": 3, "b": 3, "c": 1} and part["failures"] == ["c"]
    assert part["seed"] == [0, 1] and part["seconds"] == 120
    assert merged(report, [more])["parts"][0]["tried"] == more["tried"], "the control: not added"
    artifacts.write_json(report, both)
    words = ("-m", "tests.campaign", "--only", "kills", "--add", "--seed", "1", "--out", report)
    again = python(*words)
    assert again.returncode == 2 and "kills of --seed 1 is stored" in again.stderr


def test_what_was_tried_before_a_command_failed_undisturbed_is_told() -> None:
    def part(outcome: Outcome) -> None:
        outcome.count("a kill")
        sys.exit("kc sweep fails undisturbed: why")

    told = timed(Outcome("kills"), part)
    assert told["tried"] == {"a kill": 1} and told["failures"] == [
        "kc sweep fails undisturbed: why"
    ]


def test_last_words_name_no_folder_of_the_machine() -> None:
    said = "\u2502 done \u2502 \u2514\u2500\u2518 /tmp/x/it/tables, File '/opt/lib/a.py', kc: 1/2"
    assert kills.plain(said) == "done tables, File 'a.py', kc: 1/2"
