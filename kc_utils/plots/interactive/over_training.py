"""Training on one slider: accuracy and entropy with a cursor, and the circuit of that epoch.

What the curves do and which edges came can be watched together: one slider or play button moves a
cursor through both curves and redraws the circuit.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from kc_utils.errors import KcError
from kc_utils.plots.interactive.axes import Axes, epochs_of, nice, title
from kc_utils.plots.interactive.drawing import assembled
from kc_utils.plots.interactive.drawing_epochs import change_keys, drawn_epochs
from kc_utils.plots.interactive.drawing_plan import Plan
from kc_utils.plots.interactive.figure import Drawing
from kc_utils.plots.interactive.frames import Slides, controls, embedded, readout
from kc_utils.plots.style import LOOKS
from kc_utils.plots.tables import check, check_known

_NAME = "circuit_over_training"
_COLUMNS = ["epoch", "accuracy", "entropy"]
_WIDTH, _HEIGHT = 300.0, 140.0  # of a panel of curves, SVG user units
_DRAWING, _TALL = 410.0, 340.0  # width of the drawing and height of its layers


def circuit_over_training(
    curves: pd.DataFrame,
    edges: pd.DataFrame,
    n_layers: int,
    n_heads: int,
    strongest: int = 40,
    alt: str | None = None,
) -> Drawing:
    """Accuracy and entropy over epochs beside the drawing of the circuit at the slider's epoch.

    Args:
        curves: a row per checkpoint with epoch, accuracy (share) and entropy (nats); optional
            kind, one value, for the colour.
        edges: all edges of every checkpoint's circuit with epoch, source, target (names as in
            ``a5.h1<q>``), score. A checkpoint of ``curves`` without rows has an empty circuit.
        n_layers: of the network.
        n_heads: in each layer.
        strongest: edges drawn at first, as in
            :func:`~kc_utils.plots.interactive.drawing_epochs.circuit_drawing_epochs`.
        alt: the alternative text; else what is drawn and the sentence of the last epoch.

    Raises:
        KcError: ``curves`` has fewer than two epochs, an epoch twice, two kinds or a number that
            is not finite; ``edges`` has an epoch that ``curves`` lacks, or edges that
            ``circuit_drawing_epochs`` would refuse.
    """
    curves, kind = _checked(curves)
    edges = check(edges, ["epoch", "source", "target", "score"], _NAME)
    epochs = [float(epoch) for epoch in curves["epoch"]]
    if unknown := sorted(set(edges["epoch"].astype(float)) - set(epochs)):
        raise KcError(
            f"The edges of {_NAME} have epoch {', '.join(f'{e:g}' for e in unknown)}; the curves "
            f"have {', '.join(f'{e:g}' for e in epochs)}."
        )
    slides = _curves(curves, kind)
    plan = Plan(n_layers, n_heads, _DRAWING, _TALL)
    panel, _, circuits = drawn_epochs(edges, epochs, plan, strongest, _NAME)
    counts = edges["epoch"].astype(float).value_counts()
    slides.tell([_told(row, int(counts.get(row["epoch"], 0)), step) for row, step in
                 zip(curves.to_dict("records"), slides.steps, strict=True)])  # fmt: skip
    frames = slides.frames()
    alt = alt or (
        "Line charts of first-token accuracy and circuit entropy over training, and the circuit "
        f"of {n_layers} layers with {n_heads} heads, with a slider over {len(epochs)} checkpoints. "
        f"{frames['told'][-1]}"
    )
    words = f"The circuit of {n_layers} layers with {n_heads} heads at the epoch of the slider."
    panel = replace(panel, alt=words)
    body = (
        f'{readout(frames["told"][-1])}<div class="panels together"><div class="curves">'
        f'{"".join(slides.panels)}</div><div class="drawn">{panel.svg()}</div></div>'
    )
    return assembled(
        "kc-slides",
        body,
        change_keys(),
        [panel],
        alt,
        before=controls(slides.steps),
        frames=embedded(frames | circuits),
        extra_sheets=("slides", "over_training"),
    )


def _checked(curves: pd.DataFrame) -> tuple[pd.DataFrame, str | None]:
    """The curves by epoch, and the kind that they are about."""
    curves = check(curves, _COLUMNS, _NAME, unique=["epoch"]).sort_values("epoch")
    if len(curves) < 2:
        raise KcError(f"{_NAME} needs two epochs or more; the curves have {len(curves)}.")
    for column in _COLUMNS:
        if not np.isfinite(curves[column].astype(float)).all():
            raise KcError(f"The {column} of {_NAME} has a gap; it must be finite at every epoch.")
    if "kind" not in curves:
        return curves, None
    check_known(curves["kind"], LOOKS["kind"], _NAME)
    kinds = curves["kind"].unique()
    if len(kinds) > 1:
        raise KcError(f"{_NAME} got the kinds {', '.join(kinds)}; choose one of them first.")
    return curves, str(kinds[0])


def _curves(curves: pd.DataFrame, kind: str | None) -> Slides:
    """Slides with a panel for each of the two curves."""
    slides = Slides(curves["epoch"].to_numpy(float))
    epochs = slides.epochs
    room = 0.02 * (epochs[-1] - epochs[0])
    entropy = curves["entropy"].to_numpy(float)
    for column, words, unit, ticks, label in (
        ("accuracy", "first-token accuracy", "share", nice(0.0, 1.0), ""),
        ("entropy", "circuit entropy", "nats", nice(entropy.min(), entropy.max()), "epoch"),
    ):
        height = _HEIGHT if label else _HEIGHT - 12
        across, up = (epochs[0] - room, epochs[-1] + room), (ticks[0][0], ticks[-1][0])
        axes = Axes(34.0, _WIDTH - 8, 32.0, height - (30 if label else 18), across, up)
        inside = [title(words), axes.x_ticks(epochs_of(epochs), label), axes.y_ticks(ticks, unit)]
        inside += [slides.cursor(axes), *slides.curve(axes, curves[column].to_numpy(float), kind)]
        slides.panel(_WIDTH, height, f"{words.capitalize()} over epochs.", inside)
    return slides


def _told(row: dict, n_edges: int, epoch: str) -> str:
    return (
        f"Epoch {epoch}: first-token accuracy {row['accuracy']:.2f}, circuit entropy "
        f"{row['entropy']:.2f} nats, {n_edges} edge{'' if n_edges == 1 else 's'}."
    )
