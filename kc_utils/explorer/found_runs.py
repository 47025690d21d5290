"""Which runs can be explored: folders with circuits, found below a folder of runs."""

from __future__ import annotations

from pathlib import Path

from kc_utils.errors import KcError
from kc_utils.runs import ROOT, Run

NEEDED = "attribution"  # the stage without which there is no circuit to look at
_DEPTHS = ("*/run.json", "*/*/run.json", "*/*/*/run.json")  # runs/tiny, runs/sweep/tiny/seed-0


def finished_runs(root: Path = ROOT / "runs") -> list[Run]:
    """Runs below ``root`` (down to three folders) that hold circuits, by their path.

    A folder that cannot be read as a run is left out.
    """
    found = []
    for path in sorted(p for depth in _DEPTHS for p in root.glob(depth)):
        try:
            run = Run.open(path.parent)
        except KcError:
            continue
        if NEEDED in run.record["stages"]:
            found.append(run)
    return found


def label(run: Run) -> str:
    """How a run is called in a list: its path below the project if it lies there, its profile."""
    inside = run.path.is_relative_to(ROOT)
    shown = run.path.relative_to(ROOT).as_posix() if inside else run.name
    return f"{shown} (profile {run.config.profile}, seed {run.config.seed})"


def open_finished(run_dir: str | Path) -> Run:
    """Open a run that holds circuits; KcError when there is no run or it holds none yet."""
    run = Run.open(run_dir)
    if NEEDED not in run.record["stages"]:
        raise KcError(
            f"Run {run.name!r} holds no circuits yet; 'kc run --profile {run.config.profile} "
            f"--run-dir {run_dir} --to {NEEDED}' finds them."
        )
    return run
