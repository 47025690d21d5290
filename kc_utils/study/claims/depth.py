"""Where in the model the change happens: layers of edges, roles of heads, ranks by layer."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd

from kc_utils.analysis.stats.resample import NotMeasured, over_cells, spread
from kc_utils.runs.folder import Run
from kc_utils.study.claims.claim import Claim, Direction, Finding, point
from kc_utils.study.claims.phases import CELL, first_and_last

SHARE_OF_DEPTH = 0.02
"""Smallest shift of a mean layer that counts, as a share of the model's layers."""

_RANDOM = 200  # sets of random circuits behind the control of the drift
_WIDTH = 2 * 1.959964  # of a 95 % interval, in standard deviations


def drift(run: Run, part: str) -> Finding:
    """Shift of the kept edges' mean source layer before or after the entropy's bend."""
    centres = _part(run, part)
    codes = centres.groupby(CELL, sort=True).ngroup().to_numpy()
    if not len(codes) or np.bincount(codes).min() < 2:
        raise NotMeasured("a cell has fewer than two checkpoints on one side of the bend")
    epochs = centres["epoch"].to_numpy(float)
    own = _shifts(codes, epochs, centres["source"].to_numpy(float)[:, None])[:, 0]
    effect = over_cells(own, **_resampling(run))
    rng = np.random.default_rng([run.config.seed, 56])
    spreads = ((centres["random_high"] - centres["random_low"]) / _WIDTH).to_numpy(float)
    levels = centres["random_source"].to_numpy(float)[:, None]
    drawn = levels + spreads[:, None] * rng.normal(size=(len(centres), _RANDOM))
    control = np.nanmean(_shifts(codes, epochs, drawn), axis=0)
    margin = SHARE_OF_DEPTH * _n_layers(run)
    return Finding(effect, spread(control.mean(), control), len(own), "cells", margin=margin)


def role_change(run: Run, role: str, against: str) -> Finding:
    """Change of a role's share of the circuit's heads, beside all heads or beside no change."""
    shares = run.table("role_shares").query("role == @role")
    table = first_and_last(shares, "value")
    effect = over_cells(table["last"] - table["first"], **_resampling(run))
    if against == "nothing":
        return Finding(effect, point(0.0), len(table), "cells")
    everywhere = first_and_last(shares, "expected")
    control = over_cells(everywhere["last"] - everywhere["first"], **_resampling(run))
    inside = run.table("head_roles").query("step == step.max()")["in_circuit"].mean()
    note = f"At the last checkpoint a circuit holds {inside:.0%} of the model's heads."
    return Finding(effect, control, len(table), "cells", note=note)


def rank_falls(run: Run) -> Finding:
    """log10 rank of the right token after the last layer, last minus first checkpoint."""
    lens = run.table("logit_lens").query("position == 'last'")
    changes = []
    for layer in (lens["layer"].max(), lens["layer"].min()):
        table = first_and_last(lens[lens["layer"] == layer], "log10_rank")
        changes.append(over_cells(table["last"] - table["first"], **_resampling(run)))
    return Finding(*changes, lens.groupby(CELL).ngroups, "cells")


def onset_falls(run: Run) -> Finding:
    """First layer with mean log10 rank below 1: last checkpoint minus the first that has one."""
    onsets = _onsets(run.table("logit_lens").query("position == 'last' and log10_rank < 1"))
    curves = [c.to_numpy(float) for _, c in onsets.groupby(CELL)["layer"] if len(c) > 1]
    if not curves:
        raise NotMeasured("no cell reaches a mean rank of 10 at two checkpoints")
    effect = over_cells([c[-1] - c[0] for c in curves], **_resampling(run))
    rng = np.random.default_rng([run.config.seed, 57])
    ends = [rng.permuted(np.tile(c, (1000, 1)), axis=1)[:, [0, -1]] for c in curves]
    null = np.mean([e[:, 1] - e[:, 0] for e in ends], axis=0)
    p_value = float((1 + np.count_nonzero(null <= effect.mean + 1e-12)) / (1 + len(null)))
    margin = SHARE_OF_DEPTH * _n_layers(run)
    note = f"{len(curves)} cells reach a mean rank of 10 at two checkpoints or more."
    return Finding(effect, spread(0.0, null), len(curves), "cells", p_value, margin, note)


