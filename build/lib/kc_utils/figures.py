"""Keeping a notebook's figures in the run folder, and choosing rows for them."""

from __future__ import annotations

from matplotlib.figure import Figure

from kc_utils import artifacts
from kc_utils.errors import KcError
from kc_utils.plots.style import svg_bytes
from kc_utils.runs import Run


def keep(run: Run, name: str, figure: Figure) -> Figure:
    """Store ``figure`` as ``figures/<name>.svg`` of the run and hand it back for display."""
    path = run.path / "figures" / f"{name}.svg"
    artifacts.write_atomically(path, lambda p: p.write_bytes(svg_bytes(figure)))
    return figure


def choose_task(run: Run, task: str) -> str:
    """``task`` if the run studies it; otherwise an error that names the tasks it does study."""
    if task not in run.config.circuit.tasks:
        allowed = ", ".join(run.config.circuit.tasks)
        raise KcError(f"task = {task!r} is not studied in run {run.name!r}; allowed are {allowed}.")
    return task
