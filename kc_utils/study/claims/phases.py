"""Measures of formation and optimisation: knees, entropy, overlap."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from kc_utils.analysis.stats.bends import MIN_POINTS
from kc_utils.analysis.stats.resample import NotMeasured
from kc_utils.analysis.topology import expected_jaccard
from kc_utils.config import CELL
from kc_utils.study.claims.measured import (
    Measured,
    against,
    at,
    mean,
    require_known,
    require_learned,
)
from kc_utils.study.claims.tables import RunTables

KEPT = "entropy_kept"
LABELS = "shuffled labels"


def bends(run: RunTables, quantity: str = KEPT) -> pd.DataFrame:
    """Onset and knee (epochs, NaN where undecided) of every cell's curve of one quantity."""
    table = run.table("shift")
    table = table[table["quantity"] == quantity].reset_index(drop=True)
    if table.empty:
        raise NotMeasured(f"onset and knee need at least {MIN_POINTS} checkpoints")
    return table


def cells_with_knee(run: RunTables, quantity: str = KEPT) -> pd.DataFrame:
    """The cells with a decided knee; NotMeasured if they are fewer than half."""
    table = bends(run, quantity)
    found = table.dropna(subset=["knee"])
    if 2 * len(found) < len(table):
        raise NotMeasured(
            f"{len(found)} of {len(table)} circuits have a decided knee of {quantity}"
        )
    return found


def of_shuffled_labels(run: RunTables, name: str) -> pd.DataFrame:
    """The rows of a table of controls about circuits of shuffled labels."""
    table = run.table(name)
    return table[table["control"] == LABELS]


def bent(run: RunTables, bend: str, learned: float) -> Measured:
    """Circuits with a decided ``bend`` in the entropy of their kept edges (%), beside the circuits
    of shuffled labels in the same cells."""
    require_learned(run, learned)
    control = of_shuffled_labels(run, "control_shift")
    own = bends(run).merge(control[CELL], on=CELL)
    return against(*(100 * float(side[bend].notna().mean()) for side in (own, control)))


def knee_place(run: RunTables, published: float, learned: float) -> Measured:
    """Accuracy on texts read at the knee, in % of the last, beside the published place."""
    require_learned(run, learned)
    return against(100 * _learned_at_knee(run), published)


def optimisation(run: RunTables, learned: float) -> Measured:
    """Share of the facts learned after the knee (%), beside the share of the entropy's fall."""
    require_learned(run, learned)
    own = 100 * (1 - _learned_at_knee(run))
    curves = run.table("topology")
    total = late = 0.0
    for cell in cells_with_knee(run).itertuples(index=False):
        curve = _of(curves, cell).sort_values("epoch")
        first, end = curve[KEPT].iloc[0], curve[KEPT].iloc[-1]
        total += first - end
        late += at(cell.knee, curve, KEPT) - end
    if total <= 0:
        raise NotMeasured("the entropy of circuits does not fall")
    return against(own, 100 * late / total)


def _learned_at_knee(run: RunTables) -> float:
    """Share of the final accuracy on texts read that is there at the knee, mean over cells."""
    accuracy = run.table("accuracy_read")
    places = []
    for cell in cells_with_knee(run).itertuples(index=False):
        curve = accuracy[(accuracy["kind"] == cell.kind) & (accuracy["band"] == cell.band)]
        end = curve.loc[curve["epoch"].idxmax(), "value"]
        places.append(at(cell.knee, curve) / end if end else math.nan)
    return mean(places, "accuracy at its knee")


def entropy_falls(run: RunTables) -> Measured:
    """Entropy of kept edges in % of its maximum, last minus first, beside shuffled labels."""
    control = of_shuffled_labels(run, "control_curves")
    own = run.table("topology").merge(control[CELL].drop_duplicates(), on=CELL)
    changes = []
    for curves in (own, control):
        ends = curves.sort_values("epoch").assign(
            share=lambda t: 100 * t[KEPT] / np.log(t["n_edges"].clip(lower=2))
        )
        cells = ends.groupby(CELL)["share"]
        changes.append(mean(cells.last() - cells.first(), "an entropy"))
    return against(*changes)


def knee_earlier(
    run: RunTables, column: str, first: str, second: str, known: float = 0.0
) -> Measured:
    """Epoch of the knee where ``column`` is ``first``, beside ``second``: earlier by how many %."""
    require_known(run, known)
    others = [name for name in CELL if name != column]
    table = cells_with_knee(run).pivot(index=others, columns=column, values="knee")
    table = table.reindex(columns=[first, second]).dropna()
    if table.empty:
        raise NotMeasured(f"no knee of {first} stands beside one of {second}")
    one, two = (float(table[name].mean()) for name in (first, second))
    return Measured(one, two, 100 * (two - one) / two)


def knees_together(run: RunTables) -> Measured:
    """Knee of the entropy beside the knee of the edges' overlap with the last circuit, both in %
    of training."""
    both = cells_with_knee(run).merge(
        cells_with_knee(run, "edge_jaccard"), on=CELL, suffixes=("", "_edges")
    )
    if both.empty:
        raise NotMeasured("no cell has both knees")
    end = float(run.table("topology")["epoch"].max())
    return against(*(100 * float(both[name].mean()) / end for name in ("knee", "knee_edges")))


def edges_stabilise(run: RunTables) -> Measured:
    """Edge overlap (Jaccard, %) with the previous checkpoint, last minus first quarter, beside what
    chance overlap of circuits of these sizes changes by.

    Neighbours less than an epoch apart are left out: a shorter interval changes less.
    """
    curves = run.table("topology").dropna(subset=["edge_jaccard_previous"])
    epochs = run.table("checkpoints").sort_values("epoch")
    gap = epochs.assign(gap=epochs["epoch"].diff())[["step", "gap"]]
    curves = curves.merge(gap, on="step")
    curves = curves[curves["gap"] >= min(1.0, curves["gap"].max())]
    steps = sorted(curves["step"].unique())
    if len(steps) < 4:
        raise NotMeasured("there are fewer than five checkpoints")
    quarter, total = len(steps) // 4, int(run.table("graph")["n_edges"].iloc[0])
    chance = {k: expected_jaccard(int(k), int(k), total) for k in curves["n_edges"].unique()}
    curves = curves.assign(chance=curves["n_edges"].map(chance))
    late, early = (curves[curves["step"].isin(part)].groupby(CELL)
                   for part in (steps[-quarter:], steps[:quarter]))  # fmt: skip
    return against(*(100 * mean(late[c].mean() - early[c].mean(), "an overlap")
                     for c in ("edge_jaccard_previous", "chance")))  # fmt: skip


def nodes_steadier(run: RunTables) -> Measured:
    """Node minus edge overlap with the last circuit (%), beside random circuits."""
    curves = run.table("topology")
    curves = curves[curves["step"] < curves["step"].max()].mean(numeric_only=True)
    return against(*(100 * float(curves[f"{who}node_jaccard"] - curves[f"{who}edge_jaccard"])
                     for who in ("", "random_")))  # fmt: skip


def _of(table: pd.DataFrame, cell) -> pd.DataFrame:
    """The rows of one cell."""
    return table[(table["task"] == cell.task) & (table["kind"] == cell.kind)
                 & (table["band"] == cell.band)]  # fmt: skip
