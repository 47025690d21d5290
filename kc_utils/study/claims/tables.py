"""Where a measure reads: the tables of one training run, and of its paired null run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache

import pandas as pd

from kc_utils.analysis.stats.resample import NotMeasured
from kc_utils.errors import KcError
from kc_utils.runs.dataset import SHUFFLED, SweepTables
from kc_utils.runs.folder import Run


@dataclass(frozen=True)
class RunTables:
    """Tables of one training run by name; ``null`` is the run of the same seed in which there was
    nothing to learn, where there is one."""

    profile: str
    seed: int
    read: Callable[[str], pd.DataFrame | None] = field(repr=False)
    null: RunTables | None = None

    def table(self, name: str) -> pd.DataFrame:
        """A table; NotMeasured if the run has none of this name, or no row."""
        found = self.read(name)
        if found is None or found.empty:
            raise NotMeasured(f"the table '{name}' has no row of this training run")
        return found

    def paired_null(self) -> RunTables:
        """The paired null run; NotMeasured if there is none."""
        if self.null is None:
            raise NotMeasured("there is no run of this seed with nothing to learn")
        return self.null


def of_run(run: Run) -> RunTables:
    """The tables of a run folder."""

    def read(name: str) -> pd.DataFrame | None:
        try:
            return run.table(name)
        except KcError:  # a stage that was not computed
            return None

    return RunTables(run.config.profile, run.config.seed, read)


def of_sweep(sweep: SweepTables, judged: bool = True) -> Iterator[RunTables]:
    """The training runs of a sweep, null runs beside their twins and not among them.

    ``judged`` keeps those that were planned: the first n seeds of a profile, where the record of
    the sweep says how many were (``planned``).
    """

    @cache
    def parts(name: str) -> dict[tuple[str, int], pd.DataFrame]:
        if not sweep.has(name):
            return {}
        groups = sweep.table(name).groupby(["profile", "seed"], sort=False)
        return {key: part.reset_index(drop=True) for key, part in groups}

    def tables(profile: str, seed: int, null: RunTables | None = None) -> RunTables:
        return RunTables(profile, seed, lambda name: parts(name).get((profile, seed)), null)

    runs = [(str(r["profile"]), int(r["seed"])) for r in sweep.record["runs"]]
    planned = sweep.record.get("planned", {})
    for profile in dict.fromkeys(profile for profile, _ in runs):
        if profile.endswith(SHUFFLED):
            continue
        seeds = sorted(seed for name, seed in runs if name == profile)
        for seed in seeds[: planned.get(profile)] if judged else seeds:
            twin = profile + SHUFFLED
            yield tables(profile, seed, tables(twin, seed) if (twin, seed) in runs else None)
