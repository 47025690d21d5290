"""Executing the notebooks of a run with papermill."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kc_utils import REFERENCE, ROOT, STORED_SWEEP, artifacts
from kc_utils.errors import KcError
from kc_utils.runs.dataset import PROVENANCE
from kc_utils.runs.folder import Run, key_of
from kc_utils.runs.jobs import run_jobs, shared_processes
from kc_utils.runs.machine import notebooks_at_once, threads_per_notebook, usable_cores
from kc_utils.runs.peak_memory import PeakMemory


def notebook_path(name: str) -> Path:
    """Where the notebook ``name`` (for example ``05_performance``) lies in the checkout."""
    return ROOT / "notebooks" / f"{name}.ipynb"


def source_digest() -> str:
    """Digest of the library's source and the stored tables: notebooks' figures depend on both."""
    digest = hashlib.sha256()
    stored = (path for path in (ROOT / REFERENCE).rglob("*") if path.is_file())
    for path in sorted([*(ROOT / "kc_utils").rglob("*.py"), *stored]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def sweep_shown(name: str) -> str | None:
    """Digest of the stored sweep if a notebook draws its figures from that, else None."""
    path, record = notebook_path(name), ROOT / STORED_SWEEP / PROVENANCE
    if not (path.is_file() and record.is_file()) or "sweep_dir" not in path.read_text("utf-8"):
        return None
    return artifacts.sha256(record)


def due(run: Run, wanted: dict[str, list[str]], parameters: dict[str, Any]) -> dict[str, str]:
    """The notebooks that have to be executed, each with the key that it will carry.

    Args:
        run: holds the executed notebooks, and in its record their keys.
        wanted: names, each with the keys of the stages that it depends on.
        parameters: what the notebooks are given.

    Raises:
        KcError: a notebook is missing.
    """
    if not wanted:
        return {}
    source, found = source_digest(), {}
    for name, stage_keys in wanted.items():
        if not notebook_path(name).is_file():
            raise KcError(f"{notebook_path(name)} is missing; the checkout is not complete.")
        target = run.path / "notebooks" / f"{name}.ipynb"
        key = key_of(artifacts.sha256(notebook_path(name)), source, stage_keys, parameters)
        known = run.record["notebooks"].get(name)
        if not (known and known["key"] == key and _as_executed(target, known)):
            found[name] = key
    return found


def check_executed(run: Run, wanted: dict[str, list[str]]) -> None:
    """Refuse executed notebooks that are not what the run executed, or show other results.

    Changed source is no reason: what they show is the run's still. Changed tables of the stored
    sweep are one where its figures are shown: what pages say beside them is said of the tables of
    now. Notebooks that are missing or not in the record are left to who reads them.

    Args:
        run: holds the executed notebooks, and in its record their digests.
        wanted: names, each with the keys of the stages that it depends on.

    Raises:
        KcError: naming the first of them, with the command that executes it again.
    """
    again = f"'{run.command()}' executes it again."
    held = {stage["key"] for stage in run.record["stages"].values()}
    for name, stage_keys in wanted.items():
        known, target = run.record["notebooks"].get(name), run.path / "notebooks" / f"{name}.ipynb"
        if not known or not target.is_file():
            continue
        if known.get("digest") not in (None, artifacts.sha256(target)):
            raise KcError(
                f"{target} is damaged or was edited: it is not what was executed; {again}"
            )
        # Earlier versions did not record the results: then the run has to hold those of now.
        same = (
            known["results"] == key_of(stage_keys)
            if known.get("results")
            else held >= {*stage_keys}
        )
        if not same:
            raise KcError(
                f"{target} was executed for another configuration than that of the run now; {again}"
            )
        if known.get("sweep") and known["sweep"] != sweep_shown(name):
            raise KcError(f"{target} shows other tables than {STORED_SWEEP} holds now; {again}")


def execute_all(
    run: Run,
    wanted: dict[str, list[str]],
    parameters: dict[str, Any],
    done: Callable[[str, float], None] = lambda name, seconds: None,
) -> None:
    """Execute notebooks into the run folder, except where nothing that they depend on has changed.

    A notebook appears only when every cell has succeeded; the first that fails stops the rest.

    Args:
        run: gets the executed notebooks, and in its record what each took.
        wanted: names, each with the keys of the stages that it depends on.
        parameters: a notebook is given those that it declares.
        done: called with the name of each notebook that is finished, and its seconds.

    Raises:
        KcError: a notebook is missing or fails.
    """
    keys = due(run, wanted, parameters)
    jobs = [(name, run.path / "notebooks" / f"{name}.ipynb", parameters) for name in keys]

    def note(i: int, took: tuple[float, int]) -> None:
        (name, target, _), (seconds, peak) = jobs[i], took
        run.record["notebooks"][name] = {
            "key": keys[name], "seconds": seconds, "peak_bytes": peak,
            "digest": artifacts.sha256(target), "results": key_of(wanted[name]),
            "sweep": sweep_shown(name),
        }  # fmt: skip
        run.save()
        done(name, seconds)

    with shared_processes(notebooks_at_once(usable_cores())):
        run_jobs(_execute, jobs, "notebooks", note)
    if jobs:  # in their order, not in that in which they were finished
        books = run.record["notebooks"]
        first = {name: books.pop(name) for name in wanted}
        run.record["notebooks"] = first | books
        run.save()


def _as_executed(target: Path, known: dict[str, Any]) -> bool:
    """Whether the executed notebook is there as papermill left it."""
    return target.is_file() and artifacts.sha256(target) == known.get("digest")


def _execute(name: str, target: Path, parameters: dict[str, Any]) -> tuple[float, int]:
    """Execute one notebook; seconds, and the most bytes it held."""
    started = time.perf_counter()
    with PeakMemory(forks=True) as peak:
        artifacts.write_atomically(
            target, lambda partial: _papermill(notebook_path(name), partial, parameters)
        )
    return round(time.perf_counter() - started, 2), peak.bytes


def _papermill(source: Path, target: Path, parameters: dict[str, Any]) -> None:
    import papermill  # takes seconds, and only the processes that execute notebooks need it
    from papermill.exceptions import PapermillExecutionError

    from kc_utils.runs.forked_kernel import AsyncForkingKernels, import_beforehand

    declared = papermill.inspect_notebook(str(source))
    given = {name: value for name, value in parameters.items() if name in declared}
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    # Kernels run side by side: with a thread for every core each, they would wait for one another.
    os.environ.setdefault("OMP_NUM_THREADS", str(threads_per_notebook(usable_cores())))
    logging.getLogger("papermill").setLevel(logging.WARNING)
    import_beforehand((ROOT / "notebooks").rglob("*.ipynb"))
    output = target.with_name(f"{target.name}.ipynb")  # papermill warns of other endings
    try:
        papermill.execute_notebook(
            str(source), str(output), given, kernel_name="python3", cwd=str(ROOT),
            progress_bar=False, request_save_on_cell_execute=False,
            kernel_manager_class=AsyncForkingKernels,
            # Else every kernel says that it listens on the loopback interface and that it ends.
            extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
        )  # fmt: skip
        output.replace(target)
    except PapermillExecutionError as error:
        if error.ename == "KcError":
            raise KcError(str(error.evalue)) from None
        raise KcError(
            f"Notebook {source.name} failed in cell {error.exec_count}: "
            f"{error.ename}: {error.evalue}."
        ) from error
    finally:
        output.unlink(missing_ok=True)
