"""How soon new facts are learned about people who are known to four degrees."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from kc_utils.analysis.stats.seeds import seed_means
from kc_utils.plots.canvas import (
    EPOCH,
    interval_handle,
    label_outer,
    legend_below,
    line_handle,
    panels,
)
from kc_utils.plots.curves import Curves, draw_curve, finish, select
from kc_utils.plots.style import BLACK, GREY, Look, label_of, ordered, styled
from kc_utils.plots.tables import check, check_unique

ACCURACY = "first-token accuracy (share)"
_KINDS = {  # an ordered scale from light to dark, and a marker each
    "unknown": Look("#C7A938", "v", "unknown"),
    "tokens": Look("#44AA99", "D", "parts of the name"),
    "other": Look("#0072B2", "s", "other relations"),
    "same": Look("#332288", "o", "the same attributes"),
}
_ANSWERS = {
    "accuracy": Look(BLACK, "o", "new value (right)"),
    "old_answer": Look("#D55E00", "s", "the person's old value"),
    "old_chance": Look(GREY, "^", "another person's old value", (0, (1.5, 1.2)), True),
}
_SEEDS = ("profile", "seed")


@styled
def relevance_curves(relevance: pd.DataFrame) -> Figure:
    """First-token accuracy by kind of relevance, a panel per wording (and profile).

    Columns: epoch, kind_of_relevance, accuracy (share); optional wording, profile, seed. Several
    seeds give their mean and a 95 % t-interval.
    """
    name = "relevance_curves"
    relevance = check(relevance, ["epoch", "kind_of_relevance", "accuracy"], name)
    figure, axes, cells = _grid(relevance, name, ["epoch", "kind_of_relevance"])
    spec = Curves(name, ACCURACY)
    for axis, part in cells:
        table = seed_means(part, ["epoch", "kind_of_relevance"], "accuracy")
        for kind in _present(table):
            draw_curve(axis, table[table["kind_of_relevance"] == kind], spec, _KINDS[kind])
    finish(axes, spec)
    label_outer(axes, EPOCH, [ACCURACY] * len(axes))
    handles = [line_handle(_KINDS[kind]) for kind in _present(relevance)]
    legend_below(figure, handles + _interval(relevance))
    return figure


@styled
def relevance_areas(people: pd.DataFrame) -> Figure:
    """Mean accuracy over all epochs after the start, by kind of relevance.

    Columns: kind_of_relevance, area (share); optional wording, profile, seed, pair. Small dots are
    seeds, or pairs of people when there is one seed; the large marker is the mean with its 95 %
    t-interval over them.
    """
    name = "relevance_areas"
    people = check(people, ["kind_of_relevance", "area"], name)
    unit = "seed" if _n_seeds(people) > 1 else "pair"
    figure, axes, cells = _grid(people, name, [])
    for axis, part in cells:
        _dots(axis, part, unit)
    label = "mean over epochs (share)"
    label_outer(axes, "what was known", [label] * len(axes))
    words = "mean, 95 % interval over seeds" if unit == "seed" else "mean, 95 % interval over pairs"
    legend_below(figure, [line_handle(Look(BLACK, "o", words, ""))])
    return figure


@styled
def old_answers(relevance: pd.DataFrame) -> Figure:
    """What is answered about people whose same attributes were known: new, or old values.

    Columns: epoch, accuracy, old_answer, old_chance (shares); optional kind_of_relevance (only
    ``same`` is drawn), wording, profile, seed.
    """
    name = "old_answers"
    relevance = check(relevance, ["epoch", *_ANSWERS], name)
    if "kind_of_relevance" in relevance:
        same = relevance[relevance["kind_of_relevance"] == "same"]
        relevance = check(same, ["epoch", *_ANSWERS], name)
    figure, axes, cells = _grid(relevance, name, ["epoch"])
    spec = Curves(name, "answers (share)")
    for axis, part in cells:
        for column, look in _ANSWERS.items():
            draw_curve(axis, seed_means(part, ["epoch"], column), spec, look)
    finish(axes, spec)
    label_outer(axes, EPOCH, [spec.ylabel] * len(axes))
    handles = [line_handle(look) for look in _ANSWERS.values()]
    legend_below(figure, handles + _interval(relevance))
    return figure


def _grid(
    frame: pd.DataFrame, name: str, keys: list[str]
) -> tuple[Figure, np.ndarray, list[tuple[Axes, pd.DataFrame]]]:
    """Blank panels, a row per profile and a column per wording, each with its rows of the table."""
    others = [c for c in ("wording", *_SEEDS) if c in frame]
    if keys:
        check_unique(frame, [*keys, *others], name)
    profiles = ordered("profile", frame["profile"]) if "profile" in frame else [None]
    wordings = ordered("wording", frame["wording"]) if "wording" in frame else [None]
    figure, axes = panels(len(profiles), len(wordings), height=2.8)
    cells = []
    for row, profile in zip(axes, profiles, strict=True):
        for axis, wording in zip(row, wordings, strict=True):
            part = select(frame, "profile" if profile else None, profile)
            cells.append((axis, select(part, "wording" if wording else None, wording)))
            several = profile if len(profiles) > 1 else None
            named = (several, label_of("wording", wording) if wording else None)
            axis.set_title(", ".join(word for word in named if word))
    return figure, axes, cells


def _dots(axis: Axes, part: pd.DataFrame, unit: str) -> None:
    """Units as small dots beside the mean of each kind."""
    keys = ["kind_of_relevance", *([unit] if unit in part else [])]
    units = part.groupby(keys, as_index=False)["area"].mean() if unit in part else part
    kinds = _present(part)
    for place, kind in enumerate(kinds):
        values = units.loc[units["kind_of_relevance"] == kind, "area"].to_numpy(float)
        look, n = _KINDS[kind], len(values)
        beside = place + np.linspace(0.14, 0.32, n)
        axis.plot(beside, values, ".", color=look.colour, markersize=4, alpha=0.55)
        half = stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan
        axis.errorbar(
            place, values.mean(), yerr=half, color=look.colour, marker=look.marker, markersize=7,
            linewidth=2, capsize=3,
        )  # fmt: skip
    axis.set_xticks(range(len(kinds)), [_KINDS[k].label.replace(" ", "\n") for k in kinds])
    axis.set_xlim(-0.4, len(kinds) - 0.4)
    axis.set_ylim(bottom=0)
    axis.grid(axis="x", visible=False)


def _present(frame: pd.DataFrame) -> list[str]:
    return [kind for kind in _KINDS if kind in set(frame["kind_of_relevance"])]


def _n_seeds(frame: pd.DataFrame) -> int:
    return frame["seed"].nunique() if "seed" in frame else 1


def _interval(frame: pd.DataFrame) -> list:
    return [interval_handle("95 % interval over seeds")] if _n_seeds(frame) > 1 else []
