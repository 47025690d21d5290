"""Executing the notebooks of a run with papermill."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from pathlib import Path
from typing import Any

import papermill
from papermill.exceptions import PapermillExecutionError

from kc_utils import artifacts
from kc_utils.errors import KcError
from kc_utils.peak_memory import PeakMemory
from kc_utils.runs import ROOT, Run, key_of

logger = logging.getLogger(__name__)


def notebook_path(name: str) -> Path:
    """Where the notebook ``name`` (for example ``05_performance``) lies in the checkout."""
    return ROOT / "notebooks" / f"{name}.ipynb"


def source_digest() -> str:
    """Digest of the library's source and the stored tables: notebooks' figures depend on both."""
    digest = hashlib.sha256()
    stored = (path for path in (ROOT / "book" / "reference").rglob("*") if path.is_file())
    for path in sorted([*(ROOT / "kc_utils").rglob("*.py"), *stored]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def execute(run: Run, name: str, stage_keys: list[str], parameters: dict[str, Any]) -> bool:
    """Execute one notebook into the run folder unless nothing that it depends on has changed.

    Returns whether it was executed. The output appears only when every cell has succeeded.
    """
    source = notebook_path(name)
    target = run.path / "notebooks" / f"{name}.ipynb"
    if not source.is_file():
        raise KcError(f"{source} is missing; the checkout is not complete.")
    declared = papermill.inspect_notebook(str(source))
    parameters = {name: value for name, value in parameters.items() if name in declared}
    key = key_of(artifacts.sha256(source), source_digest(), stage_keys, parameters)
    known = run.record["notebooks"].get(name)
    if known and known["key"] == key and target.is_file():
        return False
    started = time.perf_counter()
    with PeakMemory() as peak:
        artifacts.write_atomically(target, lambda partial: _papermill(source, partial, parameters))
    seconds = round(time.perf_counter() - started, 2)
    run.record["notebooks"][name] = {"key": key, "seconds": seconds, "peak_bytes": peak.bytes}
    run.save()
    return True


def _papermill(source: Path, target: Path, parameters: dict[str, Any]) -> None:
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    logging.getLogger("papermill").setLevel(logging.WARNING)
    output = target.with_name(f"{target.name}.ipynb")  # papermill warns of other endings
    try:
        papermill.execute_notebook(
            str(source), str(output), parameters, kernel_name="python3", cwd=str(ROOT),
            progress_bar=False, request_save_on_cell_execute=False,
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
