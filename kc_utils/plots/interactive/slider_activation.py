"""The activation-ratio map with an epoch slider: layers x epochs, and the profile of one epoch."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd

from kc_utils.plots.interactive.drawing import Drawing
from kc_utils.plots.interactive.slider import Slides, by_epoch, groups, line_key, prepared
from kc_utils.plots.interactive.slider_axes import Axes, epochs_of, layers_of, nice, panel, title
from kc_utils.plots.style import HEAT, LOOKS, label_of

_NAME = "activation_slider"
_WIDTH, _MAP, _PROFILE = 400.0, (44.0, 222.0), (246.0, 390.0)
_TOP, _BELOW = 34.0, 30.0
_SHADES = 24  # colours of the map


def activation_slider(activation: pd.DataFrame, alt: str | None = None) -> Drawing:
    """Share of the edges leaving each layer that the circuit keeps, a panel per kind.

    The map is layers (deep at top) x epochs. Beside it stands the profile over layers of the
    slider's epoch, with that of the first epoch (dashed) and of random circuits (shaded).

    Columns: epoch, layer (-1 = the input node), ratio (share); optional kind, and for a random
    circuit of the same size: low, high.

    Raises:
        KcError: a column is missing, a point is repeated, or a panel lacks an epoch.
    """
    frame, epochs = prepared(activation, ["epoch", "layer", "ratio"], ["kind"], _NAME)
    slides, panels, told = Slides(epochs), [], [[f"Epoch {e:g}."] for e in epochs]
    chance = {"low", "high"} <= set(frame.columns)
    highest = float(frame[["ratio", "high"] if chance else ["ratio"]].max().max())
    # One layer with few edges must not take all colours: the brightest stands for "and more".
    bright = min(float(frame["ratio"].max()), 1.2 * float(frame["ratio"].quantile(0.85)))
    for kind, part in groups(frame, "kind"):
        what = f"The activation ratio of {kind or 'all kinds'}"
        ratio = by_epoch(part, "ratio", "layer", epochs, what)
        layers = [int(layer) for layer in ratio.columns]
        height = _TOP + min(200.0, max(96.0, 19.0 * len(layers))) + _BELOW
        name = label_of("kind", kind) if kind else "all kinds"
        inside = [title(name), _map(slides, ratio, layers, height, bright)]
        bounds = [by_epoch(part, c, "layer", epochs, what) for c in ("low", "high") if chance]
        inside.append(_profile(slides, ratio, bounds, layers, height, highest, kind))
        words = f"Share of edges kept, by layer and epoch, and by layer at one epoch: {name}."
        panels.append(panel(_WIDTH, height, words, "".join(inside)))
        for at, row in zip(told, ratio.to_numpy(), strict=True):
            at.append(_words(row, layers, kind))
    told = [" ".join(sentences) for sentences in told]
    alt = alt or f"Maps of the edge activation ratio with an epoch slider. {told[-1]}"
    return slides.drawing(panels, _keys(frame, chance, bright), told, alt, least=340)


def _rows(layers: list[int], height: float) -> tuple[float, float, tuple[float, float]]:
    """Top and bottom of the plots, and the values of y there: a layer is one row."""
    return _TOP, height - _BELOW, (-0.5, len(layers) - 0.5)


def _map(
    slides: Slides, ratio: pd.DataFrame, layers: list[int], height: float, bright: float
) -> str:
    top, bottom, rows = _rows(layers, height)
    epochs = slides.epochs
    axes = Axes(*_MAP, top, bottom, (-0.5, len(epochs) - 0.5), rows)
    wide, high = (_MAP[1] - _MAP[0]) / len(epochs), (bottom - top) / len(layers)
    left, upper = axes.across(np.arange(len(epochs)) - 0.5), axes.up(np.arange(len(layers)) + 0.5)
    shades: dict[int, list[str]] = {}
    for (i, j), value in np.ndenumerate(ratio.to_numpy(float)):
        if np.isfinite(value):
            cell = f"M{left[i]:.1f} {upper[j]:.1f}h{wide:.1f}v{high:.1f}h{-wide:.1f}z"
            shades.setdefault(_shade(value, bright), []).append(cell)
    cells = "".join(
        f'<path fill="{_colour(shade)}" d="{"".join(found)}"></path>'
        for shade, found in sorted(shades.items())
    )
    box = f'x="{-wide / 2:.1f}" y="{top:g}" width="{wide:.1f}" height="{bottom - top:g}"'
    cursor = slides.move(
        f'<rect class="frame" {box}></rect><rect class="frame" {box}></rect>',
        axes.across(range(len(epochs))),
        [0.0] * len(epochs),
    )
    place = {e: float(i) for i, e in enumerate(epochs)}
    below = axes.x_ticks([(place[e], word) for e, word in epochs_of(epochs)], "epoch")
    names = [(float(layers.index(v)), word) for v, word in layers_of(layers)]
    beside = axes.y_ticks(names, "layer", grid=False)
    return f'{below}{beside}<g class="cells">{cells}</g>{cursor}'


def _profile(
    slides: Slides,
    ratio: pd.DataFrame,
    bounds: list[pd.DataFrame],
    layers: list[int],
    height: float,
    highest: float,
    kind: str | None,
) -> str:
    top, bottom, rows = _rows(layers, height)
    ticks = nice(0.0, highest, most=3)
    axes = Axes(*_PROFILE, top, bottom, (0.0, ticks[-1][0]), rows)
    y = axes.up(range(len(layers)))
    lines = "".join(
        f'<path class="grid" d="M{x:.1f} {top:g}V{bottom:g}"></path>'
        for x in axes.across([v for v, _ in ticks])
    )
    inside = [lines, axes.x_ticks(ticks, "share of edges kept")]
    if bounds:
        low, high = (axes.across(b.to_numpy(float)) for b in bounds)
        around = np.concatenate([low, high[:, ::-1]], axis=1)
        inside.append(slides.line("area", around, np.concatenate([y, y[::-1]])))
    values = axes.across(ratio.to_numpy(float))
    css = f"s-{kind or 'all'}"
    marker = LOOKS["kind"][kind].marker if kind else "o"
    inside.append(slides.line(f"{css} then", values[:1].repeat(len(values), 0), y))
    inside.append(slides.line(css, values, y, marker))
    return "".join(inside)


def _words(row: np.ndarray, layers: list[int], kind: str | None) -> str:
    named = [(v, "the input" if i < 0 else f"layer {i}") for v, i in zip(row, layers, strict=True)]
    named = [pair for pair in named if np.isfinite(pair[0])]
    most, least = max(named), min(named)
    return (
        f"{f'{kind}: the' if kind else 'The'} circuit keeps most of the edges that leave {most[1]} "
        f"({most[0]:.2f}) and fewest of those that leave {least[1]} ({least[0]:.2f})."
    )


def _keys(frame: pd.DataFrame, chance: bool, bright: float) -> list[tuple[str, str]]:
    steps = "".join(
        f'<rect x="{5 * i}" y="1" width="5" height="10" fill="{_colour(_SHADES * i // 5)}"></rect>'
        for i in range(6)
    )
    bar = f'<svg class="key" viewBox="0 0 30 12" aria-hidden="true">{steps}</svg>'
    more = " and more" if bright < frame["ratio"].max() else ""
    found = [(bar, f"share of a layer's edges that the circuit keeps, 0 to {bright:.2f}{more}")]
    kind = next(groups(frame, "kind"))[0]
    found.append((line_key(f"s-{kind or 'all'} then"), "the profile of the first epoch"))
    if chance:
        area = '<path class="line" d="M1 1H29V11H1Z"></path>'
        sample = f'<svg class="key" viewBox="0 0 30 12" aria-hidden="true"><g class="area">{area}'
        found.append((f"{sample}</g></svg>", "random circuits of the same size (95 %)"))
    return found


def _shade(value: float, bright: float) -> int:
    return min(_SHADES, max(0, round(_SHADES * value / (bright or 1.0))))


def _colour(shade: int) -> str:
    return mpl.colors.to_hex(mpl.colormaps[HEAT](shade / _SHADES))