def _part(run: Run, part: str) -> pd.DataFrame:
    """Centres of mass up to the bend of each cell's entropy, or from there on."""
    bends = run.table("phases")[[*CELL, "After"]]
    centres = run.table("centre_of_mass").merge(bends, on=CELL)
    if part == "formation":
        return centres[centres["step"] <= centres["After"]].reset_index(drop=True)
    return centres[centres["step"] >= centres["After"]].reset_index(drop=True)


def _shifts(codes: np.ndarray, epochs: np.ndarray, layers: np.ndarray) -> np.ndarray:
    """Least-squares slope of each cell times the length of its part: layers [cells, columns]."""
    found = []
    for code in np.unique(codes):
        x, y = epochs[codes == code], layers[codes == code]
        centred = x - x.mean()
        found.append(np.ptp(x) * (centred @ y) / (centred @ centred))
    return np.array(found)


def _onsets(below: pd.DataFrame) -> pd.DataFrame:
    """First layer of each cell and checkpoint, ordered by checkpoint."""
    return below.groupby([*CELL, "step"], as_index=False)["layer"].min().sort_values("step")


def _n_layers(run: Run) -> int:
    return int(run.table("graph")["n_layers"].iloc[0])


def _resampling(run: Run) -> dict[str, int]:
    return {"n": run.config.analysis.bootstrap, "seed": run.config.seed}


def _drift(name: str, part: str, claim: str, direction: Direction, paper: str) -> Claim:
    return Claim(
        id=name,
        topic="depth",
        claim=claim,
        paper=paper,
        quantity="shift of the mean source layer (layers)",
        control="random circuits, equal size",
        test="slope over the phase times its length per cell; bootstrap over cells",
        direction=direction,
        margin=0.1,
        notebook="07_components",
        measure=functools.partial(drift, part=part),
    )


def _role(role: str, direction: Direction, against: str, claim: str, paper: str) -> Claim:
    beside = "all heads of the model" if against == "all" else "no change"
    return Claim(
        id=f"{role}-{against}",
        topic="depth",
        claim=claim,
        paper=paper,
        quantity=f"{role} heads, last minus first (share)",
        control=beside,
        test=f"share of the circuit's heads, against {beside}; bootstrap over cells",
        direction=direction,
        margin=0.03,
        notebook="07_components",
        measure=functools.partial(role_change, role=role, against=against),
    )


_MOVERS, _RELATION = "0.01 at the start, 0.23 at the end", "0.41 at the start, 0.08 at the end"

CLAIMS = (
    _drift("deep-first", "formation", "While circuits form, their edges move to deeper layers",
           "above", "activation ratio in layers 6-10 rises to 0.3+, from 0.05 in layers 8-10"),
    _drift("shallow-later", "rest", "After the bend, growth moves down to shallower layers",
           "below", "growth moves from the deep layers to lower ones"),
    _role("mover", "above", "nothing", "Mover heads take a growing share of the circuit", _MOVERS),
    _role("mover", "above", "all", "Movers grow in the circuit more than in the whole model",
          _MOVERS),
    _role("relation", "below", "nothing", "Relation heads take a shrinking share of the circuit",
          _RELATION),
    _role("relation", "below", "all", "Relation heads shrink more than in the whole model",
          _RELATION),
    Claim(
        id="rank-falls",
        topic="depth",
        claim="The right token's rank after the last layer falls",
        paper="rank 120 to 1 for high frequency",
        quantity="log10 rank, last minus first checkpoint",
        control="the same before the first layer",
        test="logit lens at the last position; bootstrap over cells",
        direction="below",
        margin=0.1,
        notebook="07_components",
        measure=rank_falls,
    ),
    Claim(
        id="onset-falls",
        topic="depth",
        claim="The layer where the answer appears moves down",
        paper="the drop starts at the top and spreads to layers 9-10 of 12",
        quantity="first layer with mean rank < 10 (layers)",
        control="checkpoints in random order",
        test="last checkpoint minus the first with one; bootstrap over cells, permutation of "
        "checkpoints",
        direction="below",
        margin=0.1,
        notebook="07_components",
        measure=onset_falls,
    ),
)  # fmt: skip
