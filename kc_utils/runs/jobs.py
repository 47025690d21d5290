"""Independent jobs on all cores, one process and one thread each, with a progress bar.

One thread per process makes results independent of the number of cores, and small matrices gain
more from processes than from threads. On a machine with a GPU the jobs run one after another.

Inside a Dask worker (``kc sweep``) the task does the jobs itself, with the help of workers of the
same cluster that have nothing else to do: see :mod:`kc_utils.runs.shared_jobs`.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextvars import ContextVar
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from typing import Any

import torch
from tqdm.auto import tqdm

from kc_utils.errors import KcError
from kc_utils.kernels.kept_memory import keep_memory
from kc_utils.models.devices import has_gpu
from kc_utils.runs.machine import usable_cores

_shared: ContextVar[ProcessPoolExecutor | None] = ContextVar("shared_processes", default=None)
_patience: ContextVar[float | None] = ContextVar("patience", default=None)


def run_jobs(
    function: Callable[..., Any],
    jobs: Sequence[Iterable[Any]],
    description: str,
    done: Callable[[int, Any], None] = lambda i, result: None,
) -> list[Any]:
    """``[function(*job) for job in jobs]`` over processes; results keep the order of ``jobs``.

    ``function`` must be importable (defined at module level). ``done(i, result)`` is called here as
    soon as a result is known. The first error stops the rest.

    Raises:
        KcError: a worker process died, or no job ended for as long as :func:`patience` allows.
    """
    results: list[Any] = [None] * len(jobs)
    for i, result in _results(function, jobs, description):
        results[i] = result
        done(i, result)
    return results


def _results(
    function: Callable[..., Any], jobs: Sequence[Iterable[Any]], description: str
) -> Iterator[tuple[int, Any]]:
    """Place and result of every job, as soon as it is known."""
    if (task := _dask_task()) and len(jobs) > 1:
        from kc_utils.runs.shared_jobs import share  # distributed is no requirement of the rest

        yield from share(function, jobs, f"{task}/{description}")
        return
    workers = 1 if task or has_gpu() else min(usable_cores(), len(jobs))
    if workers <= 1:
        for i, job in enumerate(tqdm(jobs, desc=description, disable=len(jobs) < 2)):
            yield i, function(*job)
        return
    shared = _shared.get()
    with contextlib.nullcontext(shared) if shared else _processes(workers) as pool:
        futures: dict[Future, int] = {}
        try:
            with interrupt_held():  # processes start here, and inherit this
                futures |= {pool.submit(function, *job): i for i, job in enumerate(jobs)}
            for future in tqdm(_ended(futures, description), total=len(jobs), desc=description):
                yield futures[future], future.result()
        except BaseException as error:
            for future in futures:
                future.cancel()
            if isinstance(error, KeyboardInterrupt):
                _stop_workers()
            if isinstance(error, BrokenProcessPool):
                raise KcError(
                    f"A worker process died during {description!r}, most likely for want of "
                    "memory; start again: what is done is kept."
                ) from None
            raise


@contextlib.contextmanager
def patience(minutes: float | None) -> Iterator[None]:
    """Inside, ``run_jobs`` gives up when no job ends for so long; None: it waits for ever."""
    before = _patience.set(None if minutes is None else 60 * minutes)
    try:
        yield
    finally:
        _patience.reset(before)


def _ended(futures: Iterable[Future], description: str) -> Iterator[Future]:
    """The futures as they end."""
    pending, seconds = set(futures), _patience.get()
    while pending:
        done, pending = concurrent.futures.wait(pending, seconds, FIRST_COMPLETED)
        if not done:
            _stop_workers()
            raise KcError(
                f"No job of {description!r} ended within {seconds / 60:g} minutes (--patience); "
                "what is done is kept."
            )
        yield from done


@contextlib.contextmanager
def interrupt_held() -> Iterator[None]:
    """Ctrl-C waits until the end of the block, and for ever in processes that are started in it.

    A terminal sends Ctrl-C to every process; the one that started the jobs ends the others.
    """
    resource_tracker.ensure_running()  # a first start inside the block would let Ctrl-C through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _stop_workers() -> None:
    """End jobs under way: after Ctrl-C, or when they hang."""
    for process in multiprocessing.active_children():
        process.terminate()


@contextlib.contextmanager
def shared_processes(most: int | None = None) -> Iterator[None]:
    """Let all ``run_jobs`` inside use the same processes: each takes seconds to import PyTorch.

    They are as many as there are cores, or ``most`` if that is less. They start when there are jobs
    for them, and end with the ``with`` block.
    """
    cores = usable_cores()
    with _processes(min(cores, most or cores)) as pool:
        before = _shared.set(pool)
        try:
            yield
        finally:
            _shared.reset(before)


def _processes(most: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(most, mp_context=context, initializer=_start_worker)


def _start_worker() -> None:
    torch.set_num_threads(1)
    keep_memory()
    threading.Thread(target=die_with_parent, daemon=True).start()


def die_with_parent() -> None:
    """End this process when its parent has ended: a killed run must not go on computing."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _dask_task() -> str | None:
    """The key of the Dask task that this thread computes, or None outside of Dask."""
    if "distributed" not in sys.modules:  # nobody has started a worker in this process
        return None
    from distributed import get_worker

    try:
        return str(get_worker().get_current_task())
    except ValueError:
        return None
