"""How long things will take here: recorded seconds times how much slower this machine is.

A stage is slowed down by what most of its time goes into: training with all threads, training one
job per core, attribution one job per core, or small work on one core.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from kc_utils.cli.doctor.record import Costs, Speed
from kc_utils.runs.machine import notebooks_at_once

Kind = Literal["training", "training jobs", "jobs", "alone"]
KINDS: dict[str, Kind] = {
    "world": "alone", "prompts": "alone", "base": "training", "training": "training",
    "attribution": "jobs", "methods": "jobs", "circuit": "jobs", "performance": "alone",
    "unseen": "jobs", "topology": "alone", "controls": "jobs", "components": "jobs",
    "forgetting": "training jobs", "claims": "alone", "relevance": "training jobs",
    "exposure": "training jobs", "strategies": "training jobs", "evidence": "alone",
}  # fmt: skip
EXPERIMENTS = ("relevance", "exposure", "strategies", "evidence")
STUDY = tuple(name for name in KINDS if name not in EXPERIMENTS)
#: No more jobs than checkpoints of profile tiny, so more cores do not help.
MOST_CORES = 16


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
