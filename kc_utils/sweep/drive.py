"""Computing the stages of many runs over Dask.

The stages of one run follow one another, so a run's record has one writer; what is independent
within a stage (checkpoints, tasks, bands) is shared with idle workers by
:func:`kc_utils.runs.jobs.run_jobs`. As many runs are under way as there are workers, so that every
worker has something to do and what is begun is finished first. A run that fails stops; the others
go on. What a worker that dies was computing is given to another one. What a stage computes is kept
in its run folder, piece by piece, so a task that Dask starts again goes on where it was.
"""

from __future__ import annotations

import traceback
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import distributed
import torch
from distributed import Client, Future, KilledWorker, as_completed

from kc_utils.config import Config
from kc_utils.errors import KcError
from kc_utils.runs.folder import Run
from kc_utils.runs.report import write_report
from kc_utils.study.stages import STAGES
from kc_utils.sweep.cluster import ALLOWED_FAILURES
from kc_utils.sweep.plan import Member

_DASK = Path(distributed.__file__).parent


@dataclass(frozen=True)
class Failure:
    """A run that stopped: where, and the reason in one sentence."""

    run: str
    stage: str
    reason: str


def compute_stage(run_path: Path, settings: Config, stage: str) -> None:
    """Compute one stage of a run in a worker; what it needs is done, and the sweep holds its lock.

    Raises:
        KcError: the folder has another configuration than the sweep planned.
    """
    torch.set_num_threads(1)  # results do not depend on the worker's machine
    run = Run.open(run_path)
    if run.config != settings:
        raise KcError(f"The configuration of {run_path} was changed while the sweep computed it.")
    STAGES.compute(run, stage)


@dataclass
class Drive:
    """The state of a sweep that is being computed.

    ``watch`` is called after every change with the (run, stage) pairs that are under way and the
    pair that has just ended, or None.
    """

    client: Client
    limit: Callable[[], int]
    watch: Callable[[list[tuple[str, str]], tuple[str, str] | None], None]
    failures: list[Failure] = field(default_factory=list)
    _token: str = field(default_factory=lambda: uuid.uuid4().hex[:6])
    _todo: dict[str, deque[str]] = field(default_factory=dict)
    _running: dict[Future, tuple[int, Member, str]] = field(default_factory=dict)
    _tries: dict[tuple[str, str], int] = field(default_factory=dict)

    def compute(self, work: Sequence[tuple[Member, list[str]]]) -> list[Failure]:
        """Compute the given stages of every run; returns the runs that stopped."""
        waiting = deque(enumerate(member for member, _ in work))
        self._todo = {member.name: deque(stages) for member, stages in work}
        ended = as_completed(raise_errors=False)

        def begin() -> None:
            while waiting and len(self._running) < max(1, self.limit()):
                ended.add(self._submit(*waiting.popleft()))

        begin()
        self._report(None)
        for future in ended:
            rank, member, stage = self._running.pop(future)
            if self._succeeded(future, member, stage) and self._todo[member.name]:
                ended.add(self._submit(rank, member))
            begin()
            self._report((member.name, stage))
        return self.failures

    def _submit(self, rank: int, member: Member) -> Future:
        stage = self._todo[member.name].popleft()
        tries = self._tries.get((member.name, stage), 0)
        future = self.client.submit(
            compute_stage, member.path, member.settings, stage, priority=-rank, pure=False,
            key=f"{member.name}/{stage}-{self._token}-{tries}",
        )  # fmt: skip
        self._running[future] = (rank, member, stage)
        return future

    def _succeeded(self, future: Future, member: Member, stage: str) -> bool:
        if future.status == "finished":
            return True
        error = future.exception() if future.status == "error" else None
        if error is not None:
            error = error.with_traceback(future.traceback())
        tries = self._tries[member.name, stage] = self._tries.get((member.name, stage), 0) + 1
        if of_dask(error) and tries <= ALLOWED_FAILURES:
            self._todo[member.name].appendleft(stage)
            return True
        self.failures.append(Failure(member.name, stage, sentence(error)))
        return False

    def _report(self, ended: tuple[str, str] | None) -> None:
        self.watch([(member.name, stage) for _, member, stage in self._running.values()], ended)


def of_dask(error: BaseException | None) -> bool:
    """Whether Dask itself failed, not what it computes: then the stage is worth another try.

    On a machine that is busy with other things, a worker can be handed a task that is taken from
    it at the same moment, and fails one of its own assertions (dask/distributed, issue 7523).
    """
    frames = list(traceback.walk_tb(error.__traceback__)) if error is not None else []
    return bool(frames) and Path(frames[-1][0].f_code.co_filename).parent == _DASK


def sentence(error: BaseException | None) -> str:
    """What happened, in one sentence."""
    if error is None:
        return "It was cancelled, because the scheduler went away."
    if isinstance(error, KcError):
        return str(error)
    if isinstance(error, KilledWorker):
        return (
            f"{error.allowed_failures + 1} workers died while they computed it, most likely for "
            "want of memory; try fewer --workers."
        )
    lines = str(error).splitlines() or ["no reason given"]
    try:
        where = f"the full report is in {write_report(error)!r}"
    except OSError as problem:
        where = f"no report could be written ({problem.strerror})"
    return f"An unexpected {type(error).__name__} ({lines[0].rstrip('.')}); {where}."
