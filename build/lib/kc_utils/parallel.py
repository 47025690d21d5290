"""Independent jobs on all cores, one process and one thread each, with a progress bar.

One thread per process makes results independent of the number of cores, and small matrices gain
more from processes than from threads. On a machine with a GPU the jobs run one after another.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing.connection import wait
from typing import Any

import torch
from tqdm.auto import tqdm


def run_jobs(
    function: Callable[..., Any], jobs: Sequence[Iterable[Any]], description: str
) -> list[Any]:
    """``[function(*job) for job in jobs]`` over processes; results keep the order of ``jobs``.

    ``function`` must be importable (defined at module level). The first error stops the rest.
    """
    workers = 1 if torch.cuda.is_available() else min(os.cpu_count() or 1, len(jobs))
    if workers <= 1:
        return [function(*job) for job in tqdm(jobs, desc=description, disable=len(jobs) < 2)]
    results: list[Any] = [None] * len(jobs)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker) as pool:
        futures = {pool.submit(function, *job): i for i, job in enumerate(jobs)}
        try:
            for future in tqdm(as_completed(futures), total=len(jobs), desc=description):
                results[futures[future]] = future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return results


def _start_worker() -> None:
    torch.set_num_threads(1)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    """A worker whose parent was killed must not go on computing."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
