"""Keeping a notebook's figures in the run folder."""

from __future__ import annotations

from typing import TypeVar

from matplotlib.figure import Figure

from kc_utils import artifacts
from kc_utils.plots.interactive.figure import Drawing
from kc_utils.plots.style import svg_bytes
from kc_utils.runs.folder import Run

AnyFigure = TypeVar("AnyFigure", Figure, Drawing)


def keep(run: Run, name: str, figure: AnyFigure) -> AnyFigure:
    """Store ``figure`` below ``figures/`` of the run and hand it back for display.

    A matplotlib figure becomes ``<name>.svg``, one with a slider the page ``<name>.html``.

    Raises:
        KcError: the folder of the run cannot be written to.
    """
    folder = run.path / "figures"
    if isinstance(figure, Drawing):
        figure.save(folder / f"{name}.html")
    else:
        content = svg_bytes(figure)
        artifacts.write_or_say(folder / f"{name}.svg", lambda p: p.write_bytes(content))
    return figure
