"""The made-up world and training on it: frequencies of people, lengths of texts, the loss."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from kc_utils.plots.canvas import label_outer, legend_below, panels, split, whole_numbers
from kc_utils.plots.style import BLUE, LOOKS, looks_for, styled
from kc_utils.plots.tables import check, groups

_BARS = {"color": BLUE, "edgecolor": "white", "linewidth": 0.6}
_HATCHES = {"high": "", "medium": "///", "low": "..."}


@styled
def frequency_histogram(people: pd.DataFrame) -> Figure:
    """How many people have how many biographies, coloured by band, one panel per kind.

    Columns: kind, frequency (biographies), band.
    """
    people = check(people, ["kind", "frequency", "band"], "frequency_histogram")
    figure, axes, cells = split(people, None, "kind", sharey=False)
    looks = looks_for("band", people["band"])
    for axis, part in cells:
        for band, look in looks.items():
            counts = part.loc[part["band"] == band, "frequency"].value_counts()
            style = {**_BARS, "color": look.colour, "hatch": _HATCHES.get(band, "")}
            axis.bar(counts.index, counts, width=0.9, **style)
        whole_numbers(axis)
        mean = part["frequency"].mean()
        axis.set_title(f"{axis.get_title()}\n{len(part):,} people, mean {mean:.2f}")
    label_outer(axes, "frequency (biographies per person)", ["people (count)"])
    found = [
        Patch(facecolor=look.colour, edgecolor="white", hatch=_HATCHES.get(b, ""), label=look.label)
        for b, look in looks.items()
    ]
    legend_below(figure, found)
    return figure


@styled
def biography_lengths(biographies: pd.DataFrame) -> Figure:
    """Histogram of the lengths of biographies.

    Columns: n_tokens (tokens), or else text (whose characters are counted).
    """
    in_tokens = "n_tokens" in biographies
    column = "n_tokens" if in_tokens else "text"
    biographies = check(biographies, [column], "biography_lengths")
    lengths = biographies[column] if in_tokens else biographies[column].str.len()
    figure, axes = panels()
    axis = axes[0, 0]
    low, high = lengths.min(), lengths.max() + 1
    axis.hist(lengths, bins=np.linspace(low, high, min(40, int(high - low)) + 1), **_BARS)
    axis.axvline(lengths.mean(), color="black", linestyle="--", label=f"mean {lengths.mean():.1f}")
    axis.set_xlabel(f"length of a biography ({'tokens' if in_tokens else 'characters'})")
    axis.set_ylabel("biographies (count)")
    legend_below(figure, axis.get_legend_handles_labels()[0])
    return figure


@styled
def pair_lengths(pairs: pd.DataFrame) -> Figure:
    """Histogram of the token lengths of prompts, one panel per kind.

    Columns: clean_ids (list of token ids) or n_tokens; optional kind.
    """
    column = "n_tokens" if "n_tokens" in pairs else "clean_ids"
    pairs = check(pairs, [column], "pair_lengths")
    pairs = pairs.assign(length=pairs[column].map(len) if column == "clean_ids" else pairs[column])
    figure, axes, cells = split(pairs, None, "kind")
    looks = [LOOKS["kind"].get(kind) for kind, _ in groups(pairs, "kind")]
    for (axis, part), look in zip(cells, looks, strict=True):
        counts = part["length"].value_counts()
        colour = {"color": look.colour} if look else {}
        axis.bar(counts.index, counts, width=0.9, **{**_BARS, **colour})
    label_outer(axes, "prompt length (tokens)", ["pairs (count)"])
    return figure


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
