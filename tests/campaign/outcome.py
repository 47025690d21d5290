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

    def count(self, kind: str) -> None:
        """One more attempt of this kind."""
        self.tried[kind] = self.tried.get(kind, 0) + 1

    def check(self, condition: bool, failure: str) -> None:
        """Note ``failure`` unless the condition holds."""
        if not condition:
            self.failures.append(failure)


def start(*arguments: str, cwd: Path | None = None) -> subprocess.Popen:
    """``kc`` as a process group of its own, with what it says kept."""
    return subprocess.Popen(
        [*KC, *arguments], cwd=cwd, start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
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


def digests(run: Path) -> dict[str, str]:
    """SHA-256 of every table of a run."""
    tables = sorted((run / "tables").glob("*.parquet"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in tables}


def leftovers(run: Path) -> list[str]:
    """Temporary files, seals and locks that should be gone when a run is complete."""
    inside = [p for p in run.rglob("*") if p.name.endswith((".partial", ".sha256"))]
    beside = list(run.parent.glob(f".{run.name}*"))
    parts = list((run / "parts").rglob("*.parquet")) if (run / "parts").exists() else []
    return sorted(str(path.relative_to(run.parent)) for path in [*inside, *beside, *parts])
