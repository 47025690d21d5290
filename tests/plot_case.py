"""What a case of a figure is, and labels that several of them share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

RANK, FAITH = "rank (1 = best, log scale)", "faithfulness (1 = whole model)"
LAYER = "after layer (0 = embedding)"
DEPTH = "layer (deep at top)"


@dataclass(frozen=True)
class Case:
    """A figure, its table, and the columns that it cannot do without."""

    draw: Callable[..., Figure]
    table: Callable[[], pd.DataFrame]
    needs: tuple[str, ...]
    extra: dict[str, Any] = field(default_factory=dict)
    units: tuple[str, ...] = ("epoch",)
