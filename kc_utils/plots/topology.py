"""How circuits change over training: entropy and similarity, with onset, knee, and intervals.

Bends come as rows of the table ``shift``: columns onset, onset_low, onset_high, knee, knee_low,
knee_high (epochs, NaN where the bend isn't decided); optional quantity, kind, band. None or no row:
nothing was fitted.
"""

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
from kc_utils.plots.spread import spread_curves
from kc_utils.plots.style import BLUE, DARK, GREY, LOOKS, styled
from kc_utils.plots.tables import check

LABELS = {
    "entropy": "entropy of all edges (nats)",
    "normalised_entropy": "entropy of all edges / ln |E| (share)",
    "entropy_kept": "entropy of kept edges (nats)",
    "normalised_entropy_kept": "entropy of kept edges / ln n (share)",
    "node_jaccard": "node Jaccard with last (share)",
    "edge_jaccard": "edge Jaccard with last (share)",
    "edge_jaccard_previous": "edge Jaccard with previous (share)",
    "accuracy": "first-token accuracy (share)",
    "hit": "Hit@10 (share)",
}
BENDS = {"onset": ":", "knee": (0, (5, 2))}
"""Line styles."""
SHIFT = [f"{name}{end}" for name in BENDS for end in ("", "_low", "_high")]
_SIMILARITIES = ("node_jaccard", "edge_jaccard", "edge_jaccard_previous")
RANDOM_CIRCUITS = "random circuits of the same size"


@styled
def entropy_curves(
    entropy: pd.DataFrame,
    shift: pd.DataFrame | None = None,
    quantities: Sequence[str] = ("entropy", "normalised_entropy"),
) -> Figure:
    """Circuit entropy: a row of panels for each of the ``quantities``, a column for each band.

    Columns: epoch, the first of the quantities (entropy, entropy_kept in nats, normalised_entropy,
    normalised_entropy_kept as shares); optional kind, band, <quantity>_low, <quantity>_high, and
    random_<quantity>, what independent normal scores have. Normalised curves are marked with the
    bends of the curves in nats.
    """
    check(entropy, ["epoch", quantities[0]], "entropy_curves")
    return _stack(entropy, quantities, shift, "entropy_curves", "scores of pure noise")


@styled
def jaccard_curves(jaccard: pd.DataFrame, shift: pd.DataFrame | None = None) -> Figure:
    """Similarity of each checkpoint's circuit with the last one; one column per band.

    Columns: epoch, edge_jaccard (share); optional node_jaccard, edge_jaccard_previous (with the
    checkpoint before), kind, band, and what random circuits of the same size share:
    random_edge_jaccard, random_node_jaccard, random_edge_jaccard_previous.
    """
    check(jaccard, ["epoch", "edge_jaccard"], "jaccard_curves")
    return _stack(jaccard, _SIMILARITIES, shift, "jaccard_curves", RANDOM_CIRCUITS)


def jaccard_spread(jaccard: pd.DataFrame) -> Figure:
    """The same quantities side by side: median over bands with their range, a line per kind.

    Columns: as for :func:`jaccard_curves`, and optional task (summed up like band); what random
    circuits share is drawn as its mean over training.
    """
    check(jaccard, ["epoch", "edge_jaccard"], "jaccard_spread")
    shared = [c for c in ("epoch", "task", "kind", "band") if c in jaccard]
    parts = [
        jaccard[shared].assign(
            quantity=q, value=jaccard[q], chance=jaccard.get(f"random_{q}", np.nan)
        )
        for q in _SIMILARITIES
        if q in jaccard
    ]
    return spread_curves(
        pd.concat(parts, ignore_index=True),
        "quantity",
        {q: LABELS[q].removesuffix(" (share)") for q in _SIMILARITIES},
        "Jaccard similarity (share)",
        colour="kind" if "kind" in jaccard else None,
        chance_label=RANDOM_CIRCUITS,
    )


def _stack(
    frame: pd.DataFrame, rows: Sequence[str], shift: pd.DataFrame | None, name: str, level: str
) -> Figure:
    """A row of panels per quantity with its bends, and its dotted ``level`` (random_<quantity>)."""
    spec = Curves(name, "", y=next(q for q in rows if q in frame), height=2.5)
    frame, spec = prepare(frame, spec)
    shift = checked_bends(shift, name)

    def level_and_bends(axis: Axes, part: pd.DataFrame, quantity: str) -> None:
        chance_curve(axis, part, f"random_{quantity}")
        band = part["band"].iloc[0] if spec.columns else None
        _mark(axis, bends_of(shift, quantity.removeprefix("normalised_"), band))

    figure, _ = draw_rows(frame, spec, {q: LABELS[q] for q in rows}, level_and_bends)
    found = handles(frame, spec)
    if any(f"random_{q}" in frame for q in rows if q in frame):
        found.append(chance_handle(level))
    legend_below(figure, found + _mark_handles(shift))
    return figure


