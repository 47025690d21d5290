"""The logit lens: rank and probability of a token after every layer."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from kc_utils.errors import KcError
from kc_utils.plots.canvas import label_outer, legend_below, line_handle, plain_log, split
from kc_utils.plots.curves import Curves, draw_curve, epoch_looks
from kc_utils.plots.heat import layer_maps
from kc_utils.plots.style import HEAT, styled
from kc_utils.plots.tables import check, choose

LAYER = "after layer (0 = embedding)"
LABELS = {"rank": "rank (1 = best, log scale)", "probability": "probability (share)"}


@styled
def logit_lens_rank(lens: pd.DataFrame) -> Figure:
    """Heat map of the right token's rank: layer (deep at top) x epoch, one panel per position.

    Columns: epoch, layer, value (mean log10 rank; the column may also be called log10_rank);
    optional position (last, subject).
    """
    lens = _checked(lens, "rank", "logit_lens_rank")
    look = {"ylabel": LAYER, "label": LABELS["rank"], "row": 0.28, "cmap": f"{HEAT}_r"}
    figure, bar = layer_maps(lens, "position", "value", **look)
    whole = range(int(bar.vmax) + 1)
    bar.set_ticks([*whole], labels=[f"{10**i:,}" for i in whole])
    bar.ax.invert_yaxis()
    return figure


@styled
def logit_lens_lines(
    lens: pd.DataFrame, quantity: str = "rank", epochs: Sequence[int | float] | None = None
) -> Figure:
    """Lines over layers for a few checkpoints; by default the first, middle and last.

    Columns: epoch, layer, value (mean log10 rank, or probability; or the columns log10_rank and
    probability); optional position, low, high (in the unit of value).
    """
    name = "logit_lens_lines"
    lens = _checked(lens, quantity, name)
    looks = epoch_looks(choose(lens, "epoch", epochs, name))
    if quantity == "rank":
        columns = [c for c in ("value", "low", "high") if c in lens]
        lens = lens.assign(**{c: 10.0 ** lens[c] for c in columns})
    figure, axes, cells = split(lens, None, "position")
    for axis, part in cells:
        for epoch, look in looks.items():
            draw_curve(axis, part[part["epoch"] == epoch], Curves(name, "", x="layer"), look)
        axis.xaxis.get_major_locator().set_params(integer=True)
    if quantity == "rank":
        plain_log(axes[0, 0], "y")
        axes[0, 0].invert_yaxis()
    label_outer(axes, LAYER, [LABELS[quantity]])
    legend_below(figure, [line_handle(look) for look in looks.values()])
    return figure


def _checked(lens: pd.DataFrame, quantity: str, name: str) -> pd.DataFrame:
    if quantity not in LABELS:
        raise KcError(f"quantity is {quantity!r}; allowed are {', '.join(LABELS)}.")
    column = {"rank": "log10_rank", "probability": "probability"}[quantity]
    if "value" not in lens and column in lens:
        lens = lens.assign(value=lens[column])
    keys = ["epoch", "layer", "position"]
    return check(lens, ["epoch", "layer", "value"], name, unique=keys)
