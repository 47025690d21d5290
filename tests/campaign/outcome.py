"""What a part of the campaign tried, and what did not survive."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

KC = (str(Path(sys.executable).with_name("kc")),)
SECONDS_TO_STOP = 30  # after SIGTERM or SIGINT; the aim is five on an idle machine


@dataclass
class Outcome:
    """Counts of one part: what was tried, by kind, and a sentence for every failure."""

    part: str
    tried: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    until: float = float("inf")

    @property
    def over(self) -> bool:
        """Whether no time is left, which is counted then: the report says how much was not done."""
        if time.monotonic() < self.until:
            return False
        self.tried["not tried: no time left"] = 1
        return True

    def count(self, kind: str) -> None:
        """One more attempt of this kind."""
        self.tried[kind] = self.tried.get(kind, 0) + 1

    def check(self, condition: bool, failure: str) -> bool:
        """Note ``failure`` unless the condition holds; returns whether it does."""
        if not condition:
            self.failures.append(failure)
        return condition

    def report(self) -> dict:
        """What is stored."""
        return {"part": self.part, "tried": self.tried, "failures": self.failures}


def start(*arguments: str, **environment: str) -> subprocess.Popen:
    """``kc`` as a process group of its own, with what it says kept."""
    return subprocess.Popen(
        [*KC, *arguments], start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"} | environment,
        # Shells start background jobs with Ctrl-C ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip


def finish(process: subprocess.Popen, seconds: float) -> tuple[int | None, str]:
    """Exit code and output; None where it did not end in time (it is killed then)."""
    try:
        output, _ = process.communicate(timeout=seconds)
        return process.returncode, output
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return None, output


def members(group: int) -> list[int]:
    """Living processes of a process group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def gone(group: int, seconds: float = SECONDS_TO_STOP) -> bool:
    """Whether all processes of a group end within this time."""
    end = time.monotonic() + seconds
    while members(group):
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every table of a run, a sweep or a study of facts."""
    tables = sorted(folder.rglob("tables/*.parquet"))
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in tables
    }


def leftovers(folder: Path) -> list[str]:
    """Temporary files, seals and locks that should be gone when a command is complete."""
    ends = (".partial", ".sha256", ".lock")
    inside = [p for p in folder.rglob("*") if p.name.endswith(ends)]
    beside = list(folder.parent.glob(f".{folder.name}*"))
    parts = list(folder.rglob("parts/**/*.parquet"))
    return sorted(str(path.relative_to(folder.parent)) for path in [*inside, *beside, *parts])


def whole(place: str, folder: Path, tables: dict[str, str], outcome: Outcome) -> None:
    """Note whether a finished folder holds these tables, to the byte, and nothing temporary."""
    found = digests(folder)
    differ = sorted(name for name in tables | found if found.get(name) != tables.get(name))
    outcome.check(not differ, f"{place}: {len(differ)} tables differ, e.g. {differ[:3]}")
    outcome.check(not (left := leftovers(folder)), f"{place}: left behind {left[:3]}")
