"""Deep to shallow beside shuffled answers and an untrained model, and the depth of mover heads."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd

from kc_utils.analysis.stats.resample import NotMeasured, over_cells, spread
from kc_utils.runs.folder import Run
from kc_utils.study.claims.claim import Claim, Direction, Finding
from kc_utils.study.claims.depth import SHARE_OF_DEPTH, drift
from kc_utils.study.claims.phase_controls import WithTables, control_of, first_task
from kc_utils.study.claims.phases import CELL

_SHUFFLES = 1000
_NO_RANDOM = {"random_source": 0.0, "random_low": 0.0, "random_high": 0.0}


def drift_beside(run: Run, part: str, control: str) -> Finding:
    """Shift of the first task's edges before or after the bend, beside a control's edges.

    The control's circuits are followed over the same epochs as the cell's own.
    """
    own = WithTables(run, centre_of_mass=first_task(run, run.table("centre_of_mass")))
    curves = control_of(run, control).assign(**_NO_RANDOM)
    found, level = (drift(r, part) for r in (own, WithTables(run, centre_of_mass=curves)))
    return Finding(found.effect, level.effect, found.n, "cells", margin=found.margin)


def mover_depth(run: Run) -> Finding:
    """Trend of the mover heads' mean layer times the length of training, over cells."""
    depths = mover_layer(run.table("mover_layers"))
    curves = [c for _, c in depths.groupby(CELL) if len(c) > 2]
    if not curves:
        raise NotMeasured("no circuit has a mover head at three checkpoints")
    epochs = run.table("checkpoints")["epoch"]
    length = float(epochs.max() - epochs.min())
    own, null = [], []
    rng = np.random.default_rng([run.config.seed, 63])
    for curve in curves:
        x, y = curve["epoch"].to_numpy(float), curve["value"].to_numpy(float)
        shuffled = rng.permuted(np.tile(y, (_SHUFFLES, 1)), axis=1)
        slopes = np.polyfit(x, np.vstack([y, shuffled]).T, 1)[0] * length
        own.append(slopes[0])
        null.append(slopes[1:])
    effect = over_cells(own, n=run.config.analysis.bootstrap, seed=run.config.seed)
    drawn = np.mean(null, axis=0)
    reached = np.count_nonzero(drawn >= effect.mean - 1e-12)
    margin = SHARE_OF_DEPTH * int(run.table("graph")["n_layers"].iloc[0])
    note = f"{len(curves)} cells have a mover head in the circuit at three checkpoints or more."
    p_value = float((1 + reached) / (1 + _SHUFFLES))
    return Finding(effect, spread(0.0, drawn), len(curves), "cells", p_value, margin, note)


def mover_layer(counts: pd.DataFrame) -> pd.DataFrame:
    """Mean layer of the circuits' mover heads: a row per checkpoint and cell that has one.

    Args:
        counts: a row per checkpoint, cell and layer; ``count`` mover heads.
    """
    keys = [*CELL, "step", "epoch"]
    weighted = counts.assign(value=counts["count"] * counts["layer"])
    sums = weighted.groupby(keys, as_index=False)[["value", "count"]].sum()
    sums = sums[sums["count"] > 0]
    return sums.assign(value=sums["value"] / sums["count"])[[*keys, "value"]]


def _drift(name: str, part: str, control: str, claim: str, direction: Direction) -> Claim:
    short = {"shuffled labels": "labels", "untrained": "untrained"}[control]
    shown = {
        "shuffled labels": "answers shuffled among pairs",
        "untrained": "untrained model, resampled",
    }
    return Claim(
        id=f"{name}-{short}",
        topic="depth",
        claim=claim,
        paper="activation ratios of one model, with nothing beside them",
        quantity="shift of the mean source layer (layers)",
        control=shown[control],
        test="slope over the phase times its length per cell, first task; bootstrap over cells",
        direction=direction,
        margin=0.1,
        notebook="07_components",
        measure=functools.partial(drift_beside, part=part, control=control),
    )


_DEEPER, _HIGHER = (
    "Forming circuits move deeper than",
    "After the bend, growth moves down more than",
)

CLAIMS = (
    _drift("deep-first", "formation", "shuffled labels", f"{_DEEPER} with shuffled answers",
           "above"),
    _drift("deep-first", "formation", "untrained", f"{_DEEPER} those of an untrained model",
           "above"),
    _drift("shallow-later", "rest", "shuffled labels", f"{_HIGHER} with shuffled answers",
           "below"),
    _drift("shallow-later", "rest", "untrained", f"{_HIGHER} untrained", "below"),
    Claim(
        id="mover-depth",
        topic="depth",
        claim="The circuit's mover heads sit deeper and deeper",
        paper="movers end up in the middle to deep layers",
        quantity="trend of the movers' mean layer (layers)",
        control="checkpoints in random order",
        test="slope times length of training per cell; bootstrap over cells, permutation of "
        "checkpoints",
        direction="above",
        margin=0.1,
        notebook="07_components",
        measure=mover_depth,
    ),
)  # fmt: skip
