"""Faithfulness over circuit size with one size marked."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from kc_utils.plots.faithfulness import plain_size_curve
from kc_utils.plots.style import GREEN, styled

_CUT = (-1.0, 2.0)  # values that the axis shows; single circuits can be far outside


@styled
def chosen_size_curve(sizes: pd.DataFrame, share: float, label: str, smallest: float) -> Figure:
    """:func:`~kc_utils.plots.faithfulness.size_curve` of one cell with a line at ``share``.

    ``sizes``: share, ablation, value, circuit. ``label`` is the title. The axis begins at the
    share ``smallest`` for every table, so that curves of different checkpoints can be compared.
    """
    figure = plain_size_curve(sizes, _CUT)
    axis = figure.axes[0]
    axis.axvline(share, color=GREEN, linewidth=2.0, zorder=1.8)
    axis.set_xlim(smallest / 1.25, 1.25)
    axis.set_title(label, color=GREEN, weight="bold")
    return figure
