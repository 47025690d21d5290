"""Curves of circuits and accuracy with the onset and knee of their own circuit beside them.

What :func:`kc_utils.analysis.stats.aligned_time.align` needs to put many cells and seeds on one
clock: time 0 at the onset and time 1 at the knee of the entropy of kept edges.
"""

from __future__ import annotations

import pandas as pd

from kc_utils.config import CELL

QUANTITIES = ("entropy_kept", "normalised_entropy_kept", "accuracy", "edge_jaccard")


def with_bends(
    topology: pd.DataFrame,
    read: pd.DataFrame,
    shift: pd.DataFrame,
    clock: str = "entropy_kept",
    entropy: str = "entropy_kept",
) -> pd.DataFrame:
    """Long table of curves; all curves of a cell have the bends of one quantity, the ``clock``.

    Args:
        topology: columns task, kind, band, epoch, ``entropy``, edge_jaccard (share with the
            last checkpoint, which is left out: it is 1 there by definition).
        read: table ``accuracy_read``: kind, band, epoch, value (share).
        shift: task, kind, band, quantity, onset, knee (epochs, NaN where not decided).
        clock: quantity whose bends count.
        entropy: the column of entropy that is shown. Models whose circuits differ in size can be
            compared by normalised_entropy_kept only.

    All three may have profile and seed besides.

    Returns:
        profile and seed where the tables have them, task, kind, band, quantity, epoch, value,
        onset, knee; cells without both bends are left out, and so are values that are NaN.
    """
    run = [name for name in ("profile", "seed") if name in shift]
    keys = [*run, *CELL]
    bends = shift.loc[shift["quantity"] == clock, [*keys, "onset", "knee"]].dropna()
    shapes = topology.melt([*keys, "epoch"], [entropy, "edge_jaccard"], "quantity")
    last = shapes["epoch"] == shapes.groupby(keys)["epoch"].transform("max")
    shapes = shapes[~(last & (shapes["quantity"] == "edge_jaccard"))]
    known = read[[*run, "kind", "band", "epoch", "value"]].assign(quantity="accuracy")
    # Accuracy is the same curve for every task, but each task's circuit has a clock of its own.
    known = known.merge(bends[keys], on=[*run, "kind", "band"])
    curves = pd.concat([shapes, known], ignore_index=True).dropna(subset="value")
    return curves.merge(bends, on=keys)[[*keys, "quantity", "epoch", "value", "onset", "knee"]]
