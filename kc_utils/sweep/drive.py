"""Computing the stages of many runs over Dask: the workers, and what they are given.

Local workers are processes with one thread, on the loopback interface, without a dashboard or any
other page. They and their scheduler take orders over TLS only, with certificates that exist in the
memory of these processes: other users of the machine, who reach the same interface, have none. A
worker that dies is started again by its nanny, and what it computed is given to another worker.
On a machine with GPUs each worker sees one of them only.

The stages of one run follow one another, so a run's record has one writer; what is independent
within a stage (checkpoints, tasks, bands) is shared with idle workers by
:func:`kc_utils.runs.jobs.run_jobs`. As many runs are under way as there are workers, so that every
worker has something to do and what is begun is finished first. A run that fails stops; the others
go on. What a stage computes is kept in its run folder, piece by piece, so a task that Dask starts
again goes on where it was.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import traceback
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dask
import distributed
import torch
from distributed import Client, Future, KilledWorker, Nanny, Scheduler, SpecCluster, as_completed
from distributed.comm.core import FatalCommClosedError
from distributed.security import Security
from distributed.utils import LoopRunner
from tornado.ioloop import IOLoop

from kc_utils.config import Config
from kc_utils.errors import KcError
from kc_utils.kernels import kept_memory
from kc_utils.models.devices import visible_gpus
from kc_utils.runs.folder import Run
from kc_utils.runs.jobs import interrupt_held
from kc_utils.runs.report import write_report
from kc_utils.study.stages import STAGES
from kc_utils.sweep.certificates import TLS, temporary_security
from kc_utils.sweep.plan import ONE_THREAD, Member, worker_environments

HOST = "127.0.0.1"
SECONDS_TO_CONNECT = 30
#: A job whose workers died this often and once more has failed: it probably needs more memory.
ALLOWED_FAILURES = 3
_DASK = Path(distributed.__file__).parent
_SETTINGS: dict[str, Any] = {
    "distributed.scheduler.allowed-failures": ALLOWED_FAILURES,
    "distributed.scheduler.worker-saturation": 1.0,  # the rest waits, sorted by priority
    "distributed.scheduler.worker-ttl": None,  # a busy worker is not a dead one
    # Instead of Dask's own malloc settings, which return memory to the system after every step.
    "distributed.nanny.pre-spawn-environ": ONE_THREAD | kept_memory.ENVIRONMENT,
    # Results are files, so there is nothing to spill; a worker out of memory is started again.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    # Dask watches itself for its status pages, which are off here: a tenth of a busy worker's time.
    "distributed.worker.profile.enabled": False,
    "distributed.worker.preload": ["kc_utils.sweep.worker_setup"],
    "distributed.admin.system-monitor.gil.enabled": False,
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.admin.tick.interval": "500ms",
    # Pages over HTTP know no certificates, and tell anybody what is computed and where.
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}


@contextmanager
def connect(
    scheduler: str | None, n_workers: int, security: Security | None = None
) -> Iterator[Client]:
    """A client of the scheduler at this address, or of a cluster on this machine.

    ``security`` holds the certificates for a scheduler elsewhere; a cluster here has its own.

    Raises:
        KcError: no scheduler answers there, it has no workers, or it does not believe the
            certificates or is not believed.
    """
    # What Dask logs about workers is said by the sweep, where it matters.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    if scheduler is None:
        with dask.config.set(_SETTINGS), _local(n_workers) as cluster, Client(cluster) as client:
            yield client
        return
    with ExitStack() as stack:
        try:
            client = Client(scheduler, timeout=SECONDS_TO_CONNECT, security=security)
            stack.enter_context(client)
            client.wait_for_workers(1, timeout=SECONDS_TO_CONNECT)
        except FatalCommClosedError:
            raise KcError(
                f"The scheduler at {scheduler} and this program do not believe each other's "
                "certificates; both have to be signed by what --tls-ca-file names."
            ) from None
        except (OSError, TimeoutError):
            raise KcError(_no_answer(scheduler)) from None
        yield client


def _no_answer(scheduler: str) -> str:
    how = ""
    if scheduler.startswith(TLS):
        how = " with --tls-ca-file, --tls-cert and --tls-key, signed by the same authority"
    return (
        f"No Dask scheduler with workers answers at {scheduler} within {SECONDS_TO_CONNECT} "
        f"seconds; start 'dask scheduler' and 'dask worker --nthreads 1' there{how}."
    )


def threads(client: Client) -> int:
    """How many tasks the workers compute at the same time, now."""
    return sum(client.nthreads().values())


def check_folder(client: Client, folder: Path) -> None:
    """Refuse workers that do not see the folder of the sweep.

    Raises:
        KcError: naming the first of them.
    """
    for worker, seen in client.run(os.path.isdir, str(folder)).items():
        if not seen:
            raise KcError(f"Worker {worker} does not see {folder}; share the folder with it.")


@contextmanager
def _local(n_workers: int) -> Iterator[SpecCluster]:
    gpus, security = visible_gpus(), temporary_security()
    # Without an address, Dask's status pages would listen on every interface.
    listening = {
        "host": HOST, "protocol": TLS, "security": security,
        "dashboard": False, "dashboard_address": f"{HOST}:0",
    }  # fmt: skip
    common = listening | {
        "nthreads": 1, "memory_limit": 1 / n_workers, "silence_logs": logging.CRITICAL,
    }  # fmt: skip
    workers = {
        i: {"cls": Nanny, "options": common | {"env": environment}}
        for i, environment in enumerate(worker_environments(n_workers, gpus))
    }
    with _loop() as loop, SpecCluster(
        scheduler={"cls": Scheduler, "options": listening | {"port": 0}}, workers=workers,
        security=security, silence_logs=logging.CRITICAL, loop=loop,
    ) as cluster:  # fmt: skip
        try:
            yield cluster
        except KeyboardInterrupt:
            _stop(cluster)
            raise


def _stop(cluster: SpecCluster) -> None:
    """End the workers at once: closing them would wait for what they compute."""
    for nanny in cluster.workers.values():
        nanny.auto_restart = False
    for process in multiprocessing.active_children():
        process.kill()


@contextmanager
def _loop() -> Iterator[IOLoop]:
    """The event loop of cluster and client, in a thread that does not hear Ctrl-C.

    Nor do the workers, which inherit that from it: the sweep itself ends them.
    """
    runner = LoopRunner(asynchronous=False)
    with interrupt_held():
        runner.start()
    try:
        yield runner.loop
    finally:
        runner.stop()


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
