"""Where in the model the change happens: the layers of edges, and of the answer itself.

Depth is a layer by the number of layers, so that models of different depth can be compared.
Formation and optimisation are the two sides of the decided knee of each circuit's entropy
(:mod:`kc_utils.study.claims.shift`); circuits without one belong to neither.
"""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd

from kc_utils.analysis.stats.resample import NotMeasured, over_cells, spread
from kc_utils.config import CELL
from kc_utils.runs.folder import Run
from kc_utils.study.claims.claim import PAPER, Claim, Finding, point, resampling
from kc_utils.study.claims.knees import decided_knees
from kc_utils.study.claims.phases import first_and_last

FORMATION, OPTIMISATION = "formation", "optimisation"

_RANDOM = 200  # sets of random circuits behind the control of the drift
_WIDTH = 2 * 1.959964  # of a 95 % interval, in standard deviations
_REACHED = 1.0  # log10 rank below which the answer counts as there: the ten best tokens


def drift(run: Run, part: str) -> Finding:
    """Shift of the kept edges' mean source layer in one phase, as a share of depth.

    Per cell: least-squares slope over the phase's checkpoints times the time between the first
    and the last of them. The control are random circuits of equal size at the same checkpoints.
    """
    knees, said = decided_knees(run)
    centres = run.table("centre_of_mass").dropna(subset=["source"])
    parts = []
    for bend in knees.itertuples(index=False):
        own = (centres[CELL] == [bend.task, bend.kind, bend.band]).all(axis=1)
        curve = centres[own].sort_values("epoch")
        inside = phase(curve["epoch"].to_numpy(float), bend.onset, bend.knee, part)
        if inside.sum() > 1:
            parts.append(curve[inside])
    if not parts:
        raise NotMeasured(f"no circuit has two checkpoints during {part}")
    layers, rng = _n_layers(run), np.random.default_rng([run.config.seed, 56])
    own = [_shift(curve, curve[["source"]].to_numpy(float))[0] for curve in parts]
    drawn = np.mean([_shift(curve, _drawn(curve, rng)) for curve in parts], axis=0) / layers
    onsets = int(knees["onset"].notna().sum())
    note = f"{said[:-1]}, {onsets} of them an onset." if part == FORMATION else said
    effect = over_cells(np.array(own) / layers, **resampling(run))
    return Finding(effect, spread(drawn.mean(), drawn), len(own), "cells", note=note)


def phase(epochs: np.ndarray, onset: float, knee: float, part: str) -> np.ndarray:
    """Which of the ordered ``epochs`` belong to a phase, as a mask.

    Formation goes from the onset (from the first checkpoint where that is NaN) to the knee,
    optimisation from there to the end. A phase that holds fewer than two checkpoints gets the
    nearest one on either side, so that short phases have a slope as well.
    """
    begin, end = (onset, knee) if part == FORMATION else (knee, np.inf)
    begin = -np.inf if np.isnan(begin) else begin
    inside = (epochs >= begin) & (epochs <= end)
    if inside.sum() < 2:
        before, after = np.flatnonzero(epochs < begin), np.flatnonzero(epochs > end)
        inside[[*before[-1:], *after[:1]]] = True
    return inside


def deeper_half(run: Run) -> Finding:
    """Edge activation ratio of the deeper layers minus the shallower ones, last minus first.

    As published, layer 0 holds the edges that leave ``input`` as well, and the last layer is left
    out; of an odd number of layers the middle one counts for neither half. Ratios are divided by
    the share of all edges that the circuit keeps, so that a random circuit has 0.
    """
    table = run.table("activation_ratio")
    table = table[table["layer"] < _n_layers(run) - 1]
    table = table.assign(layer=table["layer"].clip(lower=0))
    keys = [*CELL, "step", "layer"]
    counts = table.groupby(keys)[["kept", "possible"]].sum()
    counts["expected"] = table.groupby(keys)["expected"].first()
    ratios = (counts["kept"] / counts["possible"] / counts["expected"]).unstack("layer")
    half = ratios.shape[1] // 2
    if not half:
        raise NotMeasured("the model has too few layers to compare deep with shallow ones")
    gap = ratios.iloc[:, -half:].mean(axis=1) - ratios.iloc[:, :half].mean(axis=1)
    ends = first_and_last(gap.rename("gap").reset_index(), "gap")
    effect = over_cells(ends["last"] - ends["first"], **resampling(run))
    return Finding(effect, point(0.0), len(ends), "cells")


