"""Time that is not what it seems: clocks, dates of files, sleeping processes, dead holders."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from kc_utils.runs.lock import lock_file

from .commands import Command, Unbroken
from .outcome import Outcome, finish, members, start, whole

DAY = 86_400
JUMPING = Path(__file__).with_name("jumping")
#: Seconds that a process sleeps, and how often during one command.
ASLEEP, TIMES = 4.0, 3


def disturb(command: Command, folder: Path, unbroken: Unbroken, n: int, rng: random.Random,
            outcome: Outcome) -> None:  # fmt: skip
    """Disturb the time of ``command`` ``n`` times, in four ways by turns, each in a new folder."""
    ways = (_clock_jumps, _files_of_other_days, _suspended, _dead_holder)
    for i in range(n):
        if outcome.over:
            return
        way = ways[i % len(ways)]
        shutil.rmtree(folder, ignore_errors=True)
        place = f"{command.name}, {way.__name__.strip('_').replace('_', ' ')}"
        outcome.count(place)
        process = way(command, folder, unbroken.seconds, rng)
        code, said = finish(process, 60 + 40 * unbroken.seconds)
        if outcome.check(code == 0, f"{place}: exit code {code}: {said.strip()[-300:]}"):
            whole(place, folder, unbroken.tables, outcome)


def jumping() -> dict[str, str]:
    """Environment in which the wall clock of every Python process goes back by an hour every two
    seconds, and forward by a day when a day is through."""
    paths = [str(JUMPING), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _clock_jumps(
    command: Command, folder: Path, seconds: float, rng: random.Random
) -> subprocess.Popen:
    return start(*command.into(folder), **jumping())


def _files_of_other_days(
    command: Command, folder: Path, seconds: float, rng: random.Random
) -> subprocess.Popen:
    """Half of it is made; what is there is from next year, or from 1970; it goes on."""
    process = start(*command.into(folder))
    time.sleep(seconds / 2)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    for path in sorted(folder.rglob("*")):
        other = rng.choice((0.0, time.time() + 365 * DAY))
        os.utime(path, (other, other))
    return start(*command.into(folder))


def _suspended(
    command: Command, folder: Path, seconds: float, rng: random.Random
) -> subprocess.Popen:
    """One process at a time stands still for a while."""
    process = start(*command.into(folder))
    for _ in range(TIMES):
        time.sleep(rng.uniform(0.2, 1.0) * seconds / TIMES)
        if living := members(process.pid):
            suspend(rng.choice(living), lambda: time.sleep(ASLEEP))
    return process


def suspend(pid: int, meanwhile: Callable[[], None]) -> None:
    """Stop a process, and let it go on afterwards; nothing if it has ended."""
    try:
        os.kill(pid, signal.SIGSTOP)
        meanwhile()
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        return


def _dead_holder(
    command: Command, folder: Path, seconds: float, rng: random.Random
) -> subprocess.Popen:
    """Locks that somebody held who was killed, with a process number that another one has now."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    # A sweep locks its runs, and the folder around them by none of its own.
    runs = [folder / "smoke" / f"seed-{seed}" for seed in range(2)]
    held = runs if command.name == "sweep" else [folder]
    hold = "import sys, os; from pathlib import Path; from kc_utils.runs.lock import locked\n"
    hold += "with locked(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    for one in held:
        subprocess.run([sys.executable, "-c", hold, str(one)])
        lock = lock_file(one)
        assert lock.exists(), lock
        lock.write_text(lock.read_text().replace("process ", f"process {os.getpid()}, not "))
        os.utime(lock, (time.time() + DAY, time.time() + DAY))
    return start(*command.into(folder))
