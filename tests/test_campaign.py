"""The campaign's own parts: what it counts was done, and what it looks for would be seen."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from campaign import kills
from campaign import outcome as outcomes
from campaign.__main__ import merged
from campaign.clocks import jumping, suspend
from campaign.commands import Command, Unbroken
from campaign.kills import kill
from campaign.outcome import Outcome, digests, whole

from kc_utils import artifacts
from kc_utils.book import campaign_table

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
    artifacts.write_json(report, newer)
    page = campaign_table.pages(tmp_path)["campaign.md"]
    assert page.count("| 3 | 0 |") == 2 and "| 2 | 1234567 |" in page
    assert "No report" in campaign_table.pages(tmp_path / "none")["campaign.md"]
