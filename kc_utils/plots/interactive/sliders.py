"""Figures with an epoch slider: circuit entropy, activation ratio and logit lens over training.

Each has panels for the groups of its table. The slider moves a cursor through curves over epochs,
or shows the line over layers of one epoch beside that of the first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from kc_utils.plots.interactive.axes import (
    Axes,
    cells,
    cells_key,
    epochs_of,
    layers_of,
    line_key,
    nice,
    polyline,
    title,
)
from kc_utils.plots.interactive.figure import Drawing, sample
from kc_utils.plots.interactive.frames import Slides, by_epoch, look_of
from kc_utils.plots.style import LOOKS, label_of
from kc_utils.plots.tables import check, groups
from kc_utils.plots.topology import BENDS, bends_of, checked_bends

_CURVES = (260.0, 168.0)  # width and height of a panel, SVG units
_WIDTH, _TOP, _BELOW = 400.0, 34.0, 30.0
_MAP, _PROFILE = (44.0, 222.0), (246.0, 390.0)
_LENS, _RANK, _PROBABILITY = 196.0, (40.0, 194.0), (236.0, 390.0)


def entropy_slider(
    entropy: pd.DataFrame, shift: pd.DataFrame | None = None, alt: str | None = None
) -> Drawing:
    """Entropy curves, a panel per band and a line per kind, with a cursor that the slider moves.

    Columns: epoch, entropy (nats); optional kind, band, normalised_entropy (share of the maximum,
    for the words), random_entropy (nats of scores of pure noise). ``shift``: rows of the table of
    that name about this curve (:mod:`kc_utils.plots.topology`).

    Raises:
        KcError: a column is missing, a point is repeated, or a line lacks an epoch.
    """
    frame, slides = _started(entropy, ["epoch", "entropy"], ["kind", "band"], "entropy_slider")
    epochs, (width, height) = slides.epochs, _CURVES
    shift = checked_bends(shift, "entropy_slider")
    noise = float(frame["random_entropy"].mean()) if "random_entropy" in frame else np.nan
    values = [*frame["entropy"], *([noise] if np.isfinite(noise) else [])]
    ticks = nice(np.nanmin(values), np.nanmax(values))
    room = 0.02 * (epochs[-1] - epochs[0]) or 0.5
    ends, across = (ticks[0][0], ticks[-1][0]), (epochs[0] - room, epochs[-1] + room)
    axes = Axes(34.0, width - 8, 32.0, height - 30, across, ends)
    share = " (and in % of the maximum)" if "normalised_entropy" in frame else ""
    slides.tell([f"Epoch {e}, entropy in nats{share}:" for e in slides.steps])
    bands = [*groups(frame, "band")]
    for band, part in bands:
        name = label_of("band", band) if band else ""
        below, beside = axes.x_ticks(epochs_of(epochs), "epoch"), axes.y_ticks(ticks, "nats")
        inside = [title(name), below, beside]
        if np.isfinite(noise):
            inside.append(polyline("chance", [axes.left, axes.right], axes.up([noise, noise])))
        inside += [_bends(axes, m) for m in bends_of(shift, "entropy", band).to_dict("records")]
        inside.append(slides.cursor(axes))
        said = []
        for kind, line in groups(part, "kind"):
            what = f"The entropy of {kind or 'all types'}, {band or 'all bands'}"
            values = by_epoch(line.assign(one=0), "entropy", "one", epochs, what)[0].to_numpy()
            inside += slides.curve(axes, values, kind)
            said.append([_nats(row, kind) for row in line.sort_values("epoch").to_dict("records")])
        stop = "." if band == bands[-1][0] else ";"
        said = [", ".join(words) for words in zip(*said, strict=True)]
        slides.tell([f"{f'{band} band: ' if band else ''}{words}{stop}" for words in said])
        slides.panel(width, height, f"Entropy over epochs{f', {name}' if name else ''}.", inside)
    keys = _entropy_keys(frame, bends_of(shift, "entropy", None), noise)
    what = "Line charts of circuit entropy against the epoch with a slider."
    return slides.drawing(keys, what, alt, least=225)


def _started(
    frame: pd.DataFrame, columns: Sequence[str], optional: Sequence[str], name: str
) -> tuple[pd.DataFrame, Slides]:
    """The checked table, and slides over its epochs.

    A point is what ``columns`` but the last one and the ``optional`` ones name.
    """
    frame = check(frame, columns, name, unique=[*columns[:-1], *optional])
    return frame, Slides(sorted(float(epoch) for epoch in frame["epoch"].unique()))


def _nats(row: dict, kind: str | None) -> str:
    share = row.get("normalised_entropy", np.nan)
    more = f" ({100 * share:.0f} %)" if np.isfinite(share) else ""
    return f"{f'{kind} ' if kind else ''}{row['entropy']:.2f}{more}"


def _bends(axes: Axes, mark: dict) -> str:
    inside = ""
    for name in BENDS:
        if not np.isfinite(mark[name]):
            continue
        at, low, high = axes.across([mark[name], mark[f"{name}_low"], mark[f"{name}_high"]])
        inside += (
            f'<rect class="range" x="{low:.1f}" y="{axes.top:g}" width="{high - low:.1f}" '
            f'height="{axes.bottom - axes.top:g}"></rect>'
            f'<path class="bend {name}" d="M{at:.1f} {axes.top:g}V{axes.bottom:g}"></path>'
        )
    return f'<g class="s-{mark.get("kind") or "all"}">{inside}</g>'


def _entropy_keys(frame: pd.DataFrame, bends: pd.DataFrame, noise: float) -> list[tuple[str, str]]:
    found = [
        (line_key(*look_of("kind", kind)), label_of("kind", kind) if kind else "entropy")
        for kind, _ in groups(frame, "kind")
    ]
    if np.isfinite(noise):
        found.append((line_key("chance"), "scores of pure noise"))
    for name in BENDS:
        if bends[name].notna().any():
            words = f"{name}, shaded: its 95 % interval"
            found.append((line_key("s-all", css=f"bend {name}"), words))
    return found


def activation_slider(activation: pd.DataFrame, alt: str | None = None) -> Drawing:
    """Share of the edges leaving each layer that the circuit keeps, a panel per kind.

    The map is layers (deep at top) x epochs. Beside it stands the profile over layers of the
    slider's epoch, with that of the first epoch (dashed) and of random circuits (shaded).

    Columns: epoch, layer (-1 = the input node), ratio (share); optional kind, and for a random
    circuit of the same size: low, high.

    Raises:
        KcError: a column is missing, a point is repeated, or a panel lacks an epoch.
    """
    needed = ["epoch", "layer", "ratio"]
    frame, slides = _started(activation, needed, ["kind"], "activation_slider")
    slides.tell([f"Epoch {epoch}." for epoch in slides.steps])
    bounds = [c for c in ("low", "high") if {"low", "high"} <= set(frame.columns)]
    highest = nice(0.0, float(frame[["ratio", *bounds[1:]]].max().max()), most=3)
    # One layer with few edges must not take all colours: the brightest stands for "and more".
    bright = min(float(frame["ratio"].max()), 1.2 * float(frame["ratio"].quantile(0.85)))
    for kind, part in groups(frame, "kind"):
        what = f"The activation ratio of {kind or 'all types'}"
        ratio, *ends = (by_epoch(part, c, "layer", slides.epochs, what) for c in ("ratio", *bounds))
        layers = [int(layer) for layer in ratio.columns]
        height = _TOP + min(200.0, max(96.0, 19.0 * len(layers))) + _BELOW
        rows = (_TOP, height - _BELOW)
        name = label_of("kind", kind) if kind else "all types"
        inside = [title(name), _map(slides, ratio, layers, rows, bright)]
        inside += _profile(slides, [ratio, *ends], rows, highest, kind)
        words = f"Share of edges kept, by layer and epoch, and by layer at one epoch: {name}."
        slides.panel(_WIDTH, height, words, inside)
        slides.tell([_most_and_least(row, layers, kind) for row in ratio.to_numpy()])
    keys = _activation_keys(frame, bool(bounds), bright)
    return slides.drawing(keys, "Maps of the edge activation ratio with an epoch slider.", alt, 340)


def _map(
    slides: Slides, ratio: pd.DataFrame, layers: list[int], rows: tuple[float, float], bright: float
) -> str:
    (top, bottom), epochs, n = rows, slides.epochs, len(layers)
    axes = Axes(*_MAP, top, bottom, (-0.5, len(epochs) - 0.5), (-0.5, n - 0.5))
    wide, high = (_MAP[1] - _MAP[0]) / len(epochs), (bottom - top) / n
    left, upper = axes.across(np.arange(len(epochs)) - 0.5), axes.up(np.arange(n) + 0.5)
    inside = cells(ratio.to_numpy(float), left, upper, wide, high, bright)
    box = f'x="{-wide / 2:.1f}" y="{top:g}" width="{wide:.1f}" height="{bottom - top:g}"'
    frame = f'<rect class="frame" {box}></rect>' * 2
    cursor = slides.move(frame, axes.across(range(len(epochs))), [0.0] * len(epochs))
    place = {epoch: float(i) for i, epoch in enumerate(epochs)}
    below = axes.x_ticks([(place[e], word) for e, word in epochs_of(epochs)], "epoch")
    names = [(float(layers.index(v)), word) for v, word in layers_of(layers)]
    return f"{below}{axes.y_ticks(names, 'layer', grid=False)}{inside}{cursor}"


def _profile(
    slides: Slides,
    tables: list[pd.DataFrame],
    rows: tuple[float, float],
    ticks: list[tuple[float, str]],
    kind: str | None,
) -> list[str]:
    """The line over layers; ``tables`` [epoch, layer] are the ratio and the ends of an interval."""
    n = tables[0].shape[1]
    axes = Axes(*_PROFILE, *rows, (0.0, ticks[-1][0]), (-0.5, n - 0.5))
    y, (values, *ends) = axes.up(range(n)), (axes.across(t.to_numpy(float)) for t in tables)
    grid = "".join(
        f'<path class="grid" d="M{x:.1f} {axes.top:g}V{axes.bottom:g}"></path>'
        for x in axes.across([value for value, _ in ticks])
    )
    inside = [grid, axes.x_ticks(ticks, "share of edges kept")]
    if ends:
        around = np.concatenate([ends[0], ends[1][:, ::-1]], axis=1)
        inside.append(slides.line("area", around, np.concatenate([y, y[::-1]])))
    return inside + _then_and_now(slides, values, y, look_of("kind", kind))


def _then_and_now(slides: Slides, x: np.ndarray, y: np.ndarray, look: tuple[str, str]) -> list[str]:
    """The line of the first epoch, and that of the slider's; ``x`` or ``y`` has a row per epoch."""
    then = [v[:1].repeat(len(v), 0) if v.ndim == 2 else v for v in (x, y)]
    return [slides.line(f"{look[0]} then", *then), slides.line(look[0], x, y, look[1])]