def rank_falls(run: Run) -> Finding:
    """log10 rank of the right token after the last layer, last minus first checkpoint."""
    lens = run.table("logit_lens").query("position == 'last'")
    changes = []
    for layer in (lens["layer"].max(), lens["layer"].min()):
        table = first_and_last(lens[lens["layer"] == layer], "log10_rank")
        changes.append(over_cells(table["last"] - table["first"], **resampling(run)))
    return Finding(*changes, lens.groupby(CELL).ngroups, "cells")


def answer_depth(run: Run) -> Finding:
    """Depth at which the answer's mean rank passes 10: last checkpoint minus first that has one.

    The p-value compares with checkpoints in random order.
    """
    lens = run.table("logit_lens")
    below = lens[(lens["position"] == "last") & (lens["log10_rank"] < _REACHED)]
    depths = below.groupby([*CELL, "step"], as_index=False)["layer"].min().sort_values("step")
    curves = [c.to_numpy(float) for _, c in depths.groupby(CELL)["layer"] if len(c) > 1]
    if not curves:
        raise NotMeasured("no cell reaches a mean rank of 10 at two checkpoints")
    changes = np.array([c[-1] - c[0] for c in curves]) / _n_layers(run)
    effect = over_cells(changes, **resampling(run))
    rng = np.random.default_rng([run.config.seed, 57])
    ends = [rng.permuted(np.tile(c, (1000, 1)), axis=1)[:, [0, -1]] for c in curves]
    null = np.mean([e[:, 1] - e[:, 0] for e in ends], axis=0) / _n_layers(run)
    p_value = float((1 + np.count_nonzero(null <= effect.mean + 1e-12)) / (1 + len(null)))
    note = f"{len(curves)} cells reach a mean rank of 10 at two checkpoints or more."
    return Finding(effect, point(0.0), len(curves), "cells", p_value, note)


def _shift(curve: pd.DataFrame, layers: np.ndarray) -> np.ndarray:
    """Least-squares slope over epochs times their range, a number per column of ``layers``."""
    epochs = curve["epoch"].to_numpy(float)
    centred = epochs - epochs.mean()
    return np.ptp(epochs) * (centred @ layers) / (centred @ centred)


def _drawn(curve: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    """Mean source layers of random circuits, [checkpoints, draws]."""
    spreads = ((curve["random_high"] - curve["random_low"]) / _WIDTH).to_numpy(float)
    levels = curve["random_source"].to_numpy(float)
    return levels[:, None] + spreads[:, None] * rng.normal(size=(len(curve), _RANDOM))


def _n_layers(run: Run) -> int:
    return int(run.table("graph")["n_layers"].iloc[0])


_DEPTH = {"topic": "depth", "notebook": "07_components", "claimed_by": PAPER}
_DRIFT = {
    "quantity": "shift of mean source layer (of depth)",
    "control": "random circuits, equal size",
    "test": "slope over the phase times its length, circuits with a knee; bootstrap over cells",
}

CLAIMS = (
    Claim(
        id="deep-first",
        claim="While a circuit forms, its edges move to deeper layers",
        paper="activation ratio in layers 6-10 rises to 0.3+, from 0.05 in layers 8-10",
        direction="above",
        measure=functools.partial(drift, part=FORMATION),
        main=True,
        **_DRIFT,
        **_DEPTH,
    ),
    Claim(
        id="shallow-later",
        claim="After the phase shift, a circuit's edges move to shallower layers",
        paper="growth moves from the deep layers to lower ones; described without a number",
        direction="below",
        measure=functools.partial(drift, part=OPTIMISATION),
        main=True,
        **_DRIFT,
        **_DEPTH,
    ),
    Claim(
        id="activation-deep",
        claim="By the end, circuits hold a larger part of the deeper layers' edges",
        paper="layers 0-1 0.35, layers 8-10 0.05 at first; layers 6-10 0.3+, layer 0 0.17 later",
        quantity="activation ratio, deep minus shallow",
        control="no change",
        test="by the share of all edges kept, last minus first checkpoint; bootstrap over cells",
        direction="above",
        measure=deeper_half,
        **_DEPTH,
    ),
    Claim(
        id="rank-falls",
        claim="The right answer moves up in the model's ranking as training goes on",
        paper="rank 120 to 1 after the last layer, high frequency",
        quantity="log10 rank, last minus first checkpoint",
        control="the same before the first layer",
        test="logit lens at the last position; bootstrap over cells",
        direction="below",
        measure=rank_falls,
        **_DEPTH,
    ),
    Claim(
        id="answer-moves-down",
        claim="The layer in which the answer appears moves down during training",
        paper="the drop starts at the top and spreads to layers 9-10 of 12",
        quantity="first layer with mean rank < 10 (depth)",
        control="no change",
        test="last checkpoint minus the first with one; bootstrap over cells, permutation of "
        "checkpoints",
        direction="below",
        measure=answer_depth,
        **_DEPTH,
    ),
)
