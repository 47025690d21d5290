"""What the reference run took on its machine, and how long the same will take on this one.

``kc doctor --keep RUN_DIR`` writes the record from ``run.json`` of a run that was computed on this
machine, and measures the machine's speed. Nothing in it is typed. The record of :data:`REFERRED` is
what the doctor's estimates rest on; that of another profile says what such a run took. An estimate
is a recorded time, times how much slower this machine is at what most of that time goes into:
training with all threads, training one job per core, attribution one job per core, or small work
on one core.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kc_utils import REFERENCE, ROOT, STORED_SWEEP
from kc_utils.errors import KcError
from kc_utils.runs.machine import notebooks_at_once

if TYPE_CHECKING:
    from kc_utils.runs.folder import Run

KEPT = ROOT / REFERENCE / "costs.json"
#: The profile of the book and of workshops.
REFERRED = "tiny"
SWEEP = ROOT / STORED_SWEEP / "sweep.json"
Kind = Literal["training", "training jobs", "jobs", "alone"]
KINDS: dict[str, Kind] = {
    "world": "alone", "prompts": "alone", "base": "training", "knowledge": "alone",
    "training": "training", "attribution": "jobs", "size": "alone", "methods": "jobs",
    "ways": "jobs", "circuit": "jobs", "performance": "alone", "unseen": "jobs",
    "topology": "alone", "regime": "alone", "controls": "jobs", "components": "jobs",
    "forgetting": "training jobs", "claims": "alone", "relevance": "training jobs",
    "exposure": "training jobs", "strategies": "training jobs",
}  # fmt: skip
EXPERIMENTS = ("relevance", "exposure", "strategies")
STUDY = tuple(name for name in KINDS if name not in EXPERIMENTS)
#: No more jobs than checkpoints of profile tiny, so more cores do not help.
MOST_CORES = 16


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


def path_of(profile: str, reference: Path = KEPT.parent) -> Path:
    """Where the record of a run of ``profile`` is stored."""
    return reference / (KEPT.name if profile == REFERRED else f"costs-{profile}.json")


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
            f"'{run.command(run_dir)}' computes it."
        )
    return run


def keep(
    run_dir: Path, speed: Speed, growth: Mapping[str, float], path: Path | None = None
) -> Costs:
    """Store what a finished run took, and what was measured now; returns the record.

    ``path`` is that of :func:`path_of` unless it is given.

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
    artifacts.write_json(path or path_of(costs.profile), asdict(costs))
    return costs


def _cost(step: Mapping[str, Any]) -> dict[str, float]:
    return {key: step[key] for key in ("seconds", "peak_bytes") if key in step}


@dataclass(frozen=True)
class Estimate:
    """Seconds of one thing there and here; ``lacks`` names parts that the record does not have."""

    what: str
    there: float
    here: float
    lacks: tuple[str, ...] = ()


def slowdown(kind: Kind, here: Speed, there: Speed) -> float:
    """How often longer work of this kind takes here than there."""
    cores = min(there.cores, MOST_CORES) / min(here.cores, MOST_CORES)
    if kind == "training":
        return here.training / there.training
    if kind == "training jobs":
        return here.training_one_thread / there.training_one_thread * cores
    alone = here.attribution_one_thread / there.attribution_one_thread
    return alone * cores if kind == "jobs" else alone


def estimates(
    costs: Costs, here: Speed, notebooks: list[str], seed: Mapping[str, float] | None
) -> list[Estimate]:
    """Estimates for ``make book``, a seed of the sweep, the exercises, and each notebook.

    Args:
        costs: record of the reference run.
        here: speed of this machine.
        notebooks: names of the notebooks that ``make book`` executes.
        seed: mean seconds per stage of a stored seed, computed on the reference machine.
    """
    there = costs.speed
    alone = slowdown("alone", here, there)
    seconds = {name: stage["seconds"] for name, stage in costs.stages.items()}
    study = {name: s for name, s in seconds.items() if name not in EXPERIMENTS}
    pages = {name: book["seconds"] for name, book in costs.notebooks.items()}
    building = costs.other.get("book")
    lacks = [*(f"stage {name}" for name in STUDY if name not in study)]
    if absent := [name for name in notebooks if name not in pages]:
        lacks.append(f"{len(absent)} of {len(notebooks)} notebooks")
    if building is None:
        lacks.append("building the pages")
    stages_here = sum(s * slowdown(KINDS[name], here, there) for name, s in study.items())
    executed, built = sum(pages.values()), building or 0
    found = [
        Estimate(
            f"make book, profile {costs.profile}",
            sum(study.values()) + executed / notebooks_at_once(there.cores) + built,
            stages_here + (executed / notebooks_at_once(here.cores) + built) * alone,
            tuple(lacks),
        )
    ]
    if seed:
        found.append(
            Estimate("one seed of the sweep, with as many at a time as there are cores",
                     sum(seed.values()),
                     sum(s * _one_thread(name, here, there) for name, s in seed.items()))
        )  # fmt: skip
    exercises = [s for name, s in pages.items() if name.startswith("exercises/")]
    if exercises:
        total = sum(exercises)
        found.append(Estimate("all exercises, executed once", total, total * alone))
    return found + [Estimate(f"notebook {name}", s, s * alone) for name, s in pages.items()]


def _one_thread(stage: str, here: Speed, there: Speed) -> float:
    if "training" in KINDS[stage]:
        return here.training_one_thread / there.training_one_thread
    return here.attribution_one_thread / there.attribution_one_thread
