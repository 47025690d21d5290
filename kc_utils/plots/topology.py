"""Entropy and similarity of circuits over training, with the bend and its interval."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from kc_utils.plots.canvas import chance_handle, label_outer, legend_below, panels
from kc_utils.plots.curves import Curves, draw, finish, handles, prepare, select
from kc_utils.plots.style import BLUE, GREY, LOOKS, label_of, ordered, styled
from kc_utils.plots.tables import check

LABELS = {
    "entropy": "circuit entropy (nats)",
    "normalised_entropy": "entropy / ln(edges) (share)",
    "node_jaccard": "node Jaccard with last (share)",
    "edge_jaccard": "edge Jaccard with last (share)",
    "edge_jaccard_previous": "edge Jaccard with previous (share)",
    "accuracy": "first-token accuracy (share)",
    "hit": "Hit@10 (share)",
}
BEND = ["breakpoint_epoch", "low", "high"]
_DASHES = (0, (5, 2))


@styled
def entropy_curves(entropy: pd.DataFrame, phase: pd.DataFrame | None = None) -> Figure:
    """Circuit entropy and, when the table has it, normalised entropy; one column per band.

    Columns: epoch, entropy (nats); optional normalised_entropy, kind, band, entropy_low,
    entropy_high, and what independent normal scores have: random_entropy,
    random_normalised_entropy. ``phase``: breakpoint_epoch, low, high; optional quantity, kind,
    band, decision (rows with "no bend" are not marked, "undecided" ones are dotted).
    """
    check(entropy, ["epoch", "entropy"], "entropy_curves")
    rows = [q for q in ("entropy", "normalised_entropy") if q in entropy]
    noise = "scores of pure noise"
    return _stack(entropy, rows, phase, "entropy_curves", from_zero=False, level=noise)


@styled
def jaccard_curves(jaccard: pd.DataFrame, phase: pd.DataFrame | None = None) -> Figure:
    """Similarity of each checkpoint's circuit with the last one; one column per band.

    Columns: epoch, edge_jaccard (share); optional node_jaccard, edge_jaccard_previous (with the
    checkpoint before), kind, band, and what random circuits of the same size share:
    random_edge_jaccard, random_node_jaccard, random_edge_jaccard_previous.
    ``phase``: breakpoint_epoch, low, high; optional quantity, kind, band.
    """
    check(jaccard, ["epoch", "edge_jaccard"], "jaccard_curves")
    quantities = ("node_jaccard", "edge_jaccard", "edge_jaccard_previous")
    rows = [q for q in quantities if q in jaccard]
    level = "random circuits of the same size"
    return _stack(jaccard, rows, phase, "jaccard_curves", from_zero=True, level=level)


def _stack(
    frame: pd.DataFrame,
    rows: list[str],
    phase: pd.DataFrame | None,
    name: str,
    *,
    from_zero: bool,
    level: str,
) -> Figure:
    spec = Curves(name, "", y=rows[0], from_zero=from_zero)
    frame, spec = prepare(frame, spec)
    phase = _checked_bends(phase, BEND, name)
    bands = ordered("band", frame["band"]) if spec.columns else [None]
    figure, axes = panels(len(rows), len(bands), height=2.5, sharey="row")
    for i, quantity in enumerate(rows):
        for axis, band in zip(axes[i], bands, strict=True):
            part = select(frame, spec.columns, band)
            draw(axis, part, replace(spec, y=quantity), frame)
            _random_level(axis, part, f"random_{quantity}")
            _mark(axis, _matching(phase, quantity, band))
            axis.set_title(label_of("band", band) if band and not i else "")
    for row in axes:
        finish(row[None], spec)
    label_outer(axes, spec.xlabel, [LABELS.get(q, q) for q in rows])
    found = handles(frame, spec)
    if any(f"random_{q}" in frame for q in rows):
        found.append(chance_handle(level))
    legend_below(figure, found + _mark_handles(phase))
    return figure


@styled
def phase_overview(series: pd.DataFrame, phase: pd.DataFrame | None = None) -> Figure:
    """Entropy, edge Jaccard and accuracy on one epoch axis, with the fitted bend of each.

    Columns of ``series``: quantity (entropy, edge_jaccard, accuracy, ...; the order of the
    panels), epoch, value; optional kind, low, high. ``phase``: quantity, breakpoint_epoch, low,
    high (NaN where there is no bend); optional kind, decision, n_points (how many of the first
    points were fitted), and intercept, slope_before, slope_after of the fit. Without these three
    the least-squares fit for that breakpoint is drawn. None or no row: nothing was fitted.
    """
    name = "phase_overview"
    series = check(series, ["quantity", "epoch", "value"], name)
    phase = _checked_bends(phase, ["quantity", *BEND], name)
    quantities = list(dict.fromkeys(series["quantity"]))
    figure, axes = panels(len(quantities), 1, height=2.0, sharey=False)
    spec = Curves(name, "", columns=None)
    for axis, quantity in zip(axes[:, 0], quantities, strict=True):
        part, fitted = prepare(series[series["quantity"] == quantity], spec)
        marks = _matching(phase, quantity, None)
        _points(axis, part, fitted)
        _mark(axis, marks)
        for mark in marks.to_dict("records"):
            _fit(axis, part, mark)
        finish(np.array([[axis]]), replace(spec, from_zero=quantity != "entropy"))
    label_outer(axes, spec.xlabel, [LABELS.get(q, q) for q in quantities])
    found = handles(series, spec.fitted_to(series)) + _mark_handles(phase)
    if "kind" not in series:
        found.insert(0, Line2D([], [], color=BLUE, marker="o", linestyle="", label="measured"))
    if phase is not None:
        found.append(Line2D([], [], color=GREY, linewidth=1.4, label="fitted two segments"))
    legend_below(figure, found)
    return figure


def _points(axis: Axes, part: pd.DataFrame, spec: Curves) -> None:
    """The measured values as points, so that the fit is the only line."""
    draw(axis, part, spec, part)
    for line in axis.lines:
        line.set_linestyle("none")
        line.set_markevery(1)


def _fit(axis: Axes, part: pd.DataFrame, mark: dict) -> None:
    at = mark["breakpoint_epoch"]
    if not np.isfinite(at):
        return
    if "kind" in mark and "kind" in part:
        part = part[part["kind"] == mark["kind"]]
    mean = part.groupby("epoch")["value"].mean()
    mean = mean.iloc[: int(mark.get("n_points", len(mean)))]
    x, y = mean.index.to_numpy(float), mean.to_numpy(float)
    ends = np.array([x.min(), at, x.max()])
    if {"intercept", "slope_before", "slope_after"} <= set(mark):
        weights = [mark["intercept"], mark["slope_before"]]
        weights.append(mark["slope_after"] - mark["slope_before"])
    else:
        weights = np.linalg.lstsq(_design(x, at), y, rcond=None)[0]
    axis.plot(ends, _design(ends, at) @ np.asarray(weights), color=_colour(mark), linewidth=1.4)


def _design(x: np.ndarray, at: float) -> np.ndarray:
    return np.stack([np.ones_like(x), x, np.maximum(0, x - at)], axis=1)


def _checked_bends(
    phase: pd.DataFrame | None, columns: list[str], name: str
) -> pd.DataFrame | None:
    """``phase`` after a check of its columns; None when there is no fit to mark."""
    return None if phase is None or phase.empty else check(phase, columns, name)


def _matching(phase: pd.DataFrame | None, quantity: str, band: str | None) -> pd.DataFrame:
    """The bends of this panel; tables without quantity or band columns count for every panel."""
    if phase is None:
        return pd.DataFrame(columns=BEND)
    if "decision" in phase:
        phase = phase[phase["decision"] != "no bend"]
    if "quantity" in phase:
        phase = phase[phase["quantity"] == quantity]
    if band is not None and "band" in phase:
        phase = phase[phase["band"] == band]
    return phase


def _mark(axis: Axes, marks: pd.DataFrame) -> None:
    for mark in marks.to_dict("records"):
        colour = _colour(mark)
        if np.isfinite(mark["breakpoint_epoch"]):
            line = ":" if mark.get("decision") == "undecided" else _DASHES
            style = {"color": colour, "linestyle": line, "linewidth": 1.3, "zorder": 1.2}
            axis.axvline(mark["breakpoint_epoch"], **style)
        if np.isfinite(mark["low"]) and np.isfinite(mark["high"]):
            axis.axvspan(mark["low"], mark["high"], color=colour, alpha=0.12, linewidth=0, zorder=1)


def _colour(mark: dict) -> str:
    look = LOOKS["kind"].get(mark.get("kind"))
    return look.colour if look else "#444444"


def _random_level(axis: Axes, part: pd.DataFrame, column: str) -> None:
    if column in part:
        level = part.groupby("epoch")[column].mean()
        axis.plot(level.index, level, color=GREY, linestyle=":", linewidth=1.4, zorder=1.2)


def _mark_handles(phase: pd.DataFrame | None) -> list[Artist]:
    if phase is None:
        return []
    decisions = set(phase["decision"]) if "decision" in phase else {"bend"}
    names = {"bend": (_DASHES, "bend"), "undecided": (":", "best bend, undecided")}
    found: list[Artist] = [
        Line2D([], [], color="#444444", linestyle=line, linewidth=1.3, label=label)
        for decision, (line, label) in names.items()
        if decision in decisions
    ]
    if found:
        label = "95 % interval of the bend"
        found.append(Patch(facecolor="#444444", alpha=0.2, linewidth=0, label=label))
    return found
