"""Attention patterns of one layer: where every position reads from, a map for each head."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from kc_utils.errors import KcError
from kc_utils.plots.canvas import panels
from kc_utils.plots.heat import heat
from kc_utils.plots.style import styled

_MOST_NAMES = 24  # tokens that fit beside a map


@styled
def attention_maps(tokens: Sequence[str], attention: np.ndarray, names: Sequence[str]) -> Figure:
    """Maps of ``attention`` [head, destination, source], two in a row; sources run to the right.

    ``tokens``: words of the axes; ``names``: one per head. Positions that a head cannot see are
    grey. KcError when the shapes do not fit together.
    """
    n = len(tokens)
    if attention.shape != (len(names), n, n) or not n:
        raise KcError(
            f"Attention of shape {attention.shape} does not fit {len(names)} heads and {n} tokens."
        )
    n_rows = -(-len(names) // 2)
    figure, axes = panels(n_rows, min(2, len(names)), height=3.4)
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    unseen = np.triu(np.ones((n, n), dtype=bool), 1)
    for axis, name, pattern in zip(axes.flat, names, attention, strict=False):
        grid = pd.DataFrame(np.where(unseen, np.nan, pattern))
        mesh = heat(axis, grid, limits=(0.0, 1.0))
        axis.set_title(name)
        axis.set_ylim(n, 0)
    if n <= _MOST_NAMES:
        for axis in axes[-1]:
            axis.set_xticks(np.arange(n) + 0.5, tokens, rotation=90)
        for axis in axes[:, 0]:
            axis.set_yticks(np.arange(n) + 0.5, tokens)
    figure.supxlabel("source (read from)", size=10)
    figure.supylabel("destination (reads)", size=10)
    figure.colorbar(mesh, ax=axes, label="attention (share)", pad=0.02, shrink=0.6)
    return figure
