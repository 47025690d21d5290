"""How circuits change over training: entropy and similarity, with the bend and its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from kc_utils.plots.canvas import chance_curve, chance_handle, label_outer, legend_below, panels
from kc_utils.plots.curves import Curves, draw, draw_rows, finish, handles, prepare
from kc_utils.plots.style import BLUE, DARK, GREY, LOOKS, styled
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
RANDOM_CIRCUITS = "random circuits of the same size"
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
    rows = ("entropy", "normalised_entropy")
    return _stack(entropy, rows, phase, "entropy_curves", "scores of pure noise")


@styled
def jaccard_curves(jaccard: pd.DataFrame, phase: pd.DataFrame | None = None) -> Figure:
    """Similarity of each checkpoint's circuit with the last one; one column per band.

    Columns: epoch, edge_jaccard (share); optional node_jaccard, edge_jaccard_previous (with the
    checkpoint before), kind, band, and what random circuits of the same size share:
    random_edge_jaccard, random_node_jaccard, random_edge_jaccard_previous.
    ``phase``: breakpoint_epoch, low, high; optional quantity, kind, band.
    """
    check(jaccard, ["epoch", "edge_jaccard"], "jaccard_curves")
    rows = ("node_jaccard", "edge_jaccard", "edge_jaccard_previous")
    return _stack(jaccard, rows, phase, "jaccard_curves", RANDOM_CIRCUITS)


def _stack(
    frame: pd.DataFrame, rows: Sequence[str], phase: pd.DataFrame | None, name: str, level: str
) -> Figure:
    """A row of panels per quantity with its bends, and its dotted ``level`` (random_<quantity>)."""
    spec = Curves(name, "", y=next(q for q in rows if q in frame), height=2.5)
    frame, spec = prepare(frame, spec)
    phase = checked_bends(phase, name)

    def level_and_bends(axis: Axes, part: pd.DataFrame, quantity: str) -> None:
        chance_curve(axis, part, f"random_{quantity}")
        _mark(axis, bends_of(phase, quantity, part["band"].iloc[0] if spec.columns else None))

    figure, _ = draw_rows(frame, spec, {q: LABELS[q] for q in rows}, level_and_bends)
    found = handles(frame, spec)
    if any(f"random_{q}" in frame for q in rows if q in frame):
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
    phase = checked_bends(phase, name, ["quantity", *BEND])
    quantities = list(dict.fromkeys(series["quantity"]))
    figure, axes = panels(len(quantities), 1, height=2.0, sharey=False)
    spec = Curves(name, "", columns=None)
    for axis, quantity in zip(axes[:, 0], quantities, strict=True):
        part, fitted = prepare(series[series["quantity"] == quantity], spec)
        marks = bends_of(phase, quantity, None)
        draw(axis, part, fitted, part)
        for line in axis.lines:  # the fit is the only line
            line.set_linestyle("none")
            line.set_markevery(1)
        _mark(axis, marks)
        for mark in marks.to_dict("records"):
            _fit(axis, part, mark)
        finish(np.array([[axis]]), replace(spec, from_zero="entropy" not in quantity))
    label_outer(axes, spec.xlabel, [LABELS.get(q, q) for q in quantities])
    found = handles(series, spec.fitted_to(series)) + _mark_handles(phase)
    if "kind" not in series:
        found.insert(0, Line2D([], [], color=BLUE, marker="o", linestyle="", label="measured"))
    if phase is not None:
        found.append(Line2D([], [], color=GREY, linewidth=1.4, label="fitted two segments"))
    legend_below(figure, found)
    return figure


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


def checked_bends(
    phase: pd.DataFrame | None, name: str, columns: Sequence[str] = BEND
) -> pd.DataFrame | None:
    """``phase`` after a check of its columns; None when there is no fit to mark."""
    return None if phase is None or phase.empty else check(phase, columns, name)


def bends_of(phase: pd.DataFrame | None, quantity: str, band: str | None) -> pd.DataFrame:
    """The bends of a panel, undecided ones too; without the column, rows count for every panel."""
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
    return look.colour if look else DARK


def _mark_handles(phase: pd.DataFrame | None) -> list[Artist]:
    if phase is None:
        return []
    decisions = set(phase["decision"]) if "decision" in phase else {"bend"}
    names = {"bend": (_DASHES, "bend"), "undecided": (":", "best bend, undecided")}
    found: list[Artist] = [
        Line2D([], [], color=DARK, linestyle=line, linewidth=1.3, label=label)
        for decision, (line, label) in names.items()
        if decision in decisions
    ]
    if found:
        label = "95 % interval of the bend"
        found.append(Patch(facecolor=DARK, alpha=0.2, linewidth=0, label=label))
    return found
