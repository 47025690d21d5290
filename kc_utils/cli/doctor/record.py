"""What the reference run took on its machine, and how fast that machine was then.

``kc doctor --keep RUN_DIR`` writes the record from ``run.json`` of a run that was computed on this
machine, and measures the machine's speed. Nothing in it is typed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kc_utils import ROOT
from kc_utils.errors import KcError
from kc_utils.runs.machine import notebooks_at_once

if TYPE_CHECKING:
    from kc_utils.runs.folder import Run

KEPT = ROOT / "book" / "reference" / "costs.json"
SWEEP = ROOT / "book" / "reference" / "sweep" / "sweep.json"


@dataclass(frozen=True)
class Speed:
    """Seconds of three small jobs on the CPU of a machine, least of several rounds.

    A few training steps in the shape of profile tiny with the threads that PyTorch takes by itself,
    the same on one thread, and EAP-IG on one thread; and the cores that a run may use.
    """

    training: float
    training_one_thread: float
    attribution_one_thread: float
    cores: int


@dataclass(frozen=True)
class Costs:
    """Recorded seconds and bytes of one run, per stage and notebook, and the speed then.

    ``stages`` and ``notebooks`` map a name to ``{"seconds": s, "peak_bytes": b}``; ``other`` holds
    seconds of other steps (``book``). ``run_bytes`` is the size of the run folder. ``growth`` says
    how many times longer work takes with twice the value of a parameter.
    """

    profile: str
    git: str | None
    machine: str
    speed: Speed
    stages: Mapping[str, Mapping[str, float]]
    notebooks: Mapping[str, Mapping[str, float]]
    other: Mapping[str, float]
    run_bytes: int
    growth: Mapping[str, float]

    def peak_bytes(self) -> int | None:
        """Most memory that any stage, or the notebooks executed at once, held; None: no record."""
        stages, books = (
            [int(s["peak_bytes"]) for s in steps.values() if "peak_bytes" in s]
            for steps in (self.stages, self.notebooks)
        )
        together = sum(sorted(books)[-notebooks_at_once(self.speed.cores) :])
        return max([*stages, together]) if stages or books else None


def read(path: Path = KEPT) -> Costs | None:
    """The stored record, or None when there is none.

    Raises:
        KcError: the file is damaged.
    """
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Costs(**values | {"speed": Speed(**values["speed"])})
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise KcError(
            f"{path.name} is damaged: {error}; 'kc doctor --keep RUN_DIR' writes it."
        ) from None


def sweep_seconds(profile: str, machine: str, path: Path = SWEEP) -> dict[str, float] | None:
    """Mean seconds per stage over the stored seeds of a profile that this machine computed, or
    None when it computed none of them."""
    if not path.is_file():
        return None
    runs = json.loads(path.read_text(encoding="utf-8"))["runs"]
    own = [r for r in runs if r["profile"] == profile and r["machine"] == machine]
    names = {name for run in own for name in run["seconds"]}
    found = {n: [r["seconds"][n] for r in own if n in r["seconds"]] for n in sorted(names)}
    return {name: sum(values) / len(values) for name, values in found.items()} or None


def finished(run_dir: Path) -> Run:
    """The run of a folder whose costs may be kept.

    Raises:
        KcError: the folder holds no run, or a stage of the study that a sweep computes is missing.
    """
    from kc_utils.runs.folder import Run
    from kc_utils.study.stages import STAGES
    from kc_utils.sweep.plan import LEFT_OUT

    run = Run.open(run_dir)
    wanted = [stage.name for stage in STAGES.study if stage.name not in LEFT_OUT]
    if missing := [name for name in wanted if not STAGES.done(run, name)]:
        raise KcError(
            f"Run {run.name!r} is not complete: stage {missing[0]!r} is missing or out of date; "
            f"'kc run --profile {run.config.profile} --run-dir {run_dir}' computes it."
        )
    return run


def keep(run_dir: Path, speed: Speed, growth: Mapping[str, float], path: Path = KEPT) -> Costs:
    """Store what a finished run took, and what was measured now; returns the record.

    Raises:
        KcError: see :func:`finished`.
    """
    from kc_utils import artifacts
    from kc_utils.study.stages import STAGES

    run = finished(run_dir)
    record, made = run.record, run.record["provenance"]
    done = [stage.name for stage in STAGES if STAGES.done(run, stage.name)]
    costs = Costs(
        profile=run.config.profile,
        git=made["git"],
        machine=made["machine"],
        speed=speed,
        stages={name: _cost(record["stages"][name]) for name in done},
        notebooks={name: _cost(step) for name, step in sorted(record["notebooks"].items())},
        other=record["other_seconds"],
        run_bytes=sum(file.stat().st_size for file in artifacts.files_below(run.path)),
        growth=growth,
    )
    artifacts.write_json(path, asdict(costs))
    return costs


def _cost(step: Mapping[str, Any]) -> dict[str, float]:
    return {key: step[key] for key in ("seconds", "peak_bytes") if key in step}
