"""How well a model answers: while it trains, at the end, by frequency, and about strangers."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from statsmodels.stats.proportion import proportion_confint

from kc_utils.analysis.stats.frequency import predict
from kc_utils.analysis.stats.seeds import seed_means
from kc_utils.plots.canvas import (
    EPOCH,
    OVER_SEEDS,
    chance_handle,
    chance_line,
    label_outer,
    legend_below,
    line_handle,
    panels,
    seed_handles,
    split,
)
from kc_utils.plots.curves import (
    Curves,
    draw_beside,
    draw_curve,
    draw_figure,
    draw_means,
    finish,
)
from kc_utils.plots.style import (
    BLACK,
    GREY,
    LOOKS,
    Look,
    looks_for,
    present,
    styled,
)
from kc_utils.plots.tables import check, groups, several

ACCURACY = "first-token accuracy (share)"
_GROUPS = {**LOOKS["kind"], "unseen": Look(BLACK, "^", "never written about")}
_PUBLISHED = {"gpt2": "GPT-2 Small", "gpt2-medium": "GPT-2 Medium", "phi-1.5": "Phi-1.5"}
_CONFIDENCE = {  # what is drawn, and the level of a guesser who knows the values
    "entropy": ("entropy (nats)", "guess_entropy"),
    "accuracy": ("accuracy (share)", "guess_accuracy"),
    "confident_wrong": ("confident and wrong (share)", None),
}


@styled
def accuracy_curves(acc: pd.DataFrame, chance: float | None = None, panel: str = "band") -> Figure:
    """First-token accuracy of K_rel and K_compl, one panel per frequency band (or ``panel``).

    Columns: epoch, kind, value (share); optional the panel's, wording, low, high, chance.
    """
    spec = Curves(
        "accuracy_curves", ACCURACY, line="wording", columns=panel, chance=chance, height=2.4
    )
    return draw_figure(acc, spec, ("kind",))


@styled
def accuracy_overview(
    kinds: pd.DataFrame,
    bands: pd.DataFrame,
    published: pd.DataFrame,
    model: str = "gpt2",
    chance: float | None = None,
) -> Figure:
    """First-token accuracy by kind of subject, by frequency band, and as published.

    Args:
        kinds: columns epoch, kind, value (share); optional low, high, chance.
        bands: columns epoch, band, value; optional low, high, chance.
        published: columns model, kind, epoch, accuracy, as :func:`published` has them; drawn on
            the epoch axis of the paper's own run.
        model: the published model that is drawn.
        chance: accuracy (share) of a guess, as a dotted line.
    """
    name = "accuracy_overview"
    published = check(published, ["model", "kind", "epoch", "accuracy"], name)
    figure, axes = panels(1, 3, height=2.7, sharex=False)
    parts = {
        "kind": (kinds, "this run,\nknown or new subjects"),
        "band": (bands, "this run,\nby frequency"),
    }
    spec = Curves(name, ACCURACY, columns=None, chance=chance)
    found = draw_beside(axes[0, :2], parts, spec)
    _published_panel(axes[0, 2], published[published["model"] == model], model)
    finish(axes, spec)
    axes[0, 0].set_ylabel(ACCURACY)
    legend_below(figure, found)
    return figure


def _published_panel(axis: Axes, curves: pd.DataFrame, model: str) -> None:
    check(curves, ["kind"], f"accuracy_overview for the published model {model!r}")
    spec = Curves("accuracy_overview", ACCURACY, y="accuracy")
    for kind, curve in curves.groupby("kind", sort=False):
        draw_curve(axis, curve, spec, replace(LOOKS["kind"][kind], hollow=True))
    axis.set_title(f"published,\n{_PUBLISHED.get(model, model)}")
    axis.set_xlabel("epoch (paper)")
    axis.set_facecolor("#F5F5F5")


@styled
def lead_curve(lead: pd.DataFrame, ylabel: str = "K_rel minus K_compl (share)") -> Figure:
    """Difference of the two kinds over training; the dotted line at 0 is no lead.

    Columns: epoch, value (share); optional band (one panel each), low, high.
    """
    look = {"colour": None, "from_zero": False, "chance": 0.0, "chance_label": "no lead"}
    return draw_figure(lead, Curves("lead_curve", ylabel, height=2.0, **look))


@styled
def frequency_curve(curve: pd.DataFrame, fits: pd.DataFrame | None = None) -> Figure:
    """First-token accuracy against the biographies of a person, a panel per wording (and profile).

    Columns: kind, frequency (the largest stands for that and more), accuracy (share), n_people;
    optional mean_frequency, wording, profile, seed. One run has Wilson intervals in which a person
    counts once, several seeds their mean with a 95 % t-interval. ``fits`` (the columns of
    ``kc_utils.analysis.stats.frequency.fit_each`` over kind, and wording and profile where there
    are any) adds the best curve of each group.
    """
    needed, name = ["kind", "frequency", "accuracy", "n_people"], "frequency_curve"
    keys = ["kind", "frequency", "profile", "wording", "seed"]
    curve = check(curve, needed, name, unique=keys)
    figure, axes, cells = split(curve, "profile", "wording", height=2.3)
    for axis, part in cells:
        _points_and_fits(axis, part, None if fits is None else _alike(fits, part))
    axes[0, 0].set_ylim(0, min(1.05, axes[0, 0].get_ylim()[1]))
    label_outer(axes, "biographies per person", [ACCURACY] * len(axes))
    over = OVER_SEEDS if several(curve, "seed") else "95 % interval over people"
    looks = looks_for("kind", curve["kind"]).values()
    whisker = Line2D([], [], color=GREY, marker="|", markersize=11, linestyle="", label=over)
    legend_below(figure, [*(line_handle(look) for look in looks), whisker])
    return figure


def _alike(fits: pd.DataFrame, part: pd.DataFrame) -> pd.DataFrame:
    """The fits of the profile and wording of a panel."""
    for column in ("profile", "wording"):
        if column in fits and column in part:
            fits = fits[fits[column].isin(part[column])]
    return fits


def _points_and_fits(axis: Axes, part: pd.DataFrame, fits: pd.DataFrame | None) -> None:
    for kind, rows in groups(part, "kind"):
        look = LOOKS["kind"][kind]
        points = _points(rows)
        x, y = points["x"].to_numpy(float), points["value"].to_numpy(float)
        errors = np.clip([y - points["low"], points["high"] - y], 0, None)
        style = {"color": look.colour, "marker": look.marker, "linestyle": "", "capsize": 2}
        axis.errorbar(x, y, np.nan_to_num(errors), linewidth=1.0, **style)
        if fits is None or not (fits["kind"] == kind).any():
            axis.plot(x, y, color=look.colour, linewidth=1.0)
            continue
        best = fits[fits["kind"] == kind].sort_values("qaic").iloc[0]
        grid = np.geomspace(x.min(), x.max(), 100)
        axis.plot(grid, predict(best, grid), color=look.colour)
    axis.set_xscale("log", base=2)
    levels = [1, 2, 4, 8]
    axis.set_xticks(levels, [str(level) for level in levels])


def _points(rows: pd.DataFrame) -> pd.DataFrame:
    """Where each point stands: x (mean frequency), value, low, high."""
    x = "mean_frequency" if "mean_frequency" in rows else "frequency"
    where = rows.groupby("frequency")[x].mean().rename("x").reset_index()
    points = seed_means(rows, ["frequency"], "accuracy").merge(where, on="frequency")
    if several(rows, "seed"):
        return points.sort_values("x")
    counts = rows.set_index("frequency")["n_people"].reindex(points["frequency"]).to_numpy()
    right = points["value"].to_numpy() * counts
    low, high = proportion_confint(right, counts, method="wilson")
    return points.assign(low=low, high=high).sort_values("x")


@styled
def confidence_curves(unseen: pd.DataFrame) -> Figure:
    """Entropy, accuracy and confident wrong answers of the next token, a line per group.

    Columns: epoch, group (K_rel, K_compl, unseen), entropy (nats), accuracy, confident_wrong
    (shares); optional attribute (averaged), guess_entropy, guess_accuracy (dotted: a guesser who
    knows which values there are), profile (a row each), seed (mean and 95 % t-interval).
    """
    name, keys = "confidence_curves", ["epoch", "group", "profile", "seed", "attribute"]
    unseen = check(unseen, ["epoch", "group", *_CONFIDENCE], name, unique=keys)
    profiles = several(unseen, "profile")
    rows = list(dict.fromkeys(unseen["profile"])) if profiles else [None]
    figure, axes = panels(len(rows), len(_CONFIDENCE), height=2.3, sharey=False)
    spec, looks = Curves(name, "", colour="group"), present(_GROUPS, unseen["group"])
    for row, profile in zip(axes, rows, strict=True):
        part = unseen if profile is None else unseen[unseen["profile"] == profile]
        for axis, (quantity, (label, level)) in zip(row, _CONFIDENCE.items(), strict=True):
            draw_means(axis, part, spec, looks, quantity)
            if level in part:
                chance_line(axis, part[level].mean())
            title = label.replace(" (", "\n(")
            axis.set_title(title if profile is None else f"{profile}\n{title}")
    finish(axes, spec)
    for axis in axes.flat:
        axis.set_ylim(bottom=0)
    label_outer(axes, EPOCH, [""] * len(axes))
    found: list[Artist] = [line_handle(look) for look in looks.values()]
    if "guess_entropy" in unseen:
        found.append(chance_handle("guess that knows the values"))
    legend_below(figure, found + seed_handles(unseen))
    return figure


def published() -> pd.DataFrame:
    """First-token accuracy of the paper's four models against the epoch of their runs.

    Columns: model, kind (K_rel, K_compl), epoch (0 = before training), accuracy (share).
    Source: the notebooks published with Ou et al. 2025, arXiv:2502.11196.
    """
    path = files("kc_utils") / "data" / "published" / "first_token_accuracy.json"
    models = json.loads(path.read_text(encoding="utf-8"))["models"]
    parts = [
        pd.DataFrame({"model": m, "kind": kind, "epoch": c["epoch"], "accuracy": c[kind]})
        for m, c in models.items()
        for kind in ("K_rel", "K_compl")
    ]
    return pd.concat(parts, ignore_index=True)
