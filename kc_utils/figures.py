"""Keeping a notebook's figures in the run folder, and choosing rows for them."""

from __future__ import annotations

from typing import TypeVar

from matplotlib.figure import Figure

from kc_utils import artifacts
from kc_utils.errors import KcError
from kc_utils.plots.drawing import Drawing
from kc_utils.plots.style import svg_bytes
from kc_utils.runs import Run

AnyFigure = TypeVar("AnyFigure", Figure, Drawing)


def keep(run: Run, name: str, figure: AnyFigure) -> AnyFigure:
    """Store ``figure`` below ``figures/`` of the run and hand it back for display.

    A matplotlib figure becomes ``<name>.svg``, one with a slider the page ``<name>.html``.
    """
    folder = run.path / "figures"
    if isinstance(figure, Drawing):
        figure.save(folder / f"{name}.html")
    else:
        content = svg_bytes(figure)
        artifacts.write_atomically(folder / f"{name}.svg", lambda p: p.write_bytes(content))
    return figure


def choose_task(run: Run, task: str) -> str:
    """``task`` if the run studies it; otherwise an error that names the tasks it does study."""
    if task not in run.config.circuit.tasks:
        allowed = ", ".join(run.config.circuit.tasks)
        raise KcError(f"task = {task!r} is not studied in run {run.name!r}; allowed are {allowed}.")
    return task
