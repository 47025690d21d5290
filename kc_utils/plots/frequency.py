"""Accuracy against the number of exposures, as points with a fitted curve."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from statsmodels.stats.proportion import proportion_confint

from kc_utils.analysis.stats.frequency import predict
from kc_utils.analysis.stats.seeds import seed_means
from kc_utils.plots.canvas import label_outer, legend_below, line_handle, panels
from kc_utils.plots.style import GREY, LOOKS, label_of, looks_for, ordered, styled
from kc_utils.plots.tables import check, check_unique

_NEEDED = ["kind", "frequency", "accuracy", "n_people"]


@styled
def frequency_curve(curve: pd.DataFrame, fits: pd.DataFrame | None = None) -> Figure:
    """First-token accuracy against the biographies of a person, a panel per wording (and profile).

    Columns: kind, frequency (the largest stands for that and more), accuracy (share), n_people;
    optional mean_frequency, wording, profile, seed. One run has Wilson intervals in which a person
    counts once, several seeds their mean with a 95 % t-interval. ``fits`` (the columns of
    ``kc_utils.analysis.stats.frequency.fit_each`` over kind, and wording and profile where there
    are any) adds the best curve of each group.
    """
    name = "frequency_curve"
    curve = check(curve, _NEEDED, name)
    rows, columns = (c if c in curve else None for c in ("profile", "wording"))
    keys = ["kind", "frequency", *[c for c in ("profile", "wording", "seed") if c in curve]]
    check_unique(curve, keys, name)
    row_values = ordered("profile", curve[rows]) if rows else [None]
    column_values = ordered("wording", curve[columns]) if columns else [None]
    figure, axes = panels(len(row_values), len(column_values))
    for i, row in enumerate(row_values):
        for j, column in enumerate(column_values):
            at = {c: v for c, v in ((rows, row), (columns, column)) if c}
            _panel(axes[i, j], _where(curve, at), None if fits is None else _where(fits, at))
            axes[i, j].set_title("\n".join(_title(c, v) for c, v in at.items()))
    axes[0, 0].set_ylim(0, min(1.05, axes[0, 0].get_ylim()[1]))
    label_outer(axes, "biographies per person", ["first-token accuracy (share)"] * len(row_values))
    seeds = curve["seed"].nunique() if "seed" in curve else 1
    over = "95 % interval over seeds" if seeds > 1 else "95 % interval over people"
    looks = looks_for("kind", curve["kind"]).values()
    whisker = Line2D([], [], color=GREY, marker="|", markersize=11, linestyle="", label=over)
    legend_below(figure, [*(line_handle(look) for look in looks), whisker])
    return figure


def _title(column: str, value: object) -> str:
    return str(value) if column == "profile" else label_of(column, value)


def _where(frame: pd.DataFrame, at: dict[str, object]) -> pd.DataFrame:
    for column, value in at.items():
        if column in frame:
            frame = frame[frame[column] == value]
    return frame


def _panel(axis: Axes, part: pd.DataFrame, fits: pd.DataFrame | None) -> None:
    for kind in ordered("kind", part["kind"]):
        look, rows = LOOKS["kind"][kind], part[part["kind"] == kind]
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
    if "seed" in rows and rows["seed"].nunique() > 1:
        return points.sort_values("x")
    counts = rows.set_index("frequency")["n_people"].reindex(points["frequency"]).to_numpy()
    right = points["value"].to_numpy() * counts
    low, high = proportion_confint(right, counts, method="wilson")
    return points.assign(low=low, high=high).sort_values("x")
