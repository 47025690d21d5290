"""Two processes on one folder, the second at a random moment."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

from .commands import Command, Unbroken
from .outcome import Outcome, finish, start, whole


def two_at_once(command: Command, folder: Path, unbroken: Unbroken, n: int, rng: random.Random,
                outcome: Outcome) -> None:  # fmt: skip
    """Start the same command twice: one finishes, the other is refused or finds all done."""
    for i in range(n):
        if outcome.over:
            return
        if i % 5 == 0:
            shutil.rmtree(folder, ignore_errors=True)
        first = start(*command.into(folder))
        time.sleep(rng.uniform(0.0, unbroken.seconds / 2))
        second = start(*command.into(folder))
        ended = [finish(process, 60 + 60 * unbroken.seconds) for process in (first, second)]
        codes, said = zip(*ended, strict=True)
        outcome.count("two runs")
        outcome.check(0 in codes, f"attempt {i}: exit codes {codes}")
        outcome.check(set(codes) <= {0, 2}, f"attempt {i}: exit codes {codes}")
        for code, words in zip(codes, said, strict=True):
            refused = "is being written by process" in words
            outcome.check(code == 0 or refused, f"attempt {i}: {words.strip()[-200:]}")
        whole(f"attempt {i}", folder, unbroken.tables, outcome)
