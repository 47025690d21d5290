"""The logit lens with an epoch slider: rank and probability of the right token over layers."""

from __future__ import annotations

import pandas as pd

from kc_utils.plots.interactive.drawing import Drawing
from kc_utils.plots.interactive.slider import Slides, by_epoch, groups, line_key, prepared
from kc_utils.plots.interactive.slider_axes import Axes, layers_of, nice, panel, title
from kc_utils.plots.style import LOOKS, label_of

_NAME = "lens_slider"
_WIDTH, _HEIGHT = 400.0, 196.0
_RANK, _PROBABILITY = (40.0, 194.0), (236.0, 390.0)
_TOP, _BOTTOM = 34.0, 166.0


def lens_slider(lens: pd.DataFrame, alt: str | None = None) -> Drawing:
    """Rank and probability of the right token after every layer at the slider's epoch.

    A panel per kind, a line per band; the dashed lines are those of the first epoch.

    Columns: epoch, layer, log10_rank (mean), probability (share); optional kind, band.

    Raises:
        KcError: a column is missing, a point is repeated, or a line lacks an epoch.
    """
    columns = ["epoch", "layer", "probability"]
    prepared(lens, ["epoch", "layer", "log10_rank"], ["kind", "band"], _NAME)
    frame, epochs = prepared(lens, columns, ["kind", "band"], _NAME)
    layers = sorted(int(layer) for layer in frame["layer"].unique())
    across = (layers[0] - 0.2, layers[-1] + 0.2)
    worst = max(float(frame["log10_rank"].max()) + 0.1, 1.0)
    decades = [(float(i), f"{10**i:,}") for i in range(int(worst) + 1)]
    shares = nice(0.0, frame["probability"].max())
    rank = Axes(*_RANK, _TOP, _BOTTOM, across, (worst, 0.0))
    probability = Axes(*_PROBABILITY, _TOP, _BOTTOM, across, (0.0, shares[-1][0]))
    axes = {"log10_rank": rank, "probability": probability}
    start = "after the last layer, rank (and probability) of the right token."
    slides, panels, told = Slides(epochs), [], [[f"Epoch {e:g}, {start}"] for e in epochs]
    for kind, part in groups(frame, "kind"):
        name = label_of("kind", kind) if kind else "all kinds"
        inside = [title(name), rank.y_ticks(decades, "rank (1 = best)")]
        inside.append(probability.y_ticks(shares, "probability"))
        inside += [a.x_ticks(layers_of(layers), "after layer") for a in axes.values()]
        words: list[list[str]] = [[] for _ in epochs]
        for band, line in groups(part, "band"):
            what = f"The logit lens of {kind or 'all kinds'}, {band or 'all bands'}"
            grids = {c: by_epoch(line, c, "layer", epochs, what) for c in axes}
            for column, grid in grids.items():
                inside += _lines(slides, axes[column], grid, band)
            last = zip(*(grid.to_numpy()[:, -1] for grid in grids.values()), strict=True)
            for at, (log_rank, share) in zip(words, last, strict=True):
                name_of = f"{band} band " if band else ""
                at.append(f"{name_of}{_number(10**log_rank)} ({share:.2f})")
        for at, found in zip(told, words, strict=True):
            at.append(f"{f'{kind}: ' if kind else ''}{', '.join(found)}.")
        words_of = f"Rank and probability of the right token by layer at one epoch: {name}."
        panels.append(panel(_WIDTH, _HEIGHT, words_of, "".join(inside)))
    told = [" ".join(sentences) for sentences in told]
    alt = alt or f"Line charts of the logit lens by layer with an epoch slider. {told[-1]}"
    return slides.drawing(panels, _keys(frame), told, alt, least=340)


def _lines(slides: Slides, axes: Axes, grid: pd.DataFrame, band: str | None) -> list[str]:
    x, y = axes.across(grid.columns.to_numpy(float)), axes.up(grid.to_numpy(float))
    css = f"s-{band or 'all'}"
    marker = LOOKS["band"][band].marker if band else "o"
    first = slides.line(f"{css} then", x, y[:1].repeat(len(y), 0))
    return [first, slides.line(css, x, y, marker)]


def _keys(frame: pd.DataFrame) -> list[tuple[str, str]]:
    found = []
    for band, _ in groups(frame, "band"):
        look = LOOKS["band"][band or "all"]
        found.append((line_key(f"s-{band or 'all'}", look.marker), look.label))
    return [*found, (line_key("s-all then"), "dashed: the first epoch")]


def _number(rank: float) -> str:
    return f"{rank:,.0f}" if rank >= 100 else f"{rank:.1f}"
