"""What circuits answer: hits, transfer between bands, frozen topologies, faithfulness by size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from kc_utils.errors import KcError
from kc_utils.plots.canvas import (
    chance_line,
    interval_handle,
    label_outer,
    legend_below,
    line_handle,
    mark_handle,
    panels,
    split,
)
from kc_utils.plots.curves import Curves, bounds, draw_beside, draw_curve, draw_figure, finish
from kc_utils.plots.style import (
    BLACK,
    DARK,
    DASHED,
    GREEN,
    GREY,
    LOOKS,
    Look,
    looks_for,
    styled,
)
from kc_utils.plots.tables import check, check_known, groups, table

FAITHFULNESS = "faithfulness (1 = whole model)"
HIT = "Hit@10 (share)"
_CUT = (-1.0, 2.0)  # values that an axis shows; single circuits can be far outside
_CLASSES = {"qk": "q, k", "v": "v", "mlp": "MLP", "logits": "logits"}
_OFFSET = {"cut": -0.14, "restored": 0.14}


@styled
def hit_curves(
    evaluation: pd.DataFrame,
    panel: str = "band",
    chance: float | None = None,
    line: str = "circuit",
) -> Figure:
    """Share of queries whose right first token is among the circuit's ten best.

    Columns: epoch, kind, band, value (share); optional circuit (own, random), low, high, chance.
    ``panel`` = "band" draws kinds in each band's panel, "kind" draws bands in each kind's panel.
    ``line`` names the optional column that sets the line style: circuit, split or wording.
    """
    if panel not in ("band", "kind"):
        raise KcError(f"panel is {panel!r}; allowed are 'band' and 'kind'.")
    colour = "kind" if panel == "band" else "band"
    look = {"colour": colour, "columns": panel, "line": line, "chance": chance, "height": 2.2}
    spec = Curves("hit_curves", HIT, **look)
    return draw_figure(evaluation, spec, ("kind", "band"))


@styled
def circuit_overview(
    kinds: pd.DataFrame, bands: pd.DataFrame, whose: pd.DataFrame, chance: float | None = None
) -> Figure:
    """Hit@10 of circuits by kind of subject, by frequency band, and by whose circuit is asked.

    Args:
        kinds: columns epoch, kind, value (share); optional circuit (own, random), low, high.
        bands: columns epoch, band, value; optional circuit, low, high.
        whose: columns epoch, circuit (own, foreign: found on another band, random, in_sample: own,
            asked about the discovery people), value; optional low, high.
        chance: Hit@10 (share) of the commonest answers, as a dotted line.
    """
    spec = Curves("circuit_overview", HIT, line="circuit", columns=None, chance=chance)
    figure, axes = panels(1, 3, height=2.5)
    parts = {
        "kind": (kinds, "known or new subjects"),
        "band": (bands, "by frequency"),
        "circuit": (whose, "whose circuit"),
    }
    found = draw_beside(axes[0], parts, spec)
    finish(axes, spec)
    axes[0, 0].set_ylabel(HIT)
    legend_below(figure, found)
    return figure


@styled
def transfer_curves(transfer: pd.DataFrame, label: str = HIT) -> Figure:
    """How circuits of every band do on the people of each band, over training.

    A column of panels per band of people and a row per kind; the colour is the band whose circuit
    runs, and a full line the band's own one.

    Columns: epoch, band (whose people), source_band (whose circuit; "random": circuits of the same
    size), value (share); optional kind, low, high.
    """
    name, needed = "transfer_curves", ["epoch", "band", "source_band", "value"]
    transfer = check(transfer, needed, name, unique=[*needed[:3], "kind"])
    figure, axes, cells = split(transfer, "kind", "band", height=2.3)
    random = LOOKS["circuit"]["random"]
    sources = transfer.loc[transfer["source_band"] != "random", "source_band"]
    spec, looks = Curves(name, label), looks_for("band", sources)
    for axis, part in cells:
        for source, curve in groups(part, "source_band"):
            own = source == curve["band"].iloc[0]
            look = replace(looks.get(source, random), line="-" if own else DASHED, hollow=not own)
            draw_curve(axis, curve, spec, look)
        title = axis.get_title()
        axis.set_title(title.replace("\n", "\npeople: ") if "\n" in title else f"people:\n{title}")
    finish(axes, spec)
    label_outer(axes, spec.xlabel, [label] * len(axes))
    found = [line_handle(replace(look, label=f"circuit: {look.label}")) for look in looks.values()]
    found.append(line_handle(Look(DARK, "o", "circuit of another band", DASHED, True)))
    if len(sources) < len(transfer):
        found.append(line_handle(random))
    legend_below(figure, found + ([interval_handle()] if bounds(transfer, "value") else []))
    return figure


@styled
def faithfulness_curves(evaluation: pd.DataFrame, colour: str = "ablation") -> Figure:
    """Faithfulness over training, a column of panels per band.

    Columns: epoch, ablation (corrupted, zero, mean), value; optional kind, band, circuit (own,
    random), low, high. Full lines are the checkpoint's own circuit, dashed ones random circuits.
    ``colour`` = "ablation" has a row of panels per kind, "kind" one row and needs one ablation.
    """
    if colour not in ("ablation", "kind"):
        raise KcError(f"colour is {colour!r}; allowed are 'ablation' and 'kind'.")
    rows = "kind" if colour == "ablation" else None
    look = {"colour": colour, "line": "circuit", "rows": rows, "height": 2.4}
    spec = Curves("faithfulness_curves", FAITHFULNESS, **look)
    return _with_reference(draw_figure(evaluation, spec, ("ablation",)), None)


@styled
def size_curve(sizes: pd.DataFrame, cut: tuple[float, float] | None = None) -> Figure:
    """f(k): faithfulness of the circuit that keeps the share k of all edges.

    Columns: share (of edges, above 0 for the log axis; rows at 0 are left out), ablation, value;
    optional circuit (own, random, random_per_layer), kind, band, low, high. A curve without any
    defined value (nan) is named as undefined in its panel. ``cut``: lowest and highest value that
    the axes show.
    """
    return _size_curve(sizes, cut)


@styled
def chosen_size_curve(sizes: pd.DataFrame, share: float, label: str, smallest: float) -> Figure:
    """:func:`size_curve` of one cell with a line at ``share`` and the title ``label``.

    ``sizes``: share, ablation, value, circuit. The axis begins at the share ``smallest`` for every
    table, so that curves of different checkpoints can be compared.
    """
    figure = _size_curve(sizes, _CUT)
    axis = figure.axes[0]
    axis.axvline(share, color=GREEN, linewidth=2.0, zorder=1.8)
    axis.set_xlim(smallest / 1.25, 1.25)
    axis.set_title(label, color=GREEN, weight="bold")
    return figure


def _size_curve(sizes: pd.DataFrame, cut: tuple[float, float] | None) -> Figure:
    """The figure before its layout is frozen, so that more can be added."""
    sizes = check(sizes, ["share", "ablation", "value"], "size_curve")
    sizes = sizes[sizes["share"] > 0]
    if sizes.empty:
        raise KcError("The table of size_curve has no share above 0, which a log axis needs.")
    look = {"colour": "ablation", "line": "circuit", "rows": "kind", "height": 2.9}
    across = {"x": "share", "xlabel": "share of edges kept (log scale)", "log_x": True}
    spec = Curves("size_curve", FAITHFULNESS, **look, **across)
    figure = draw_figure(sizes, spec, ("ablation",))
    for axis in figure.axes:
        _mark_undefined(axis, [line.get_ydata() for line in axis.lines])
    return _with_reference(figure, cut)


def _mark_undefined(axis: Axes, curves: list) -> None:
    """Say in a panel that a curve is missing because its faithfulness is undefined."""
    missing = sum(not np.isfinite(np.asarray(curve, float)).any() for curve in curves)
    if missing == len(curves):
        place = {"transform": axis.transAxes, "ha": "center", "va": "center", "size": 9}
        axis.text(0.5, 0.5, "undefined", color=GREY, **place)
    elif missing:
        place = {"transform": axis.transAxes, "ha": "right", "va": "bottom", "size": 9}
        axis.text(0.98, 0.04, f"{missing} of {len(curves)} undefined", color=GREY, **place)


def _with_reference(figure: Figure, cut: tuple[float, float] | None) -> Figure:
    for axis in figure.axes:
        for level in (0.0, 1.0):
            chance_line(axis, level)
    if cut and figure.axes:  # panels share their axes
        low, high = figure.axes[0].get_ylim()
        figure.axes[0].set_ylim(max(low, cut[0]), min(high, cut[1]))
    return figure


def faithfulness_table(
    frame: pd.DataFrame,
    digits: int = 2,
    names: Mapping[str, str] | None = None,
    caption: str | None = None,
) -> Styler:
    """A table for the reader in which a floating-point cell without a value reads "undefined"."""
    return table(frame, digits, names, caption, gap="undefined")


@styled
def recovery_classes(recovery: pd.DataFrame) -> Figure:
    """Faithfulness per class of reader: cut from the model, and restored to the circuit.

    Columns: reader_class (qk, v, mlp, logits; all, whose view ``cut`` is the circuit itself and is
    drawn as a dashed line), view (cut, restored), faithfulness; optional kind (rows), band
    (columns). Every mark hangs from where its view starts: the model (1) or the circuit. A value
    that is nan is named as undefined.
    """
    name, keys = "recovery_classes", ["reader_class", "view"]
    recovery = check(recovery, [*keys, "faithfulness"], name, unique=["kind", "band", *keys])
    check_known(recovery["reader_class"], [*_CLASSES, "all"], name)
    check_known(recovery["view"], _OFFSET, name)
    figure, axes, cells = split(recovery, "kind", "band", height=2.5)
    for axis, part in cells:
        _recovery(axis, part.set_index(keys)["faithfulness"])
    label_outer(axes, "edges into", [FAITHFULNESS] * len(axes))
    own = axes[0, 0].plot([], [], color=BLACK, linestyle=DASHED, label="circuit alone")
    legend_below(figure, [*map(mark_handle, LOOKS["view"].values()), *own])
    return figure


def _recovery(axis: Axes, values: pd.Series) -> None:
    circuit = float(values.get(("all", "cut"), np.nan))
    for level in (0.0, 1.0):
        chance_line(axis, level)
    if np.isfinite(circuit):
        axis.axhline(circuit, color=BLACK, linestyle=DASHED, linewidth=1.2, zorder=1.1)
    for x, reader_class in enumerate(_CLASSES):
        for view, offset in _OFFSET.items():
            y, at = float(values.get((reader_class, view), np.nan)), x + offset
            look, start = LOOKS["view"][view], 1.0 if view == "cut" else circuit
            axis.plot([at, at], [start, y], color=look.colour, linewidth=2.2, zorder=2)
            axis.plot([at], [y], color=look.colour, marker=look.marker, zorder=2.5)
    _mark_undefined(axis, [values])
    axis.set_xticks(range(len(_CLASSES)), _CLASSES.values())
    axis.set_xlim(-0.5, len(_CLASSES) - 0.5)
