"""Shared by figures with an epoch slider: checks of their tables, groups, legend samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from kc_utils.plots.slider import MARKS
from kc_utils.plots.style import ordered
from kc_utils.plots.tables import check, check_unique


def prepared(
    frame: pd.DataFrame, columns: Sequence[str], optional: Sequence[str], name: str
) -> tuple[pd.DataFrame, list[float]]:
    """The checked table, and the epochs of all its rows, ascending.

    Raises:
        KcError: one of ``columns`` is missing, or two rows share all of ``columns`` but the last
            one and all of the ``optional`` columns that are there.
    """
    frame = check(frame, columns, name)
    keys = [*columns[:-1], *(c for c in optional if c in frame)]
    check_unique(frame, keys, name)
    return frame, sorted(float(e) for e in frame["epoch"].unique())


def groups(frame: pd.DataFrame, column: str) -> Iterator[tuple[Any, pd.DataFrame]]:
    """The parts of ``frame`` in the palette's order; None and all of it without the column."""
    if column not in frame:
        yield None, frame
        return
    for value in ordered(column, frame[column]):
        yield value, frame[frame[column] == value]


def line_key(classes: str, marker: str | None = None, css: str = "line") -> str:
    """The sample of a legend entry: a line, with a marker in its middle."""
    mark = f'<path class="mark" d="M15 6{MARKS[marker]}"></path>' if marker else ""
    return (
        f'<svg class="key" viewBox="0 0 30 12" aria-hidden="true"><g class="{classes}">'
        f'<path class="{css}" d="M1 6H29"></path>{mark}</g></svg>'
    )
