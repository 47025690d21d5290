"""Kills at random moments: the run, or one of its processes alone, by three signals in turn."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from tests.campaign.outcome import Outcome, digests, finish, gone, leftovers, members, start

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def kill_runs(command: Sequence[str], run: Path, reference: dict[str, str], n: int, seconds: float,
              rng: random.Random, outcome: Outcome) -> None:  # fmt: skip
    """Kill ``command`` ``n`` times, each time started again on the same folder, then let it finish.

    Args:
        command: arguments of ``kc`` that compute ``run``.
        run: its folder.
        reference: digests of the tables of an unbroken run.
        n: how often it is killed.
        seconds: an unbroken run takes so long; moments are drawn from it.
        rng: draws moments and processes.
        outcome: gets what was tried.
    """
    for i in range(n):
        how, alone = SIGNALS[i % len(SIGNALS)], i % 2 == 1
        process = start(*command)
        time.sleep(rng.uniform(0.5, seconds))
        if process.poll() is not None:  # it was done before
            outcome.check(process.returncode == 0, f"{how.name}: ended with {process.returncode}")
            process.communicate()
            continue
        target = _target(process.pid, alone, rng)
        outcome.count(f"{how.name} to {'a worker' if target != process.pid else 'kc'}")
        os.kill(target, how)
        code, said = finish(process, 120)
        place = f"{how.name} to {(target - process.pid and 'a worker') or 'kc'}, kill {i}"
        outcome.check(code is not None, f"{place}: still running after two minutes")
        outcome.check("Traceback" not in said, f"{place}: {_tail(said)}")
        if target == process.pid and how is signal.SIGINT:
            outcome.check(code in (0, 130), f"{place}: exit code {code}")
        outcome.check(gone(process.pid), f"{place}: processes left")
    code, said = finish(start(*command), 40 * seconds)
    outcome.check(code == 0, f"{run.name} after kills: exit code {code}: {_tail(said)}")
    outcome.check(digests(run) == reference, f"{run.name}: tables differ from an unbroken run's")
    outcome.check(not leftovers(run), f"{run.name}: left behind {leftovers(run)[:3]}")


def _target(pid: int, alone: bool, rng: random.Random) -> int:
    others = [p for p in members(pid) if p != pid]
    return rng.choice(others) if alone and others else pid


def _tail(said: str) -> str:
    return " / ".join(said.strip().splitlines()[-3:])[-300:]