def _most_and_least(row: np.ndarray, layers: list[int], kind: str | None) -> str:
    named = [(v, "the input" if i < 0 else f"layer {i}") for v, i in zip(row, layers, strict=True)]
    named = [pair for pair in named if np.isfinite(pair[0])]
    most, least = max(named), min(named)
    return (
        f"{f'{kind}: the' if kind else 'The'} circuit keeps most of the edges that leave {most[1]} "
        f"({most[0]:.2f}) and fewest of those that leave {least[1]} ({least[0]:.2f})."
    )


def _activation_keys(frame: pd.DataFrame, chance: bool, bright: float) -> list[tuple[str, str]]:
    more = " and more" if bright < frame["ratio"].max() else ""
    words = f"share of a layer's edges that the circuit keeps, 0 to {bright:.2f}{more}"
    css, _ = look_of("kind", next(groups(frame, "kind"))[0])
    found = [(cells_key(), words), (line_key(f"{css} then"), "the profile of the first epoch")]
    if chance:
        area = sample('<g class="area"><path class="line" d="M1 1H29V11H1Z"></path></g>')
        found.append((area, "random circuits of the same size (95 %)"))
    return found


def lens_slider(lens: pd.DataFrame, alt: str | None = None) -> Drawing:
    """Rank and probability of the right token after every layer at the slider's epoch.

    A panel per kind, a line per band; the dashed lines are those of the first epoch.

    Columns: epoch, layer, log10_rank (mean), probability (share); optional kind, band.

    Raises:
        KcError: a column is missing, a point is repeated, or a line lacks an epoch.
    """
    check(lens, ["epoch", "layer", "log10_rank"], "lens_slider")
    needed, optional = ["epoch", "layer", "probability"], ["kind", "band"]
    frame, slides = _started(lens, needed, optional, "lens_slider")
    layers = sorted(int(layer) for layer in frame["layer"].unique())
    size = (_TOP, _LENS - _BELOW, (layers[0] - 0.2, layers[-1] + 0.2))
    worst = max(float(frame["log10_rank"].max()) + 0.1, 1.0)
    decades = [(float(i), f"{10**i:,}") for i in range(int(worst) + 1)]
    shares = nice(0.0, frame["probability"].max())
    axes = {
        "log10_rank": Axes(*_RANK, *size, (worst, 0.0)),
        "probability": Axes(*_PROBABILITY, *size, (0.0, shares[-1][0])),
    }
    ticks = {"log10_rank": (decades, "rank (1 = best)"), "probability": (shares, "probability")}
    after = "after the last layer, rank (and probability) of the right token."
    slides.tell([f"Epoch {epoch}, {after}" for epoch in slides.steps])
    for kind, part in groups(frame, "kind"):
        name = label_of("kind", kind) if kind else "all types"
        inside = [title(name), *(a.y_ticks(*ticks[c]) for c, a in axes.items())]
        inside += [a.x_ticks(layers_of(layers), "after layer") for a in axes.values()]
        said = []
        for band, line in groups(part, "band"):
            what = f"The logit lens of {kind or 'all types'}, {band or 'all bands'}"
            grids = [by_epoch(line, c, "layer", slides.epochs, what) for c in axes]
            for axis, grid in zip(axes.values(), grids, strict=True):
                x, y = axis.across(grid.columns.to_numpy(float)), axis.up(grid.to_numpy(float))
                inside += _then_and_now(slides, x, y, look_of("band", band))
            said.append(_at_the_end(*(grid.to_numpy()[:, -1] for grid in grids), band))
        said = [", ".join(words) for words in zip(*said, strict=True)]
        slides.tell([f"{f'{kind}: ' if kind else ''}{words}." for words in said])
        words = f"Rank and probability of the right token by layer at one epoch: {name}."
        slides.panel(_WIDTH, _LENS, words, inside)
    bands = [band for band, _ in groups(frame, "band")]
    keys = [(line_key(*look_of("band", b)), LOOKS["band"][b or "all"].label) for b in bands]
    keys.append((line_key("s-all then"), "dashed: the first epoch"))
    what = "Line charts of the logit lens by layer with an epoch slider."
    return slides.drawing(keys, what, alt, least=340)


def _at_the_end(log_ranks: np.ndarray, shares: np.ndarray, band: str | None) -> list[str]:
    """Rank and probability after the last layer in words, one per epoch."""
    ranks, name = 10**log_ranks, f"{band} band " if band else ""
    numbers = [f"{rank:,.0f}" if rank >= 100 else f"{rank:.1f}" for rank in ranks]
    return [f"{name}{n} ({share:.2f})" for n, share in zip(numbers, shares, strict=True)]
