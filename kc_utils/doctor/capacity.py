"""Whether cores, memory and disk suffice, held against what the reference run needed."""

from __future__ import annotations

import shutil
from pathlib import Path

from kc_utils import machine
from kc_utils.doctor.costs import Costs
from kc_utils.doctor.finding import GIB, ROOT, Finding

#: Without a record of a run: what is asked for.
MEMORY, DISK = 3 * GIB, 2 * GIB
_FEWER = "kc run --profile smoke --run-dir runs/smoke"


def check_cores(cores: int | None = None, load: float | None = None) -> list[Finding]:
    """Cores that may be used, and whether something else is using them."""
    cores = machine.usable_cores() if cores is None else cores
    load = machine.load() if load is None else load
    found = f"{cores} usable, load {load:.1f}"
    if load > cores:
        return [Finding("cores", "warning", f"{found}: busy, so times below are too long")]
    return [Finding("cores", "ok", found)]


def check_memory(costs: Costs | None, free: int | None = None) -> list[Finding]:
    """Free memory against the peak of the reference run, else against a rule of thumb."""
    free = machine.available_bytes() if free is None else free
    recorded = costs.peak_bytes() if costs else None
    return [_compared("memory", free, recorded or MEMORY, costs if recorded else None)]


def check_disk(costs: Costs | None, folder: Path = ROOT, free: int | None = None) -> list[Finding]:
    """Free disk below the project against the size of the reference run and its book."""
    free = shutil.disk_usage(folder).free if free is None else free
    recorded = costs.run_bytes if costs else None
    return [_compared("disk", free, recorded or DISK, costs if recorded else None)]


def _compared(name: str, free: int, needed: int, costs: Costs | None) -> Finding:
    source = f"a run of profile {costs.profile} took" if costs else "a run should have"
    found = f"{free / GIB:.1f} GiB free; {source} {needed / GIB:.1f} GiB"
    if free < needed:
        return Finding(name, "missing", found, _FEWER)
    if free < 1.5 * needed:
        return Finding(name, "warning", found, _FEWER)
    return Finding(name, "ok", found)
