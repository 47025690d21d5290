"""The Dask workers of a sweep: processes of this machine, or those of a scheduler elsewhere.

Local workers are processes with one thread, on the loopback interface, without a dashboard. A
worker that dies is started again by its nanny, and what it computed is given to another worker.
On a machine with GPUs each worker sees one of them only.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
from distributed import Client, Nanny, Scheduler, SpecCluster

from kc_utils.errors import KcError
from kc_utils.kernels import kept_memory
from kc_utils.models.devices import visible_gpus
from kc_utils.sweep.plan import ONE_THREAD, worker_environments

HOST = "127.0.0.1"
SECONDS_TO_CONNECT = 30
#: A job whose workers died this often and once more has failed: it probably needs more memory.
ALLOWED_FAILURES = 3
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
    "distributed.admin.system-monitor.gil.enabled": False,
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.admin.tick.interval": "500ms",
}


@contextmanager
def connect(scheduler: str | None, n_workers: int) -> Iterator[Client]:
    """A client of the scheduler at this address, or of a cluster on this machine.

    Raises:
        KcError: no scheduler answers there, or it has no workers.
    """
    # What Dask logs about workers is said by the sweep, where it matters.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    if scheduler is None:
        with dask.config.set(_SETTINGS), _local(n_workers) as cluster, Client(cluster) as client:
            yield client
        return
    try:
        client = Client(scheduler, timeout=SECONDS_TO_CONNECT)
        client.wait_for_workers(1, timeout=SECONDS_TO_CONNECT)
    except (OSError, TimeoutError):
        raise KcError(
            f"No Dask scheduler with workers answers at {scheduler} within {SECONDS_TO_CONNECT} "
            "seconds; start 'dask scheduler' and 'dask worker --nthreads 1' there."
        ) from None
    with client:
        yield client


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
    gpus = visible_gpus()
    common = {
        "nthreads": 1, "host": HOST, "dashboard": False, "dashboard_address": f"{HOST}:0",
        "memory_limit": 1 / n_workers, "silence_logs": logging.CRITICAL,
    }  # fmt: skip
    workers = {
        i: {"cls": Nanny, "options": common | {"env": environment}}
        for i, environment in enumerate(worker_environments(n_workers, gpus))
    }
    # Without an address, Dask's status pages would listen on every interface.
    options = {"host": HOST, "port": 0, "dashboard": False, "dashboard_address": f"{HOST}:0"}
    cluster = SpecCluster(
        scheduler={"cls": Scheduler, "options": options}, workers=workers,
        silence_logs=logging.CRITICAL,
    )  # fmt: skip
    with cluster:
        yield cluster