@styled
def phase_overview(series: pd.DataFrame, shift: pd.DataFrame | None = None) -> Figure:
    """Entropy, edge Jaccard and accuracy on one epoch axis, with onset and knee of each.

    Columns of ``series``: quantity (entropy_kept, edge_jaccard, accuracy, ...; the order of the
    panels), epoch, value; optional kind, low, high. ``shift`` needs quantity besides. Lines are
    least-squares fits that bend where a bend is decided.
    """
    name = "phase_overview"
    series = check(series, ["quantity", "epoch", "value"], name)
    shift = checked_bends(shift, name, ["quantity", *SHIFT])
    quantities = list(dict.fromkeys(series["quantity"]))
    if shift is not None:
        shift = shift[shift["quantity"].isin(quantities)]
    figure, axes = panels(len(quantities), 1, height=2.0, sharey=False)
    spec = Curves(name, "", columns=None)
    for axis, quantity in zip(axes[:, 0], quantities, strict=True):
        part, fitted = prepare(series[series["quantity"] == quantity], spec)
        marks = bends_of(shift, quantity, None)
        draw(axis, part, fitted, part)
        for line in axis.lines:  # the fit is the only line
            line.set_linestyle("none")
            line.set_markevery(1)
        _mark(axis, marks)
        for mark in marks.to_dict("records"):
            _fit(axis, part, mark)
        finish(np.array([[axis]]), replace(spec, from_zero="entropy" not in quantity))
    label_outer(axes, spec.xlabel, [LABELS.get(q, q) for q in quantities])
    found = handles(series, spec.fitted_to(series)) + _mark_handles(shift)
    if "kind" not in series:
        found.insert(0, Line2D([], [], color=BLUE, marker="o", linestyle="", label="measured"))
    if shift is not None and shift[["onset", "knee"]].notna().any(axis=None):
        found.append(Line2D([], [], color=GREY, linewidth=1.4, label="fit with these bends"))
    legend_below(figure, found)
    return figure


def _fit(axis: Axes, part: pd.DataFrame, mark: dict) -> None:
    bends = [mark[name] for name in BENDS if np.isfinite(mark[name])]
    if not bends:
        return
    if "kind" in mark and "kind" in part:
        part = part[part["kind"] == mark["kind"]]
    mean = part.groupby("epoch")["value"].mean()
    x, y = mean.index.to_numpy(float), mean.to_numpy(float)
    ends = np.array([x.min(), *bends, x.max()])
    weights = np.linalg.lstsq(_design(x, bends), y, rcond=None)[0]
    axis.plot(ends, _design(ends, bends) @ weights, color=_colour(mark), linewidth=1.4)


def _design(x: np.ndarray, bends: Sequence[float]) -> np.ndarray:
    hinges = [np.maximum(0, x - at) for at in bends]
    return np.stack([np.ones_like(x), x, *hinges], axis=1)


def checked_bends(
    shift: pd.DataFrame | None, name: str, columns: Sequence[str] = SHIFT
) -> pd.DataFrame | None:
    """``shift`` after a check of its columns; None when there is no fit to mark."""
    return None if shift is None or shift.empty else check(shift, columns, name)


def bends_of(shift: pd.DataFrame | None, quantity: str, band: str | None) -> pd.DataFrame:
    """The rows of a panel; without columns quantity and band, rows count for every panel."""
    if shift is None:
        return pd.DataFrame(columns=SHIFT)
    if "quantity" in shift:
        shift = shift[shift["quantity"] == quantity]
    if band is not None and "band" in shift:
        shift = shift[shift["band"] == band]
    return shift


def _mark(axis: Axes, marks: pd.DataFrame) -> None:
    for mark in marks.to_dict("records"):
        for name, line in BENDS.items():
            if not np.isfinite(mark[name]):
                continue
            colour, (low, high) = _colour(mark), (mark[f"{name}_low"], mark[f"{name}_high"])
            style = {"color": colour, "linestyle": line, "linewidth": 1.3, "zorder": 1.2}
            axis.axvline(mark[name], **style)
            axis.axvspan(low, high, color=colour, alpha=0.12, linewidth=0, zorder=1)


def _colour(mark: dict) -> str:
    look = LOOKS["kind"].get(mark.get("kind"))
    return look.colour if look else DARK


def _mark_handles(shift: pd.DataFrame | None) -> list[Artist]:
    if shift is None:
        return []
    found: list[Artist] = [
        Line2D([], [], color=DARK, linestyle=line, linewidth=1.3, label=name)
        for name, line in BENDS.items()
        if shift[name].notna().any()
    ]
    if found:
        label = "95 % intervals of these"
        found.append(Patch(facecolor=DARK, alpha=0.2, linewidth=0, label=label))
    return found
