"""First-token accuracy while training, and query accuracy at the end.

How far known subjects are ahead of new ones.

The curves that the paper's authors published, as a tidy table.
"""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kc_utils.plots.canvas import label_outer, legend_below, panels
from kc_utils.plots.curves import (
    Curves,
    bounds,
    draw,
    draw_curve,
    draw_figure,
    finish,
    handles,
    prepare,
    select,
)
from kc_utils.plots.style import LOOKS, label_of, looks_for, ordered, styled
from kc_utils.plots.tables import check, check_unique

ACCURACY = "first-token accuracy (share)"


@styled
def accuracy_curves(
    acc: pd.DataFrame,
    chance: float | None = None,
    published: pd.DataFrame | None = None,
    model: str = "gpt2",
) -> Figure:
    """First-token accuracy of K_rel and K_compl, one panel per frequency band.

    Columns: epoch, kind, value (share); optional band, wording, low, high, chance.
    ``published`` (columns model, kind, epoch, accuracy) adds a panel with the paper's curves of
    ``model``, on the epoch axis of the paper's own run.
    """
    spec = Curves("accuracy_curves", ACCURACY, line="wording", chance=chance)
    if published is None:
        return draw_figure(acc, spec, ("kind",))
    acc, spec = prepare(acc, spec, ("kind",))
    published = check(published, ["model", "kind", "epoch", "accuracy"], "accuracy_curves")
    bands = ordered(spec.columns, acc[spec.columns]) if spec.columns else [None]
    n_rows = 2 if len(bands) > 1 else 1
    n_columns = -(-(len(bands) + 1) // n_rows)
    figure, axes = panels(n_rows, n_columns, sharex=False)
    for axis, band in zip(axes.flat, bands, strict=False):
        draw(axis, select(acc, spec.columns, band), spec, acc)
        axis.set_title(label_of("band", band) if band else "this run")
        axis.set_xlabel("epoch of this run")
    _published_panel(axes.flat[len(bands)], published[published["model"] == model], model)
    finish(axes, spec)
    for spare in axes.flat[len(bands) + 1 :]:
        spare.set_visible(False)
    for row in axes:
        row[0].set_ylabel(ACCURACY)
    legend_below(figure, handles(acc, spec))
    return figure


def _published_panel(axis: Axes, curves: pd.DataFrame, model: str) -> None:
    check(curves, ["kind"], f"accuracy_curves for the published model {model!r}")
    spec = Curves("accuracy_curves", ACCURACY, y="accuracy")
    for kind, curve in curves.groupby("kind", sort=False):
        draw_curve(axis, curve, spec, replace(LOOKS["kind"][kind], hollow=True))
    axis.set_title(f"paper: {model}, all bands")
    axis.set_xlabel("epoch of the paper's run")
    axis.set_facecolor("#F5F5F5")


@styled
def query_accuracy_bars(queries: pd.DataFrame) -> Figure:
    """Share of queries whose whole answer is generated, by band, kind and wording.

    Columns: kind, band, value (share); optional wording, low, high.
    """
    name = "query_accuracy_bars"
    queries = check(queries, ["kind", "band", "value"], name)
    wordings = ordered("wording", queries["wording"]) if "wording" in queries else [None]
    keys = ["kind", "band"] + (["wording"] if "wording" in queries else [])
    check_unique(queries, keys, name)
    bands = ordered("band", queries["band"])
    figure, axes = panels(1, len(wordings))
    for axis, wording in zip(axes[0], wordings, strict=True):
        part = select(queries, "wording" if wording else None, wording)
        _bars(axis, part, bands, looks_for("kind", queries["kind"]))
        axis.set_title(label_of("wording", wording) if wording else "")
    axes[0, 0].set_ylim(0, max(0.05, min(1.08, axes[0, 0].get_ylim()[1] * 1.06)))
    label_outer(axes, "frequency band (biographies per person)", ["query accuracy (share)"])
    _, labels = axes[0, 0].get_legend_handles_labels()
    legend_below(figure, axes[0, 0].get_legend_handles_labels()[0] if labels else [])
    return figure


def _bars(axis: Axes, part: pd.DataFrame, bands: list[str], looks: dict) -> None:
    width = 0.8 / len(looks)
    short = {"high": "high (> 5)", "medium": "medium (2-5)", "low": "low (1)"}
    for i, (kind, look) in enumerate(looks.items()):
        rows = part[part["kind"] == kind].set_index("band").reindex(bands)
        x = np.arange(len(bands)) + (i - (len(looks) - 1) / 2) * width
        value = rows["value"].to_numpy(float)
        limits, errors = bounds(rows, "value"), None
        top = value
        if limits:
            low, high = (rows[c].to_numpy(float) for c in limits)
            errors, top = np.clip([value - low, high - value], 0, None), high
        hatch = "" if i == 0 else "///"
        style = {"color": look.colour, "edgecolor": "white", "hatch": hatch, "linewidth": 0.6}
        axis.bar(x, value, width * 0.94, label=look.label, **style)
        if errors is not None:
            axis.errorbar(x, value, errors, fmt="none", ecolor="#333333", capsize=3, linewidth=1.1)
        for xi, yi, vi in zip(x, top, value, strict=True):
            if np.isfinite(vi):
                at = (0, 2)
                axis.annotate(f"{vi:.2f}", (xi, yi), at, textcoords="offset points", **_CENTRED)
    axis.set_xticks(np.arange(len(bands)), [short.get(b, b) for b in bands])
    axis.grid(axis="x", visible=False)


_CENTRED = {"ha": "center", "va": "bottom", "fontsize": 9}


@styled
def lead_curve(lead: pd.DataFrame, ylabel: str = "K_rel minus K_compl (share)") -> Figure:
    """Difference of the two kinds over training; the dotted line at 0 is no lead.

    Columns: epoch, value (share); optional band (one panel each), low, high.
    """
    look = {"colour": None, "from_zero": False, "chance": 0.0, "chance_label": "no lead"}
    return draw_figure(lead, Curves("lead_curve", ylabel, **look))


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
