"""Gain of log-probability after exposures, its decay, and what is left at the end."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from kc_utils.analysis.stats.seeds import seed_means
from kc_utils.plots.canvas import (
    chance_handle,
    chance_line,
    interval_handle,
    label_outer,
    legend_below,
    line_handle,
    mark_handle,
    panels,
    split,
)
from kc_utils.plots.style import (
    BLACK,
    BLUE,
    DASHED,
    GREY,
    LOOKS,
    ORANGE,
    VERMILION,
    Look,
    label_of,
    present,
    styled,
)
from kc_utils.plots.tables import check, groups, several

GROUPS = {
    "once": Look(BLACK, "o", "once"),
    "repeated": Look(VERMILION, "s", "repeated text"),
    "varied": Look(BLUE, "^", "varied wording"),
}
WORDINGS = {
    "seen": Look(ORANGE, "D", "the text itself"),
    "trained": replace(LOOKS["wording"]["trained"], label="query, trained wording"),
    "held_out": replace(LOOKS["wording"]["held_out"], label="query, held-out wording"),
}
_COLUMNS = ["group", "wording", "since", "gain"]
_GAIN = "gain (nats)"
_STRANGERS = "people never shown"


@styled
def exposure_curves(gains: pd.DataFrame, fits: pd.DataFrame | None = None) -> Figure:
    """Gain in log-probability against steps since the last exposure, a panel per wording.

    Columns: group (once, repeated, varied), wording (seen, trained, held_out), since (steps, 0 or
    more), gain (nats); optional low, high (interval over people of one run); optional profile
    (a row of panels each), seed: several seeds give their mean with a 95 % t-interval. ``fits``
    ((profile,) group, wording, since, gain) adds dashed curves. The axis is logarithmic in
    1 + since.
    """
    name = "exposure_curves"
    gains = exposure_means(check(gains, _COLUMNS, name), name)
    wordings, looks = present(WORDINGS, gains["wording"]), present(GROUPS, gains["group"])
    rows = [*groups(gains, "profile")]
    figure, axes = panels(len(rows), len(wordings), height=2.7)
    for row, (profile, part) in zip(axes, rows, strict=True):
        for axis, (wording, title) in zip(row, wordings.items(), strict=True):
            chance_line(axis, 0.0)
            for group, look in looks.items():
                _curve(axis, _rows(part, wording=wording, group=group), look)
                if fits is not None:
                    _fit(axis, _rows(fits, profile=profile, wording=wording, group=group), look)
            first = profile is not None and axis is row[0]
            named = f"{label_of('profile', profile)}\n" if first else ""
            axis.set_title(f"{named}{title.label}")
            _log_steps(axis, int(gains["since"].max()))
    label_outer(axes, "steps since the last exposure", [_GAIN] * len(rows))
    found: list[Artist] = [line_handle(look) for look in looks.values()]
    if fits is not None:
        style = {"color": BLACK, "linestyle": DASHED, "linewidth": 1.2}
        found.append(Line2D([], [], label="fitted law", **style))
    found.append(chance_handle(_STRANGERS))
    if {"low", "high"} <= set(gains):
        found.append(interval_handle())
    legend_below(figure, found)
    return figure


@styled
def exposure_retained(gains: pd.DataFrame) -> Figure:
    """Gain that is left at the last measurement, by group and wording, with 95 % intervals.

    Columns as in :func:`exposure_curves`, a panel per profile; each seed of several is a small dot.
    """
    name = "exposure_retained"
    gains = check(gains, _COLUMNS, name)
    last = gains[gains["since"] == gains["since"].max()]
    means = exposure_means(last, name)
    looks, wordings = present(GROUPS, last["group"]), present(WORDINGS, last["wording"])
    figure, axes, cells = split(last, None, "profile", height=2.6)
    for (axis, part), (_, mean) in zip(cells, groups(means, "profile"), strict=True):
        chance_line(axis, 0.0)
        for (i, group), (j, (wording, look)) in product(
            enumerate(looks), enumerate(wordings.items())
        ):
            at = i + 0.2 * (j - (len(wordings) - 1) / 2)
            place = {"group": group, "wording": wording}
            _dot(axis, at, _rows(mean, **place), _rows(part, **place), look)
        axis.set_xticks(range(len(looks)), [look.label for look in looks.values()])
        axis.set_xlim(-0.5, len(looks) - 0.5)
        axis.grid(axis="x", visible=False)
    label_outer(axes, "", [f"retained {_GAIN}"])
    legend_below(figure, [*map(mark_handle, wordings.values()), chance_handle(_STRANGERS)])
    return figure


def exposure_means(gains: pd.DataFrame, name: str = "exposure_means") -> pd.DataFrame:
    """Mean over seeds with a 95 % t-interval: (profile,) group, wording, since, gain, low, high.

    A single run, or a single seed of a sweep, keeps its own interval over people.

    Raises:
        KcError: several rows for one point of one seed.
    """
    keys = [c for c in ("profile", "group", "wording", "since") if c in gains]
    gains = check(gains, keys, name, unique=[*keys, "seed"])
    if not several(gains, "seed"):
        return gains
    return seed_means(gains, keys, "gain").rename(columns={"value": "gain"})


def _rows(frame: pd.DataFrame, **values: str | None) -> pd.DataFrame:
    """Rows with these values, by delay; None takes every row."""
    for column, value in values.items():
        if value is not None and column in frame:
            frame = frame[frame[column] == value]
    return frame.sort_values("since")


def _curve(axis: Axes, curve: pd.DataFrame, look: Look) -> None:
    x = 1 + curve["since"].to_numpy(float)
    if {"low", "high"} <= set(curve):
        style = {"color": look.colour, "alpha": 0.16, "linewidth": 0, "zorder": 1.5}
        axis.fill_between(x, curve["low"], curve["high"], **style)
    axis.plot(x, curve["gain"], color=look.colour, marker=look.marker, linestyle=look.line)


def _fit(axis: Axes, curve: pd.DataFrame, look: Look) -> None:
    style = {"color": look.colour, "linestyle": DASHED, "linewidth": 1.2, "zorder": 3}
    axis.plot(1 + curve["since"], curve["gain"], **style)


def _log_steps(axis: Axes, last: int) -> None:
    """A log axis of 1 + steps whose ticks are the steps themselves."""
    axis.set_xscale("log")
    steps = [0, *(step for step in (1, 3, 8, 16, 32, 64, 128, 256, 512) if step <= last)]
    axis.xaxis.set_major_locator(FixedLocator([1 + step for step in steps]))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x - 1:g}"))


def _dot(axis: Axes, at: float, mean: pd.DataFrame, seeds: pd.DataFrame, look: Look) -> None:
    if mean.empty:
        return
    row = mean.iloc[0]
    style = {"color": look.colour, "marker": look.marker, "linestyle": ""}
    if {"low", "high"} <= set(mean):
        axis.plot([at, at], [row["low"], row["high"]], color=look.colour, linewidth=1.4)
    if len(seeds) > 1:
        axis.plot([at + 0.06] * len(seeds), seeds["gain"], color=GREY, marker=".", linestyle="")
    face = "white" if look.hollow else look.colour
    axis.plot([at], [row["gain"]], markersize=6, markerfacecolor=face, **style)
