"""Aligned circuits: one checkpoint's edges, run inside every other checkpoint.

Init, Before, After and Last are the first checkpoint, the two around the knee of the entropy of
kept edges (the phase shift, where the steep fall turns slow), and the last one (paper, section
6.4). They are studied for the first task of the configuration. The last checkpoint also has a
random circuit as large as Last, and mean outputs outside of circuits.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from torch import Tensor

from kc_utils.analysis.stats.bend_models import BendModels
from kc_utils.analysis.stats.bends import MIN_POINTS
from kc_utils.analysis.topology import entropy
from kc_utils.circuits import Circuit, random_circuit, top_n
from kc_utils.circuits.graph import Graph
from kc_utils.runs.folder import Run
from kc_utils.study.stages import common

NAMES = ("Init", "Before", "After", "Last")


def find_phases(run: Run) -> pd.DataFrame:
    """The knee of each cell's entropy curve: epoch, and the checkpoints before and after it.

    Entropy is over the kept edges, as published; 0 where pruning leaves fewer than two.
    """
    graph, n = common.graph_of_run(run), common.circuit_size(run)
    curve = pd.DataFrame(
        [
            {"step": int(row["step"]), "epoch": float(row["epoch"]), **cell._asdict(),
             "entropy": entropy(scores, kept) if kept.sum() > 1 else 0.0}
            for row, cell, scores in common.each_score(run)
            for kept in (top_n(scores, graph, n).edges,)
        ]
    )  # fmt: skip
    rows = []
    for names, part in curve.groupby(["task", "kind", "band"], sort=False):
        part = part.sort_values("step").reset_index(drop=True)
        bend = knee_epoch(part["epoch"], part["entropy"])
        after = int(np.searchsorted(part["epoch"], bend, side="right"))
        after = min(max(after, 1), len(part) - 1)
        rows.append(
            dict(zip(["task", "kind", "band"], names, strict=True))
            | {
                "knee_epoch": bend,
                "Init": part["step"].iloc[0],
                "Before": part["step"].iloc[after - 1],
                "After": part["step"].iloc[after],
                "Last": part["step"].iloc[-1],
            }
        )
    return pd.DataFrame(rows)


def knee_epoch(epochs: pd.Series, values: pd.Series) -> float:
    """Epoch of the fitted knee, decided or not: circuits are frozen on either side of it.

    With too few checkpoints, or without a knee of the right sign, the middle of the largest step.
    """
    if len(epochs) >= MIN_POINTS:
        x, y = epochs.to_numpy(float), values.to_numpy(float)
        knee = float(BendModels(x, y, rising=False).epochs("onset and knee")[1])
        if np.isfinite(knee):
            return knee
    steps = values.diff().abs().fillna(0.0)
    at = int(steps.argmax())
    return float(epochs.iloc[max(at - 1, 0) : at + 1].mean())


def aligned_circuits(
    run: Run,
    graph: Graph,
    number: int,
    step: int,
    phases: pd.DataFrame,
    scores_at: Callable[[int], dict[str, Tensor]],
) -> list[tuple[str, int, Circuit, tuple[str, ...]]]:
    """The frozen topologies of a cell (by its number) that are run at one checkpoint.

    Name, step of origin, circuit and ablations of each; none for other tasks than the first.
    ``scores_at`` reads the scores of a checkpoint.
    """
    cell = common.cells(run.config)[number]
    if cell.task != run.config.circuit.tasks[0]:
        return []
    at = phases.set_index(list(cell._fields)).loc[tuple(cell)]
    under: tuple[str, ...] = ("corrupted", "zero")
    if step == int(at["Last"]):
        under = (*under, "mean")
    found = []
    for name in NAMES:
        origin = int(at[name])
        circuit = top_n(scores_at(origin)[cell.name], graph, common.circuit_size(run))
        found.append((name, origin, circuit, under))
    if "mean" in under:
        # Another draw than the random circuits that stand beside own ones.
        seed = (run.config.seed * 1000 + number) * 100 + 99
        found.append(("Random", step, random_circuit(graph, found[-1][2].n_edges, seed), under))
    return found
