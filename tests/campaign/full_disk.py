"""A disk that is full after a random number of bytes: a small file system of its own."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

from .commands import Command, Unbroken
from .outcome import Outcome, finish, leftovers, start, whole


def fill_disks(command: Command, mount: Path, unbroken: Unbroken, n: int, most: int,
               rng: random.Random, outcome: Outcome) -> None:  # fmt: skip
    """Run ``command`` in ``mount / "run"``, on a file system that is too small.

    It ends with one sentence and exit code 2, and goes on where it was when there is room. Needs
    the right to mount; where that lacks, nothing is tried and the outcome says so.

    Args:
        most: bytes of a whole run; sizes are drawn below it.
    """
    arguments, seconds = command.into(mount / "run"), 60 + 40 * unbroken.seconds
    for i in range(n):
        if outcome.over:
            return
        size = rng.randrange(200_000, most)
        if not _mount(mount, size):
            outcome.count("not tried: no right to mount a file system")
            return
        try:
            code, said = finish(start(*arguments), seconds)
            outcome.count("full disk")
            full = "No space left on device" in said
            outcome.check(code in (0, 2), f"{size} bytes: exit code {code}: {said[-200:]}")
            outcome.check(code == 0 or full, f"{size} bytes: {said.strip()[-200:]}")
            outcome.check("Traceback" not in said, f"{size} bytes: {said.strip()[-200:]}")
            partial = [p for p in leftovers(mount / "run") if p.endswith(".partial")]
            outcome.check(not partial, f"{size} bytes: left behind {partial[:3]}")
            if i % 5 == 0:
                _mount(mount, 4 * most, again=True)
                code, said = finish(start(*arguments), seconds)
                outcome.check(code == 0, f"more room: exit code {code}: {said.strip()[-200:]}")
                whole("more room", mount / "run", unbroken.tables, outcome)
        finally:
            subprocess.run(["umount", str(mount)], check=True)


def _mount(mount: Path, size: int, again: bool = False) -> bool:
    mount.mkdir(parents=True, exist_ok=True)
    options = f"{'remount,' if again else ''}size={size}"
    mounting = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(mount)]
    return subprocess.run(mounting, capture_output=True).returncode == 0
