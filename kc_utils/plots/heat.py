"""Heat maps drawn as vectors, with numbers when there is room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from kc_utils.plots.canvas import EPOCH, label_outer, split
from kc_utils.plots.style import HEAT

_CONTRAST = 4.5  # of words with their cell, as the dark theme shows both


def heat(
    axis: Axes,
    grid: pd.DataFrame,
    *,
    limits: tuple[float, float],
    cmap: str | mpl.colors.Colormap = HEAT,
    labels: np.ndarray | None = None,
) -> QuadMesh:
    """Draw ``grid`` (index upwards, columns to the right) with text ``labels`` in the cells."""
    values = np.ma.masked_invalid(grid.to_numpy(float))
    low, high = limits if limits[0] < limits[1] else (limits[0] - 0.5, limits[0] + 0.5)
    style = {"vmin": low, "vmax": high, "cmap": cmap, "edgecolors": "white", "linewidth": 0.4}
    mesh = axis.pcolormesh(values, **style)
    axis.grid(False)
    axis.set_facecolor("#EEEEEE")
    _ticks(axis, grid)
    if labels is not None:
        for (i, j), text in np.ndenumerate(labels):
            if not np.ma.is_masked(values[i, j]):
                words = in_cell(mpl.colors.to_hex(mesh.cmap(mesh.norm(values[i, j]))))
                axis.text(j + 0.5, i + 0.5, text, **words)
    return mesh


def layer_maps(
    frame: pd.DataFrame,
    column: str | None,
    value: str,
    *,
    ylabel: str,
    label: str,
    row: float = 0.3,
    cmap: str = HEAT,
) -> tuple[Figure, Colorbar]:
    """Maps of ``value``: layers upwards, epochs across, a panel for each value of ``column``.

    ``label`` is that of the colour bar, ``row`` the height of a layer in inches.
    """
    height = min(5.0, max(2.4, row * frame["layer"].nunique()))
    figure, axes, cells = split(frame, None, column, height=height)
    limits = limits_of(frame[value], low=0.0)
    for axis, part in cells:
        grid = part.pivot(index="layer", columns="epoch", values=value).sort_index()
        mesh = heat(axis, grid, limits=limits, cmap=cmap)
    label_outer(axes, EPOCH, [ylabel])
    return figure, figure.colorbar(mesh, ax=axes, label=label, pad=0.02)


def ink(colour: str) -> str:
    """Black or white, whichever has more contrast with ``colour`` (WCAG 2): at least 4.58."""
    return "black" if _light(mpl.colors.to_rgb(colour)) > 0.179 else "white"


def in_cell(colour: str) -> dict[str, Any]:
    """How words stand in a cell of a ``colour``: in its ink, on middle shades with an outline.

    The book's dark theme inverts lightness; there middle shades are too near to the ink. An outline
    has the other ink and doubles what the words weigh in a file, so other cells have none.
    """
    words = ink(colour)
    style = {"ha": "center", "va": "center", "size": 9, "color": words}
    inverted = [1 - v for v in mpl.colors.to_rgb(colour)]
    lights = sorted((_light(inverted), 1.0 if words == "black" else 0.0))
    if (lights[1] + 0.05) / (lights[0] + 0.05) >= _CONTRAST:
        return style
    around = withStroke(linewidth=0.9, foreground="white" if words == "black" else "black")
    return style | {"path_effects": [around]}


def _light(rgb: Sequence[float]) -> float:
    """Relative luminance (WCAG 2): 0 black, 1 white."""
    shares = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in rgb)
    return sum(w * v for w, v in zip((0.2126, 0.7152, 0.0722), shares, strict=True))


def limits_of(values: pd.Series, low: float | None = None) -> tuple[float, float]:
    """The finite range of ``values``, from ``low`` when given."""
    finite = values.to_numpy(float)
    finite = finite[np.isfinite(finite)]
    if not finite.size:
        return (0.0, 1.0)
    return (float(finite.min()) if low is None else low, float(finite.max()))


def _ticks(axis: Axes, grid: pd.DataFrame, most: int = 11) -> None:
    for ticks, values in ((axis.set_xticks, grid.columns), (axis.set_yticks, grid.index)):
        step = max(1, -(-len(values) // most))
        chosen = np.arange(0, len(values), step)
        names = [f"{v:g}" if isinstance(v, (int, float, np.number)) else str(v) for v in values]
        ticks(chosen + 0.5, [names[i] for i in chosen])
