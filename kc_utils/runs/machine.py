"""What this machine offers: processor, cores and memory, as this process may use them.

Needs the standard library only, so that it also works where nothing is installed yet.

Peak memory of a step of a run: this process and all it started, looked at twice a second.

After five seconds, what was started is searched for every five seconds only.

What is summed is resident memory. Pages that processes share, such as the code of PyTorch, count
in each of them, so the sum is a little more than what the step really needs.
"""

from __future__ import annotations

import os
import platform
import threading
from pathlib import Path

import psutil

_LIMITS = Path("/sys/fs/cgroup")


def processor() -> str:
    """Name of the processor, or its architecture where the system does not tell."""
    return _line("/proc/cpuinfo", "model name") or platform.machine()


def usable_cores() -> int:
    """Cores that this process may use: its affinity, and the quota of its container."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota, _, period = _limit("cpu.max").partition(" ")
    return max(1, min(cores, int(quota) // int(period))) if quota.isdigit() else cores


def notebooks_at_once(cores: int) -> int:
    """How many notebooks a run executes at the same time: a kernel can hold gigabytes."""
    return min(cores, 4)


def memory_bytes() -> int:
    """Memory of the machine, or of the container."""
    here = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _limit("memory.max")
    return min(here, int(limit)) if limit.isdigit() else here


def available_bytes() -> int:
    """Memory that a new process could take now; all of it where the system does not tell."""
    line = _line("/proc/meminfo", "MemAvailable")
    free = int(line.split()[0]) * 1024 if line else memory_bytes()
    limit, used = _limit("memory.max"), _limit("memory.current")
    return min(free, int(limit) - int(used)) if limit.isdigit() and used.isdigit() else free


def load() -> float:
    """Mean number of processes that wanted a core in the last minute."""
    return os.getloadavg()[0]


def _limit(name: str) -> str:
    path = _LIMITS / name
    return path.read_text().strip() if path.is_file() else ""


def _line(file: str, key: str) -> str | None:
    path = Path(file)
    lines = path.read_text().splitlines() if path.is_file() else []
    found = [line.split(":", 1)[1].strip() for line in lines if line.startswith(key)]
    return found[0] if found else None


SECONDS = 0.5
#: Finding processes takes longer than asking those that are known: so many looks find at the start,
#: when a notebook's kernel is coming up, and then every so many.
_SEARCH_EVERY = 10


class PeakMemory:
    """``with PeakMemory() as peak: ...``, and afterwards ``peak.bytes``.

    In a worker of a sweep it is the memory of that worker.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._processes: list[psutil.Process] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._find()
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()
        self._find()
        self._look()

    def _watch(self) -> None:
        looks = 0
        while not self._over.wait(SECONDS):
            looks += 1
            if looks <= _SEARCH_EVERY or looks % _SEARCH_EVERY == 0:
                self._find()
            self._look()

    def _find(self) -> None:
        here = psutil.Process()
        self._processes = [here, *here.children(recursive=True)]

    def _look(self) -> None:
        total = 0
        for process in self._processes:
            try:
                total += process.memory_info().rss
            except psutil.Error:  # it has just ended, or belongs to somebody else
                continue
        self.bytes = max(self.bytes, total)
