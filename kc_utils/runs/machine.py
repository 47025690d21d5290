"""What this machine offers: processor, cores and memory, as this process may use them.

Needs the standard library only, so that it also works where nothing is installed yet.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

_LIMITS = Path("/sys/fs/cgroup")


def processor() -> str:
    """Name of the processor, or its architecture where the system does not tell."""
    return _line("/proc/cpuinfo", "model name") or platform.machine()


def usable_cores() -> int:
    """Cores that this process may use: its affinity, and the quota of its container.

    PYTHON_CPU_COUNT, which Python 3.13 and later read themselves, stands in for both.
    """
    if (told := os.environ.get("PYTHON_CPU_COUNT", "")).isdigit():
        return max(1, int(told))
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota, _, period = _limit("cpu.max").partition(" ")
    return max(1, min(cores, int(quota) // int(period))) if quota.isdigit() else cores


def notebooks_at_once(cores: int) -> int:
    """How many notebooks a run executes at the same time: a kernel can hold gigabytes."""
    return min(cores, 4)


def threads_per_notebook(cores: int) -> int:
    """Threads of a kernel, so that all cores are used when the notebooks of a run are executed."""
    return max(1, cores // notebooks_at_once(cores))


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
