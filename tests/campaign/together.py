"""Two processes on one folder, the second at a random moment."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

from tests.campaign.outcome import Outcome, digests, finish, leftovers, start


def two_at_once(command: list[str], run: Path, reference: dict[str, str], n: int, seconds: float,
                rng: random.Random, outcome: Outcome) -> None:  # fmt: skip
    """Start the same command twice: one finishes, the other is refused or finds all done."""
    for i in range(n):
        if i % 5 == 0:
            shutil.rmtree(run, ignore_errors=True)
        first = start(*command)
        time.sleep(rng.uniform(0.0, seconds))
        second = start(*command)
        codes, said = zip(*(finish(p, 60 * seconds) for p in (first, second)), strict=True)
        outcome.count("two runs")
        outcome.check(0 in codes, f"attempt {i}: exit codes {codes}")
        outcome.check(set(codes) <= {0, 2}, f"attempt {i}: exit codes {codes}")
        for code, words in zip(codes, said, strict=True):
            refused = "is being written by process" in words
            outcome.check(code == 0 or refused, f"attempt {i}: {words.strip()[-200:]}")
        outcome.check(digests(run) == reference, f"attempt {i}: tables differ")
        outcome.check(not leftovers(run), f"attempt {i}: left behind {leftovers(run)[:3]}")
