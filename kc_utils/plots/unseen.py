"""How sure a model is of people it knows, and of people whom nobody ever wrote about."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kc_utils.analysis.stats.seeds import seed_means
from kc_utils.plots.canvas import (
    EPOCH,
    chance_handle,
    interval_handle,
    label_outer,
    legend_below,
    line_handle,
    panels,
)
from kc_utils.plots.curves import Curves, draw_curve, finish
from kc_utils.plots.style import BLACK, GREY, LOOKS, Look, styled
from kc_utils.plots.tables import check, check_unique

_GROUPS = {**LOOKS["kind"], "unseen": Look(BLACK, "^", "never written about")}
_QUANTITIES = {  # what is drawn, and the level of a guesser who knows the values
    "entropy": ("entropy (nats)", "guess_entropy"),
    "accuracy": ("accuracy (share)", "guess_accuracy"),
    "confident_wrong": ("confident and wrong (share)", None),
}


@styled
def confidence_curves(unseen: pd.DataFrame) -> Figure:
    """Entropy, accuracy and confident wrong answers of the next token, a line per group.

    Columns: epoch, group (K_rel, K_compl, unseen), entropy (nats), accuracy, confident_wrong
    (shares); optional attribute (averaged), guess_entropy, guess_accuracy (dotted: a guesser who
    knows which values there are), profile (a row each), seed (mean and 95 % t-interval).
    """
    name = "confidence_curves"
    unseen = check(unseen, ["epoch", "group", *_QUANTITIES], name)
    given = [c for c in ("profile", "seed", "attribute") if c in unseen]
    check_unique(unseen, ["epoch", "group", *given], name)
    several = "profile" in unseen and unseen["profile"].nunique() > 1
    profiles = list(dict.fromkeys(unseen["profile"])) if several else [None]
    figure, axes = panels(len(profiles), len(_QUANTITIES), sharey=False)
    for row, profile in zip(axes, profiles, strict=True):
        part = unseen if profile is None else unseen[unseen["profile"] == profile]
        for axis, (quantity, (label, level)) in zip(row, _QUANTITIES.items(), strict=True):
            _panel(axis, part, quantity, level)
            title = label.replace(" (", "\n(")
            axis.set_title(title if profile is None else f"{profile}\n{title}")
    finish(axes, Curves(name, ""))
    for axis in axes.flat:
        axis.set_ylim(bottom=0)
    label_outer(axes, EPOCH, [""] * len(profiles))
    found = [line_handle(look) for group, look in _GROUPS.items() if group in set(unseen["group"])]
    if "guess_entropy" in unseen:
        found.append(chance_handle("guess that knows the values"))
    if "seed" in unseen and unseen["seed"].nunique() > 1:
        found.append(interval_handle("95 % interval over seeds"))
    legend_below(figure, found)
    return figure


def _panel(axis: Axes, part: pd.DataFrame, quantity: str, level: str | None) -> None:
    means = seed_means(part, ["epoch", "group"], quantity)
    spec = Curves("confidence_curves", "")
    for group, look in _GROUPS.items():
        curve = means[means["group"] == group]
        if len(curve):
            draw_curve(axis, curve, spec, look)
    if level in part:
        axis.axhline(part[level].mean(), color=GREY, linestyle=":", linewidth=1.4, zorder=1)
