"""The workers of a sweep: on this machine, or at the address of a scheduler.

Local workers are processes with one thread, on the loopback interface, without a dashboard or any
other page. They and their scheduler take orders over TLS only, with certificates that exist in the
memory of these processes: other users of the machine, who reach the same interface, have none. A
worker that dies is started again by its nanny. On a machine with GPUs each worker sees one of them
only.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import dask
from distributed import Client, Nanny, Scheduler, SpecCluster
from distributed.comm.core import FatalCommClosedError
from distributed.core import Status
from distributed.security import Security
from distributed.utils import LoopRunner
from tornado.ioloop import IOLoop

from kc_utils.errors import KcError
from kc_utils.kernels import kept_memory
from kc_utils.models.devices import visible_gpus
from kc_utils.runs.jobs import interrupt_held
from kc_utils.sweep.certificates import TLS, temporary_security
from kc_utils.sweep.plan import ONE_THREAD, worker_environments

HOST = "127.0.0.1"
SECONDS_TO_CONNECT = 30
#: A job whose workers died this often and once more has failed: it probably needs more memory.
ALLOWED_FAILURES = 3
#: A worker whose process ends this often before it takes orders cannot be started here.
STARTS = 3
_ENDED = "Nanny failed to start worker process"  # what Dask says of that
_SETTINGS: dict[str, Any] = {
    "distributed.scheduler.allowed-failures": ALLOWED_FAILURES,
    "distributed.scheduler.worker-saturation": 1.0,  # the rest waits, sorted by priority
    "distributed.scheduler.worker-ttl": None,  # a busy worker is not a dead one
    # A worker that is started again takes longer than Dask's 15 seconds on a busy machine.
    "distributed.deploy.lost-worker-timeout": "10 minutes",
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
        i: {"cls": Persistent, "options": common | {"env": environment}}
        for i, environment in enumerate(worker_environments(n_workers, gpus))
    }
    with _environment_restored(), _loop() as loop, _started(
        scheduler={"cls": Scheduler, "options": listening | {"port": 0}}, workers=workers,
        security=security, silence_logs=logging.CRITICAL, loop=loop,
    ) as cluster:  # fmt: skip
        try:
            yield cluster
        except KeyboardInterrupt:
            _stop(cluster)
            raise


@contextmanager
def _environment_restored() -> Iterator[None]:
    """Nannies set what their workers inherit in this process, too, and leave it there."""
    names = _SETTINGS["distributed.nanny.pre-spawn-environ"]
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _started(**options: Any) -> SpecCluster:
    try:
        return SpecCluster(**options)
    except RuntimeError as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        if str(cause) == _ENDED:
            raise KcError(
                f"A worker of the sweep ended {STARTS} times before it took orders, most likely "
                "for want of memory; try fewer --workers."
            ) from error
        raise KcError(f"The workers of the sweep do not start: {cause}") from error


class Persistent(Nanny):
    """Starts a worker again whose process ends before it takes orders; Dask's own gives up."""

    async def instantiate(self) -> Status:
        """How the worker is after at most ``STARTS`` starts."""
        for _ in range(STARTS):
            status = await super().instantiate()
            if status == Status.running or self.status != Status.init:
                break
        return status


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
