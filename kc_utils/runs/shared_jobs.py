"""Jobs of a Dask task that idle workers of its cluster share.

The task keeps its thread and does its jobs one after the other. Each job also lies in the cluster,
behind every stage that waits there: a worker that has nothing else to do begins one, after asking
the task whether it is still to be done. So a task never waits for a worker, only for jobs that are
under way; no core computes two things at once; and a job is done once, wherever that is.

The usual way, to secede from the worker's thread pool and to rejoin it when all jobs are done,
leaves the worker to whatever comes next meanwhile, another run's stage for example, and the task
goes on when that has ended.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from distributed import CancelledError, Client, Future, Worker, get_client, get_worker, wait

#: Below every stage, whose priority is minus the place of its run in the sweep.
JOB_PRIORITY = -1_000_000
#: How often a task that waits for other workers looks whether they are still there.
SECONDS_TO_LOOK = 5.0
_HERE = ""


class Claims:
    """Who does which job: the task itself, or a worker. Any thread may ask."""

    def __init__(self) -> None:
        self._by: dict[int, str] = {}
        self._lock = threading.Lock()

    def take(self, job: int) -> bool:
        """Whether the task does this job itself; False if a worker has begun it."""
        with self._lock:
            return self._by.setdefault(job, _HERE) == _HERE

    def begin(self, job: int, worker: str) -> bool:
        """Whether this worker does the job, for the first time or because another one died."""
        with self._lock:
            if self._by.get(job) == _HERE:
                return False
            self._by[job] = worker
            return True

    def take_back(self, job: int, alive: Iterable[str]) -> bool:
        """Whether the task does this job itself now, because its worker is not alive any more."""
        with self._lock:
            if self._by[job] in alive:
                return False
            self._by[job] = _HERE
            return True


def share(
    function: Callable[..., Any], jobs: Sequence[Iterable[Any]], name: str
) -> Iterator[tuple[int, Any]]:
    """Place and result of every job, as soon as this task knows it; inside a Dask task.

    ``name`` is the beginning of the jobs' keys in the cluster.
    """
    client, worker, claims = get_client(), get_worker(), Claims()
    start = f"{name}-{uuid.uuid4().hex[:6]}"  # a stage that is started again submits new jobs
    worker.handlers[start] = claims.begin  # other workers ask by this name
    futures = {}
    try:
        for i, job in enumerate(jobs):
            futures[i] = client.submit(
                _elsewhere, worker.address, start, i, function, *job, key=f"{start}-{i}",
                priority=JOB_PRIORITY, pure=False,
            )  # fmt: skip
        there = {}
        for i, job in enumerate(jobs):
            if claims.take(i):
                yield i, function(*job)
            else:
                there[i] = futures[i]
            for j in [j for j, future in there.items() if future.done()]:
                yield j, _result(there.pop(j), claims, j, function, jobs[j])
        while there:
            _wait(list(there.values()))
            alive = None
            for j, future in list(there.items()):
                if future.done():
                    yield j, _result(there.pop(j), claims, j, function, jobs[j])
                    continue
                alive = client.nthreads() if alive is None else alive
                if claims.take_back(j, alive):
                    del there[j]
                    yield j, function(*jobs[j])
    finally:
        del worker.handlers[start]
        client.cancel([future for future in futures.values() if not future.done()])


def _wait(futures: list[Future]) -> None:
    try:
        wait(futures, timeout=SECONDS_TO_LOOK, return_when="FIRST_COMPLETED")
    except (TimeoutError, CancelledError):
        return


def _result(
    future: Future, claims: Claims, i: int, function: Callable[..., Any], job: Iterable[Any]
) -> Any:
    """What the worker found; if its question was answered and the answer lost, compute it here."""
    if (found := future.result()) is not None:
        return found[0]
    claims.take_back(i, ())
    return function(*job)


def _elsewhere(
    address: str, start: str, i: int, function: Callable[..., Any], *job: Any
) -> tuple[Any] | None:
    """Do a job of the task at ``address``, or nothing if that has done or begun it itself."""
    client: Client = get_client()
    asked = client.run(
        _may_begin, start, i, get_worker().address, workers=[address], on_error="ignore"
    )
    if not asked.get(address):
        return None
    torch.set_num_threads(1)  # results do not depend on the worker's machine
    return (function(*job),)


def _may_begin(start: str, i: int, by: str, dask_worker: Worker) -> bool:
    begin = dask_worker.handlers.get(start)
    return begin is not None and begin(i, by)
