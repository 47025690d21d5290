"""What a stage is: a key, what it needs, and a function that writes artefacts once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from kc_utils import artifacts
from kc_utils.config import Config
from kc_utils.errors import KcError, shown
from kc_utils.runs.folder import Run, key_of
from kc_utils.runs.lock import locked
from kc_utils.runs.peak_memory import PeakMemory

logger = logging.getLogger(__name__)


class Workspace:
    """What a stage's function works with: the run, and pieces that survive a kill.

    ``piece`` computes a table unless an earlier, interrupted start of the same stage (same key)
    already stored it. ``folder`` hands out a folder that is emptied when its key changed.
    """

    def __init__(self, run: Run, stage: str, key: str) -> None:
        self.run = run
        self.config = run.config
        self.stage = stage
        self.key = key
        self._wrote: list[Path] = []

    @property
    def parts(self) -> Path:
        """Where finished pieces of this stage lie until the whole of it is done."""
        return self.run.path / "parts" / self.stage / self.key

    def piece(self, name: str, compute: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """The table ``compute()`` returns, from ``parts/`` when it is already there."""
        return artifacts.piece(self.parts / f"{name}.parquet", compute)

    def table(self, name: str, frame: pd.DataFrame) -> None:
        """Write a tidy table of the run."""
        self.run.write_table(name, frame)
        self._wrote.append(self.run.table_path(name))

    def data(self, name: str, frame: pd.DataFrame) -> None:
        """Write a table of the input data (people, texts, pairs)."""
        path = self.run.path / "data" / f"{name}.parquet"
        artifacts.write_parquet(path, frame)
        self._wrote.append(path)

    def folder(self, name: str) -> Path:
        """A folder of this stage; what another key left there is removed."""
        path = self.run.path / name
        marker = path / "key.json"
        if not marker.is_file() or artifacts.read_json(marker) != self.key:
            artifacts.remove(path)
            artifacts.write_json(marker, self.key)
        self._wrote.append(path)
        return path

    def finish(self, seconds: float, peak_bytes: int | None = None) -> None:
        """Record the stage and drop its pieces."""
        for path in self._wrote:
            artifacts.unseal(path)
        self.run.record_stage(self.stage, self.key, seconds, self._wrote, peak_bytes)
        artifacts.remove(self.run.path / "parts" / self.stage)


@dataclass(frozen=True)
class Stage:
    """One step of the study.

    ``settings`` picks the parts of the configuration that the result depends on; ``version`` is
    raised when the code changes what the stage computes. ``kc run`` computes the study; the
    experiments train models of their own and are computed by ``kc sweep``.
    """

    name: str
    notebook: str
    needs: tuple[str, ...]
    settings: Callable[[Config], Any]
    compute: Callable[[Workspace], None]
    version: int = 1
    group: Literal["study", "experiment"] = "study"


class Stages:
    """The stages in their order, and the rules for when one has to be computed."""

    def __init__(self, stages: tuple[Stage, ...]) -> None:
        self.by_name = {stage.name: stage for stage in stages}

    def __iter__(self):
        return iter(self.by_name.values())

    @property
    def study(self) -> tuple[Stage, ...]:
        """The stages of the study itself, without the experiments."""
        return tuple(stage for stage in self if stage.group == "study")

    def get(self, name: str) -> Stage:
        """Look a stage up by its name."""
        if name not in self.by_name:
            raise KcError(f"Unknown stage {shown(name)}; allowed are {', '.join(self.by_name)}.")
        return self.by_name[name]

    def key(self, settings: Config, name: str) -> str:
        """The key that a finished stage must carry under this configuration."""
        return self._key(settings, name, {})

    def keys(self, settings: Config) -> dict[str, str]:
        """The key of every stage under this configuration."""
        known: dict[str, str] = {}
        return {name: self._key(settings, name, known) for name in self.by_name}

    def _key(self, settings: Config, name: str, known: dict[str, str]) -> str:
        """Keys that have been found are in ``known``: many stages need the same ones."""
        if name not in known:
            stage = self.get(name)
            upstream = [self._key(settings, need, known) for need in stage.needs]
            known[name] = key_of(stage.name, stage.version, stage.settings(settings), upstream)
        return known[name]

    def done(self, run: Run, name: str) -> bool:
        """Whether the run holds this stage's result for its present configuration."""
        record = run.record["stages"].get(name)
        return record is not None and record["key"] == self.key(run.config, name)

    def after(self, name: str) -> list[str]:
        """A stage and all stages that depend on it."""
        found = [self.get(name).name]
        for stage in self:
            if set(stage.needs) & set(found) and stage.name not in found:
                found.append(stage.name)
        return found

    def forget(self, run: Run, name: str) -> None:
        """Drop the records of a stage and of all that depend on it, so that they run again."""
        for stage in self.after(name):
            if run.record["stages"].pop(stage, None):
                artifacts.remove(run.path / "parts" / stage)
        run.save()

    def ensure(self, run: Run, name: str) -> None:
        """Compute a stage unless it is done, as the only one who writes into the run's folder.

        Raises:
            KcError: another process writes there, or has changed the run's configuration since it
                was opened; what the stage needs is not done.
        """
        if self.done(run, name):
            return
        with locked(run.path):
            run.refresh()
            self.compute(run, name)

    def compute(self, run: Run, name: str) -> None:
        """``ensure`` for those who hold the lock of the run's folder."""
        stage = self.get(name)
        if self.done(run, name):
            return
        for need in stage.needs:
            if not self.done(run, need):
                raise KcError(
                    f"Stage {name!r} needs stage {need!r}, which run {run.name!r} does not hold "
                    f"for its present configuration; '{run.command()}' computes it."
                )
        logger.info("stage %s", name)
        started = time.perf_counter()
        work = Workspace(run, name, self.key(run.config, name))
        with PeakMemory() as peak:
            stage.compute(work)
        work.finish(time.perf_counter() - started, peak.bytes)
