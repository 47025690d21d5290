"""Computing the stages of many runs over Dask, run by run in a fixed order.

The stages of one run follow one another, so a run's record has one writer; what is independent
within a stage (checkpoints, tasks, bands) is spread by :func:`kc_utils.runs.jobs.run_jobs`. As many
runs are under way as there are workers, so that every worker has something to do and what is begun
is finished first. A run that fails stops; the others go on.

What a stage computes is kept in its run folder, piece by piece. A task that Dask starts again,
because its worker was killed, therefore goes on where it was.
"""

from __future__ import annotations

import logging
import traceback
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from distributed import Client, Future, KilledWorker, as_completed

from kc_utils.errors import KcError
from kc_utils.runs.folder import Run
from kc_utils.study.stages import STAGES
from kc_utils.sweep.plan import Member

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failure:
    """A run that stopped: where, and the reason in one sentence."""

    run: str
    stage: str
    reason: str


def compute_stage(run_path: Path, stage: str) -> None:
    """Compute one stage of a run in a worker; what it needs is done."""
    torch.set_num_threads(1)  # results do not depend on the worker's machine
    STAGES.ensure(Run.open(run_path), stage)


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
        future = self.client.submit(
            compute_stage, member.path, stage, priority=-rank, pure=False,
            key=f"{member.name}/{stage}-{self._token}",
        )  # fmt: skip
        self._running[future] = (rank, member, stage)
        return future

    def _succeeded(self, future: Future, member: Member, stage: str) -> bool:
        if future.status == "finished":
            return True
        error = future.exception() if future.status == "error" else None
        if error is not None and not isinstance(error, KcError | KilledWorker):
            logger.error("".join(traceback.format_exception(error)))
        self.failures.append(Failure(member.name, stage, sentence(error)))
        return False

    def _report(self, ended: tuple[str, str] | None) -> None:
        self.watch([(member.name, stage) for _, member, stage in self._running.values()], ended)


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
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0].rstrip('.')}."
