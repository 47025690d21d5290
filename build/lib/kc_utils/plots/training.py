"""The loss of a training run."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from kc_utils.plots.canvas import panels, whole_numbers
from kc_utils.plots.style import BLUE, styled
from kc_utils.plots.tables import check


@styled
def training_loss(losses: pd.DataFrame) -> Figure:
    """Next-token loss against the epoch: every step, and the mean of each epoch.

    Columns: step, epoch (fractional, 0 = start), loss (nats per token).
    """
    losses = check(losses, ["step", "epoch", "loss"], "training_loss").sort_values("step")
    figure, axes = panels()
    axis = axes[0, 0]
    axis.plot(losses["epoch"], losses["loss"], color="#9ECAE1", linewidth=1.0, label="each step")
    number = losses["epoch"].to_numpy(float).clip(min=1e-9)
    means = losses.assign(number=-(-number // 1)).groupby("number")["loss"].mean()
    axis.plot(means.index - 0.5, means, color=BLUE, marker="o", label="mean of each epoch")
    axis.set_xlabel("epoch")
    axis.set_ylabel("next-token loss (nats per token)")
    axis.set_ylim(bottom=0)
    whole_numbers(axis)
    figure.legend(loc="outside lower center", ncols=2)
    return figure
