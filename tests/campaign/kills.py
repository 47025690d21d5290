"""Kills at random moments: a command, or one of its processes alone, by three signals in turn."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import time
from pathlib import Path

from .commands import Command, Unbroken
from .outcome import Outcome, finish, gone, members, start, whole

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
SECONDS_TO_END = 120


def kill(command: Command, folder: Path, unbroken: Unbroken, n: int, rng: random.Random,
         outcome: Outcome) -> None:  # fmt: skip
    """Kill ``command`` ``n`` times, each time started again on the same folder, then let it finish.

    What was done before it could be killed is compared, removed and does not count.

    Args:
        command: fills ``folder``.
        folder: need not exist.
        unbroken: what it makes undisturbed; moments are drawn from its seconds.
        n: how often it is killed.
        rng: draws moments and processes.
        outcome: gets what was tried.
    """
    if outcome.over:
        return
    killed = 0
    while killed < n and not outcome.over:
        process = start(*command.into(folder))
        time.sleep(rng.uniform(0.5, unbroken.seconds))
        how = SIGNALS[killed % len(SIGNALS)]
        if process.poll() is not None:
            code, said = finish(process, SECONDS_TO_END)
            if not outcome.check(code == 0, f"{command.name}: exit code {code}: {_tail(said)}"):
                return
            whole(command.name, folder, unbroken.tables, outcome)
            shutil.rmtree(folder)
            continue
        target = _target(process.pid, killed % 2 == 1, rng)
        if not _sent(target, how):  # a worker that has just ended
            target = process.pid
            process.send_signal(how)
        _ended(command, process, target, how, unbroken, outcome)
        killed += 1
    code, said = finish(start(*command.into(folder)), 60 + 40 * unbroken.seconds)
    outcome.check(code == 0, f"{command.name} after kills: exit code {code}: {_tail(said)}")
    whole(f"{command.name} after kills", folder, unbroken.tables, outcome)


def _ended(command: Command, process, target: int, how: signal.Signals, unbroken: Unbroken,
           outcome: Outcome) -> None:  # fmt: skip
    alone = target != process.pid
    kind = f"{how.name} to {'a process of' if alone else ''} kc {command.name}".replace("  ", " ")
    outcome.count(kind)
    patience = SECONDS_TO_END + (40 * unbroken.seconds if alone and command.goes_on else 0)
    code, said = finish(process, patience)
    outcome.check(code is not None, f"{kind}: still running after {patience:.0f} s")
    outcome.check("Traceback" not in said, f"{kind}: {_raised(said)}")
    if alone and command.goes_on:
        outcome.check(code == 0, f"{kind}: exit code {code}: {_tail(said)}")
    if not alone and how is signal.SIGINT:
        outcome.check(code in (0, 130), f"{kind}: exit code {code}: {_tail(said)}")
    outcome.check(gone(process.pid), f"{kind}: processes left")


def _target(pid: int, alone: bool, rng: random.Random) -> int:
    others = [p for p in members(pid) if p != pid]
    return rng.choice(others) if alone and others else pid


def _sent(target: int, how: signal.Signals) -> bool:
    try:
        os.kill(target, how)
    except ProcessLookupError:  # it has just ended
        return False
    return True


def _raised(said: str) -> str:
    """The end of the last traceback: where, and the error."""
    lines = said.rpartition("Traceback (most recent call last):")[2].strip("\n").splitlines()
    ends = next((i for i, line in enumerate(lines) if line[:1].strip()), len(lines) - 1)
    return plain(" / ".join(lines[max(0, ends - 2) : ends + 1])[-300:])


def _tail(said: str) -> str:
    return plain(" / ".join(said.strip().splitlines()[-3:])[-300:])


def plain(said: str) -> str:
    """Words of a command without frames of tables and without folders of the machine."""
    said = re.sub(r"[\u2500-\u257f]+", " ", said)
    return " ".join(re.sub(r"/(?:[^\s/:'\"]+/)+", "", said).split())
