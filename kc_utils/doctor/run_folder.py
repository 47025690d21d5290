"""Whether a finished run is there, so that no participant waits for one."""

from __future__ import annotations

from pathlib import Path

from kc_utils.doctor.finding import Finding
from kc_utils.errors import KcError


def check_run(run_dir: Path) -> list[Finding]:
    """Stages, their files and the executed notebooks of a run folder."""
    from kc_utils.pipeline import all_notebooks
    from kc_utils.runs import Run, resolve
    from kc_utils.stages import STAGES

    name = f"run {run_dir}"
    if not (resolve(run_dir) / "run.json").is_file():
        make = f"kc run --profile tiny --run-dir {run_dir}"
        return [Finding(name, "missing", "no run there; a finished one can be copied", make)]
    run = Run.open(run_dir)
    again = _command(run, run_dir)
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


def _command(run, run_dir: Path) -> str:
    """``kc run`` with what differs from the profile, so that what is done stays."""
    from kc_utils.sweep.export import overrides

    changed = [f"seed={run.config.seed}"] if run.config.seed else []
    sets = "".join(f' --set "{item}"' for item in [*changed, *overrides(run.config)])
    return f"kc run --profile {run.config.profile} --run-dir {run_dir}{sets}"
