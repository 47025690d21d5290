"""Measures of where in the model circuits grow: mean layers, activation ratios, roles of heads."""

from __future__ import annotations

import numpy as np
import pandas as pd

from kc_utils.analysis.stats.resample import NotMeasured
from kc_utils.config import CELL
from kc_utils.study.claims.measured import Measured, against, mean, require_learned
from kc_utils.study.claims.phases import cells_with_knee, of_shuffled_labels
from kc_utils.study.claims.tables import RunTables

FORMATION, OPTIMISATION = "formation", "optimisation"


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


def shift(run: RunTables, part: str, control: str, learned: float) -> Measured:
    """Shift of the circuit's mean source layer in one phase, in % of the model's depth.

    Least-squares slope over the phase's checkpoints times their range, mean over cells. The
    windows are those of the circuits' own knees. ``control``: circuits of shuffled labels or random
    circuits at the same checkpoints, or the paired null run's circuits at the same epochs.
    """
    require_learned(run, learned)
    own = run.table("centre_of_mass")
    curves = {
        "shuffled labels": lambda: of_shuffled_labels(run, "control_curves"),
        "random": lambda: own.assign(source=own["random_source"]),
        "null run": lambda: run.paired_null().table("centre_of_mass"),
    }[control]()
    layers = int(run.table("graph")["n_layers"].iloc[0])
    own_cells, control_cells = (dict(tuple(t.groupby(CELL))) for t in (own, curves))
    shifts = []
    for cell in cells_with_knee(run).itertuples(index=False):
        name = (cell.task, cell.kind, cell.band)
        sides = [_window(t[name], cell, part) for t in (own_cells, control_cells) if name in t]
        if len(sides) == 2 and all(len(side) > 1 for side in sides):
            shifts.append([100 * slope_times_range(side) / layers for side in sides])
    if not shifts:
        raise NotMeasured(f"no circuit and its control have two checkpoints during {part}")
    return against(*np.mean(shifts, axis=0).tolist())


def slope_times_range(curve: pd.DataFrame) -> float:
    """Least-squares slope of ``source`` over epochs, times the range of the epochs."""
    epochs = curve["epoch"].to_numpy(float)
    centred = epochs - epochs.mean()
    return float(np.ptp(epochs) * (centred @ curve["source"].to_numpy(float)) / (centred @ centred))


def _window(curve: pd.DataFrame, cell, part: str) -> pd.DataFrame:
    curve = curve.dropna(subset=["source"]).sort_values("epoch")
    return curve[phase(curve["epoch"].to_numpy(float), cell.onset, cell.knee, part)]


def deeper_half(run: RunTables, learned: float) -> Measured:
    """Edge activation ratio of the deeper minus the shallower layers, last minus first checkpoint,
    beside the paired null run.

    As published, layer 0 holds the edges that leave the input as well and the last layer is left
    out. Ratios are divided by the share of all edges kept: a random circuit has 0.
    """
    require_learned(run, learned)
    return against(_deeper(run), _deeper(run.paired_null()))


def _deeper(run: RunTables) -> float:
    table = run.table("activation_ratio")
    table = table[table["layer"] < int(run.table("graph")["n_layers"].iloc[0]) - 1]
    table = table.assign(layer=table["layer"].clip(lower=0))
    keys = [*CELL, "step", "layer"]
    counts = table.groupby(keys)[["kept", "possible"]].sum()
    counts["expected"] = table.groupby(keys)["expected"].first()
    ratios = (counts["kept"] / counts["possible"] / counts["expected"]).unstack("layer")
    half = ratios.shape[1] // 2
    if not half:
        raise NotMeasured("the model has too few layers to compare deep with shallow ones")
    gap = ratios.iloc[:, -half:].mean(axis=1) - ratios.iloc[:, :half].mean(axis=1)
    cells = gap.groupby(level=CELL)
    return mean(cells.last() - cells.first(), "activation ratios")


def role(run: RunTables, name: str, statistic: str, learned: float) -> Measured:
    """Change of a role's share (%) of the circuit's heads, beside all heads of the model.

    ``statistic`` "published" leaves the answer out, "answer" is the right answer's logit.
    """
    require_learned(run, learned)
    table = run.table("role_shares" + "_published" * (statistic == "published"))
    cells = table[table["role"] == name].sort_values("step").groupby(CELL)
    return against(*(100 * mean(cells[c].last() - cells[c].first(), "this role")
                     for c in ("value", "expected")))  # fmt: skip
