"""How soon new facts are learned about people who are known to four degrees."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from kc_utils.plots.canvas import (
    EPOCH,
    label_outer,
    legend_below,
    line_handle,
    mark_handle,
    seed_handles,
    split,
)
from kc_utils.plots.curves import Curves, draw_means, finish
from kc_utils.plots.performance import ACCURACY
from kc_utils.plots.style import BLACK, BLUE, DOTTED, GREY, VERMILION, Look, present, styled
from kc_utils.plots.tables import check, several

_KINDS = {  # an ordered scale from light to dark, and a marker each
    "unknown": Look("#C7A938", "v", "unknown"),
    "tokens": Look("#44AA99", "D", "parts of the name"),
    "other": Look(BLUE, "s", "other relations"),
    "same": Look("#332288", "o", "the same attributes"),
}
_ANSWERS = {
    "accuracy": Look(BLACK, "o", "new value (right)"),
    "old_answer": Look(VERMILION, "s", "the person's old value"),
    "old_chance": Look(GREY, "^", "another person's old value", DOTTED, True),
}


@styled
def relevance_curves(relevance: pd.DataFrame) -> Figure:
    """First-token accuracy by kind of relevance, a panel per wording (and profile).

    Columns: epoch, kind_of_relevance, accuracy (share); optional wording, profile, seed. Several
    seeds give their mean and a 95 % t-interval.
    """
    name, keys = "relevance_curves", ["epoch", "kind_of_relevance"]
    unique = [*keys, "wording", "profile", "seed"]
    relevance = check(relevance, [*keys, "accuracy"], name, unique=unique)
    figure, axes, cells = _grid(relevance)
    spec = Curves(name, ACCURACY, colour="kind_of_relevance")
    looks = present(_KINDS, relevance["kind_of_relevance"])
    for axis, part in cells:
        draw_means(axis, part, spec, looks, "accuracy")
    return _finished(figure, axes, spec, looks, relevance)


@styled
def relevance_areas(people: pd.DataFrame) -> Figure:
    """Mean accuracy over all epochs after the start, by kind of relevance.

    Columns: kind_of_relevance, area (share); optional wording, profile, seed, pair. Small dots are
    seeds, or groups of four people when there is one seed; the large marker is their mean with its
    95 % t-interval.
    """
    people = check(people, ["kind_of_relevance", "area"], "relevance_areas")
    unit = "seed" if several(people, "seed") else "pair"
    figure, axes, cells = _grid(people)
    for axis, part in cells:
        _dots(axis, part, unit)
    label_outer(axes, "what was known", ["mean over epochs (share)"] * len(axes))
    words = f"mean, 95 % interval over {'seeds' if unit == 'seed' else 'groups'}"
    legend_below(figure, [mark_handle(Look(BLACK, "o", words))])
    return figure


@styled
def old_answers(relevance: pd.DataFrame) -> Figure:
    """What is answered about people whose same attributes were known: new, or old values.

    Columns: epoch, accuracy, old_answer, old_chance (shares); optional kind_of_relevance (only
    ``same`` is drawn), wording, profile, seed.
    """
    name, needed = "old_answers", ["epoch", *_ANSWERS]
    relevance = check(relevance, needed, name)
    if "kind_of_relevance" in relevance:
        relevance = relevance[relevance["kind_of_relevance"] == "same"]
    unique = ["epoch", "wording", "profile", "seed"]
    relevance = check(relevance, needed, name, unique=unique)
    figure, axes, cells = _grid(relevance)
    spec = Curves(name, "answers (share)", colour=None)
    for axis, part in cells:
        for column, look in _ANSWERS.items():
            draw_means(axis, part, spec, {column: look}, column)
    return _finished(figure, axes, spec, _ANSWERS, relevance)


def _grid(frame: pd.DataFrame) -> tuple[Figure, np.ndarray, list[tuple[Axes, pd.DataFrame]]]:
    """Blank panels: a row per profile when there are several, a column per wording."""
    figure, axes, cells = split(frame, several(frame, "profile"), "wording", height=2.8)
    for axis in axes.flat:
        axis.set_title(axis.get_title().replace("\n", ", "))
    return figure, axes, cells


def _finished(
    figure: Figure, axes: np.ndarray, spec: Curves, looks: dict[str, Look], frame: pd.DataFrame
) -> Figure:
    finish(axes, spec)
    label_outer(axes, EPOCH, [spec.ylabel] * len(axes))
    found: list[Artist] = [line_handle(look) for look in looks.values()]
    legend_below(figure, found + seed_handles(frame))
    return figure


def _dots(axis: Axes, part: pd.DataFrame, unit: str) -> None:
    """Units as small dots beside the mean of each kind."""
    keys = ["kind_of_relevance", *([unit] if unit in part else [])]
    units = part.groupby(keys, as_index=False)["area"].mean() if unit in part else part
    looks = present(_KINDS, part["kind_of_relevance"])
    for place, (kind, look) in enumerate(looks.items()):
        values = units.loc[units["kind_of_relevance"] == kind, "area"].to_numpy(float)
        n = len(values)
        beside = place + np.linspace(0.14, 0.32, n)
        axis.plot(beside, values, ".", color=look.colour, markersize=4, alpha=0.55)
        half = stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan
        axis.errorbar(
            place, values.mean(), yerr=half, color=look.colour, marker=look.marker, markersize=7,
            linewidth=2, capsize=3,
        )  # fmt: skip
    words = [look.label.replace(" ", "\n") for look in looks.values()]
    axis.set_xticks(range(len(words)), words)
    axis.set_xlim(-0.4, len(words) - 0.4)
    axis.set_ylim(bottom=0)
    axis.grid(axis="x", visible=False)
