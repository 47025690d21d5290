"""What a workshop needs of the machine: cores, memory, disk, and a finished run to start from."""

from __future__ import annotations

import shutil
from pathlib import Path

from kc_utils.cli.doctor.check_installation import GIB, ROOT, Finding
from kc_utils.errors import KcError, in_shell
from kc_utils.runs import machine

#: What a run of profile tiny and its book take, rounded up.
MEMORY, DISK = 3 * GIB, 2 * GIB
_FEWER = "kc run --profile smoke --run-dir runs/smoke"


def check_cores(cores: int | None = None, load: float | None = None) -> list[Finding]:
    """Cores that may be used, and whether something else is using them."""
    cores = machine.usable_cores() if cores is None else cores
    load = machine.load() if load is None else load
    found = f"{cores} usable, load {load:.1f}"
    if load > cores:
        return [Finding("cores", "warning", f"{found}: busy")]
    return [Finding("cores", "ok", found)]


def check_memory(free: int | None = None) -> list[Finding]:
    """Free memory against what a run of profile tiny needs."""
    return [_compared("memory", machine.available_bytes() if free is None else free, MEMORY)]


def check_disk(free: int | None = None) -> list[Finding]:
    """Free disk below the project against the size of a run and its book."""
    return [_compared("disk", shutil.disk_usage(ROOT).free if free is None else free, DISK)]


def _compared(name: str, free: int, needed: int) -> Finding:
    found = f"{free / GIB:.1f} GiB free; a run should have {needed / GIB:.1f} GiB"
    if free < needed:
        return Finding(name, "missing", found, _FEWER)
    if free < 1.5 * needed:
        return Finding(name, "warning", found, _FEWER)
    return Finding(name, "ok", found)


def check_run(run_dir: Path) -> list[Finding]:
    """Stages, their files and the executed notebooks of a run folder."""
    from kc_utils.runs.folder import Run, resolve
    from kc_utils.study.pipeline import all_notebooks
    from kc_utils.study.stages import STAGES

    name = f"run {run_dir}"
    if not (resolve(run_dir) / "run.json").is_file():
        make = f"kc run --profile tiny --run-dir {in_shell(run_dir)}"
        return [Finding(name, "missing", "no run there; a finished one can be copied", make)]
    run = Run.open(run_dir)
    again = run.command(run_dir)
    missing = [stage.name for stage in STAGES.study if not STAGES.done(run, stage.name)]
    done = [stage.name for stage in STAGES.study if stage.name not in missing]
    for stage in done:
        try:
            run.verify_stage(stage)
        except KcError as error:
            reason = str(error).partition(";")[0].replace(f"{run.path}/", "")
            return [Finding(name, "missing", reason, f"{again} --from {stage}")]
    if missing:
        found = f"stages missing or out of date: {', '.join(missing)}"
        return [Finding(name, "missing", found, again)]
    who = f"profile {run.config.profile}, seed {run.config.seed}"
    lines = [Finding(name, "ok", f"{who}, all {len(done)} stages, files checked")]
    stored = all_notebooks()
    absent = [n for n in stored if not (run.path / "notebooks" / f"{n}.ipynb").is_file()]
    if absent:
        found = f"{len(absent)} of {len(stored)} not executed, the first is {absent[0]}"
        return [*lines, Finding("executed notebooks", "warning", found, again)]
    return [*lines, Finding("executed notebooks", "ok", f"all {len(stored)}")]
