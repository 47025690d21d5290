"""Hit@10 and rank of the right answer when only the circuit runs.

A circuit found on one frequency band, run on another.

The edge set of one checkpoint, run in every checkpoint.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from kc_utils.errors import KcError
from kc_utils.plots.canvas import panels
from kc_utils.plots.curves import Curves, bounds, draw_figure
from kc_utils.plots.heat import heat, limits_of
from kc_utils.plots.style import label_of, ordered, styled
from kc_utils.plots.tables import check, check_unique

RANK = "rank (1 = best, log scale)"


@styled
def hit_curves(
    evaluation: pd.DataFrame,
    panel: str = "band",
    chance: float | None = None,
    ylabel: str = "Hit@10 (share)",
    line: str = "circuit",
) -> Figure:
    """Share of queries whose right first token is among the circuit's ten best.

    Columns: epoch, kind, band, value (share); optional circuit (own, random), low, high, chance.
    ``panel`` = "band" draws kinds in each band's panel, "kind" draws bands in each kind's panel.
    ``line`` names the optional column that sets the line style: circuit, split or wording.
    """
    colour = _other(panel)
    spec = Curves("hit_curves", ylabel, colour=colour, columns=panel, line=line, chance=chance)
    return draw_figure(evaluation, spec, ("kind", "band"))


@styled
def rank_curves(evaluation: pd.DataFrame, panel: str = "band") -> Figure:
    """Rank of the right first token in the circuit's output, on a log axis with 1 at the top.

    Columns: epoch, kind, band, value (rank, at least 1); optional circuit, low, high, chance.
    """
    colour = _other(panel)
    spec = Curves("rank_curves", RANK, colour=colour, columns=panel, line="circuit", log_y=True)
    figure = draw_figure(evaluation, spec, ("kind", "band"))
    figure.axes[0].invert_yaxis()
    return figure


def _other(panel: str) -> str:
    if panel not in ("band", "kind"):
        raise KcError(f"panel is {panel!r}; allowed are 'band' and 'kind'.")
    return "kind" if panel == "band" else "band"


@styled
def transfer_matrix(transfer: pd.DataFrame, label: str = "Hit@10 (share)") -> Figure:
    """Heat map of the circuit's source band against the band it is run on, one panel per kind.

    Columns: source_band (a band, or "random" for random circuits of the same size), target_band,
    value; optional kind, low, high (written under the value), and circuit (own, random): rows of
    random circuits then count as source "random".
    """
    name = "transfer_matrix"
    transfer = check(transfer, ["source_band", "target_band", "value"], name)
    if "circuit" in transfer:
        source = transfer["source_band"].mask(transfer["circuit"] == "random", "random")
        transfer = transfer.assign(source_band=source)
    has_kind = "kind" in transfer
    check_unique(transfer, ["source_band", "target_band"] + ["kind"] * has_kind, name)
    kinds = ordered("kind", transfer["kind"]) if has_kind else [None]
    targets = ordered("band", transfer["target_band"])[::-1]
    sources = ordered("band", transfer["source_band"])
    figure, axes = panels(1, len(kinds), height=2.7)
    limits = limits_of(transfer["value"], low=min(0.0, float(transfer["value"].min())))
    for axis, kind in zip(axes[0], kinds, strict=True):
        part = transfer if kind is None else transfer[transfer["kind"] == kind]
        cells = part.pivot(index="target_band", columns="source_band", values="value")
        cells = cells.reindex(index=targets, columns=sources)
        mesh = heat(axis, cells, limits=limits, labels=_texts(part, targets, sources))
        axis.set_title(label_of("kind", kind) if kind else "")
        axis.set_xlabel("circuit found on (band)")
        if "random" in sources:
            axis.axvline(sources.index("random"), color="white", linewidth=4)
    axes[0, 0].set_ylabel("circuit run on (band)")
    figure.colorbar(mesh, ax=axes, label=label, shrink=0.9, pad=0.02)
    return figure


def _texts(part: pd.DataFrame, targets: list[str], sources: list[str]) -> np.ndarray:
    texts = np.full((len(targets), len(sources)), "", dtype=object)
    limits = bounds(part, "value")
    for row in part.to_dict("records"):
        text = f"{row['value']:.2f}"
        if limits:
            text += f"\n{row[limits[0]]:.2f}-{row[limits[1]]:.2f}"
        texts[targets.index(row["target_band"]), sources.index(row["source_band"])] = text
    return texts


@styled
def aligned_curves(aligned: pd.DataFrame, ylabel: str = "Hit@10 (share)") -> Figure:
    """Performance of frozen topologies (Init, Before, After, Last), discovered and random circuits.

    Columns: epoch, aligned, value; optional kind (rows), band (columns), low, high, chance.
    """
    spec = Curves("aligned_curves", ylabel, colour="aligned", rows="kind", height=2.8)
    return draw_figure(aligned, spec, ("aligned",))
