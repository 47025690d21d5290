"""Entropy of circuits over training with an epoch slider: curves of all bands and kinds."""

from __future__ import annotations

import numpy as np
import pandas as pd

from kc_utils.plots.interactive.drawing import Drawing
from kc_utils.plots.interactive.slider import Slides, by_epoch, groups, line_key, polyline, prepared
from kc_utils.plots.interactive.slider_axes import Axes, epochs_of, nice, panel, title
from kc_utils.plots.style import LOOKS, label_of
from kc_utils.plots.tables import check

_NAME = "entropy_slider"
_WIDTH, _HEIGHT = 260.0, 168.0


def entropy_slider(
    entropy: pd.DataFrame, phase: pd.DataFrame | None = None, alt: str | None = None
) -> Drawing:
    """Entropy curves, a panel per band and a line per kind, with a cursor that the slider moves.

    Columns: epoch, entropy (nats); optional kind, band, normalised_entropy (share of the maximum,
    for the words), random_entropy (nats of scores of pure noise). ``phase``: breakpoint_epoch,
    low, high; optional quantity, kind, band, decision. Rows with "no bend" are not marked,
    "undecided" ones are dotted.

    Raises:
        KcError: a column is missing, a point is repeated, or a line lacks an epoch.
    """
    frame, epochs = prepared(entropy, ["epoch", "entropy"], ["kind", "band"], _NAME)
    noise = float(frame["random_entropy"].mean()) if "random_entropy" in frame else float("nan")
    values = [*frame["entropy"], *([noise] if np.isfinite(noise) else [])]
    ticks = nice(np.nanmin(values), np.nanmax(values))
    axes = Axes(34.0, _WIDTH - 8, 32.0, _HEIGHT - 30, _ends(epochs), (ticks[0][0], ticks[-1][0]))
    marks = _marks(phase)
    slides, panels, told = Slides(epochs), [], [[_start(frame, e)] for e in epochs]
    for band, part in groups(frame, "band"):
        name = label_of("band", band) if band else ""
        inside = [title(name), axes.x_ticks(epochs_of(epochs), "epoch")]
        inside.append(axes.y_ticks(ticks, "nats"))
        if np.isfinite(noise):
            level = axes.up([noise, noise])
            inside.append(polyline("chance", [axes.left, axes.right], level))
        inside += [_bend(axes, mark) for mark in marks if mark.get("band") in (None, band)]
        cursor = f'<path class="cursor" d="M0 {axes.top:g}V{axes.bottom:g}"></path>'
        inside.append(slides.move(cursor, axes.across(epochs), [0.0] * len(epochs)))
        words = [[] for _ in epochs]
        for kind, line in groups(part, "kind"):
            inside += _curve(
                slides,
                axes,
                line,
                kind,
                f"The entropy of {kind or 'all kinds'}, {band or 'all bands'}",
            )
            for at, row in zip(words, line.sort_values("epoch").to_dict("records"), strict=True):
                at.append(_words(row, kind))
        for i, sentence in enumerate(words):
            told[i].append(f"{f'{band} band: ' if band else ''}{', '.join(sentence)};")
        panels.append(panel(_WIDTH, _HEIGHT, f"Entropy over epochs{f', {name}' if name else ''}.",
                            "".join(inside)))  # fmt: skip
    told = [" ".join(sentences).rstrip(";") + "." for sentences in told]
    alt = alt or f"Line charts of circuit entropy against the epoch with a slider. {told[-1]}"
    return slides.drawing(panels, _keys(frame, marks, noise), told, alt, least=225)


def _curve(slides: Slides, axes: Axes, line: pd.DataFrame, kind: str | None, what: str) -> list:
    values = by_epoch(line.assign(one=0), "entropy", "one", slides.epochs, what)[0].to_numpy()
    x, y = axes.across(slides.epochs), axes.up(values)
    marker = LOOKS["kind"][kind].marker if kind else "o"
    ring = slides.move('<circle class="ring" r="4.6"></circle>', x, y)
    css = f"s-{kind or 'all'}"
    return [polyline(css, np.round(x, 1), np.round(y, 1), marker), f'<g class="{css}">{ring}</g>']


def _words(row: dict, kind: str | None) -> str:
    share = row.get("normalised_entropy", float("nan"))
    more = f" ({100 * share:.0f} %)" if np.isfinite(share) else ""
    return f"{f'{kind} ' if kind else ''}{row['entropy']:.2f}{more}"


def _start(frame: pd.DataFrame, epoch: float) -> str:
    share = " (and in % of the maximum)" if "normalised_entropy" in frame else ""
    return f"Epoch {epoch:g}, entropy in nats{share}:"


def _marks(phase: pd.DataFrame | None) -> list[dict]:
    """The bends to draw: those of entropy that were not decided to be none."""
    if phase is None or phase.empty:
        return []
    phase = check(phase, ["breakpoint_epoch", "low", "high"], _NAME)
    if "quantity" in phase:
        phase = phase[phase["quantity"] == "entropy"]
    if "decision" in phase:
        phase = phase[phase["decision"] != "no bend"]
    return phase[np.isfinite(phase["breakpoint_epoch"])].to_dict("records")


def _bend(axes: Axes, mark: dict) -> str:
    at, low, high = axes.across([mark["breakpoint_epoch"], mark["low"], mark["high"]])
    box = ""
    if np.isfinite(low) and np.isfinite(high):
        box = (
            f'<rect class="range" x="{low:.1f}" y="{axes.top:g}" width="{high - low:.1f}" '
            f'height="{axes.bottom - axes.top:g}"></rect>'
        )
    css = "bend unsure" if mark.get("decision") == "undecided" else "bend"
    line = f'<path class="{css}" d="M{at:.1f} {axes.top:g}V{axes.bottom:g}"></path>'
    return f'<g class="s-{mark.get("kind") or "all"}">{box}{line}</g>'


def _keys(frame: pd.DataFrame, marks: list[dict], noise: float) -> list[tuple[str, str]]:
    found = [
        (line_key(f"s-{k or 'all'}", LOOKS["kind"][k].marker if k else "o"),
         label_of("kind", k) if k else "entropy")
        for k, _ in groups(frame, "kind")
    ]  # fmt: skip
    if np.isfinite(noise):
        found.append((line_key("chance"), "scores of pure noise"))
    decisions = {mark.get("decision", "bend") for mark in marks}
    if "bend" in decisions:
        found.append((line_key("s-all", css="bend"), "bend, shaded: its 95 % interval"))
    if "undecided" in decisions:
        found.append((line_key("s-all", css="bend unsure"), "best bend, undecided"))
    return found


def _ends(epochs: list[float]) -> tuple[float, float]:
    first, last = epochs[0], epochs[-1]
    room = 0.02 * (last - first) or 0.5
    return first - room, last + room
