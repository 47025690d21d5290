"""Where in depth the circuit's edges start: activation ratio by layer and centre of mass."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from kc_utils.plots.canvas import interval_handle, label_outer, legend_below, line_handle, panels
from kc_utils.plots.curves import Curves, draw_curve, draw_figure, select
from kc_utils.plots.heat import heat, limits_of
from kc_utils.plots.style import GREY, Look, label_of, looks_for, ordered, styled
from kc_utils.plots.tables import check, check_unique, choose

RATIO = "edge activation ratio (share)"
_RANDOM = Look(GREY, "", "random circuit of the same size", ":")


@styled
def activation_ratio_map(activation: pd.DataFrame, panel: str = "kind") -> Figure:
    """Share of the edges leaving each layer that the circuit keeps, over training.

    Columns: epoch, layer (-1 = the input node), ratio (share); optional ``panel`` (kind or band).
    """
    name = "activation_ratio_map"
    activation = check(activation, ["epoch", "layer", "ratio"], name)
    column = panel if panel in activation else None
    check_unique(activation, ["epoch", "layer"] + ([column] if column else []), name)
    values = ordered(column, activation[column]) if column else [None]
    height = min(5.0, max(2.4, 0.28 * activation["layer"].nunique()))
    figure, axes = panels(1, len(values), height=height)
    limits = limits_of(activation["ratio"], low=0.0)
    for axis, value in zip(axes[0], values, strict=True):
        part = select(activation, column, value)
        grid = part.pivot(index="layer", columns="epoch", values="ratio").sort_index()
        mesh = heat(axis, grid.rename(index={-1: "input"}), limits=limits)
        axis.set_title(label_of(column, value) if column else "")
    label_outer(axes, "epoch", ["layer (deep at top)"])
    figure.colorbar(mesh, ax=axes, label=RATIO, pad=0.02)
    return figure


@styled
def activation_ratio_lines(
    activation: pd.DataFrame, epochs: Sequence[int | float] | None = None, panel: str = "kind"
) -> Figure:
    """The same ratio by layer for a few checkpoints; by default the first, middle and last.

    Columns: epoch, layer, ratio; optional ``panel`` (kind or band), and for a random circuit of
    the same size: expected (ratio), low, high. The input node (layer -1) is left out.
    """
    name = "activation_ratio_lines"
    activation = check(activation, ["epoch", "layer", "ratio"], name)
    chosen = choose(activation, "epoch", epochs, name)
    activation = activation[activation["epoch"].isin(chosen) & (activation["layer"] >= 0)]
    column = panel if panel in activation else None
    check_unique(activation, ["epoch", "layer"] + ([column] if column else []), name)
    values = ordered(column, activation[column]) if column else [None]
    figure, axes = panels(1, len(values))
    looks = looks_for("epoch", chosen)
    for axis, value in zip(axes[0], values, strict=True):
        part = select(activation, column, value)
        _expected(axis, part[part["epoch"] == chosen[-1]])
        for epoch, look in looks.items():
            curve = part.loc[part["epoch"] == epoch, ["layer", "ratio"]]
            draw_curve(axis, curve, Curves(name, RATIO, y="ratio", x="layer"), look)
        axis.set_title(label_of(column, value) if column else "")
        axis.xaxis.get_major_locator().set_params(integer=True)
    axes[0, 0].set_ylim(bottom=0)
    label_outer(axes, "layer (0 = first)", [RATIO])
    legend_below(figure, _handles(looks, activation))
    return figure


def _expected(axis, part: pd.DataFrame) -> None:
    if "expected" not in part:
        return
    columns = [c for c in ("low", "high") if c in part]
    curve = part[["layer", "expected", *columns]].rename(columns={"expected": "value"})
    draw_curve(axis, curve, Curves("activation_ratio_lines", RATIO, x="layer"), _RANDOM)


def _handles(looks: dict, activation: pd.DataFrame) -> list[Artist]:
    found: list[Artist] = []
    for epoch, look in looks.items():
        handle = line_handle(look)
        handle.set_label(f"epoch {epoch:g}")
        found.append(handle)
    if "expected" in activation:
        found.append(line_handle(_RANDOM))
        if "low" in activation and "high" in activation:
            found.append(interval_handle("its 95 % interval"))
    return found


@styled
def centre_of_mass(centres: pd.DataFrame) -> Figure:
    """Mean layer at which the circuit's edges start, beside that of random circuits.

    Columns: epoch, value (layer); optional circuit (own, random), kind, band, low, high. Or wide:
    source (the value), random_source, random_low, random_high.
    """
    if "value" not in centres and "source" in centres:
        centres = _long(centres)
    spec = Curves("centre_of_mass", "centre of mass (layer)", line="circuit", from_zero=False)
    return draw_figure(centres, spec)


def _long(centres: pd.DataFrame) -> pd.DataFrame:
    """Own and random centres as rows; only random ones have an interval."""
    keys = [c for c in ("epoch", "task", "kind", "band") if c in centres]
    own = centres[keys].assign(circuit="own", value=centres["source"])
    if "random_source" not in centres:
        return own
    names = {"random_source": "value", "random_low": "low", "random_high": "high"}
    random = centres[[*keys, *(c for c in names if c in centres)]].rename(columns=names)
    return pd.concat([own, random.assign(circuit="random")], ignore_index=True)
