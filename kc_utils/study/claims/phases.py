"""Formation and optimisation: what changes in circuits over training, and by how much."""

from __future__ import annotations

import functools

import pandas as pd

from kc_utils.analysis.stats.resample import NotMeasured, over_cells
from kc_utils.analysis.topology import expected_jaccard
from kc_utils.config import CELL
from kc_utils.runs.folder import Run
from kc_utils.study.claims.claim import BOOK, PAPER, Claim, Finding, point, resampling
from kc_utils.study.claims.knees import decided_knees


def first_and_last(curves: pd.DataFrame, column: str) -> pd.DataFrame:
    """``column`` of each cell at its first and last checkpoint: columns first, last."""
    ordered = curves.sort_values("step").groupby(CELL)[column]
    table = pd.DataFrame({"first": ordered.first(), "last": ordered.last()})
    if curves["step"].nunique() < 2:
        raise NotMeasured("there are fewer than two checkpoints")
    return table


def entropy_falls(run: Run, column: str) -> Finding:
    """Entropy by its maximum, last minus first checkpoint, over cells."""
    table = first_and_last(run.table("topology"), column)
    effect = over_cells(table["last"] - table["first"], **resampling(run))
    return Finding(effect, point(0.0), len(table), "cells")


def optimisation(run: Run) -> Finding:
    """Entropy of kept edges by its maximum: last checkpoint minus the first one after the knee.

    Only cells with a decided knee have an optimisation phase.
    """
    knees, _ = decided_knees(run)
    curves = run.table("topology").merge(knees[[*CELL, "knee"]], on=CELL)
    later = curves[curves["epoch"] >= curves["knee"]].sort_values("epoch").groupby(CELL)
    change = later["normalised_entropy_kept"].last() - later["normalised_entropy_kept"].first()
    change = change[later.size() > 1]
    if change.empty:
        raise NotMeasured("no cell has two checkpoints after its knee")
    return Finding(over_cells(change, **resampling(run)), point(0.0), len(change), "cells")


def edges_stabilise(run: Run) -> Finding:
    """Edge overlap with the checkpoint before, last quarter of training minus first quarter.

    Checkpoints are denser early on, and a shorter interval changes less, which speaks against the
    claim; neighbours less than an epoch apart are left out.
    """
    curves = run.table("topology").dropna(subset=["edge_jaccard_previous"])
    epochs = run.table("checkpoints").sort_values("epoch")
    gap = epochs.assign(gap=epochs["epoch"].diff())[["step", "gap"]]
    curves = curves.merge(gap, on="step")
    curves = curves[curves["gap"] >= min(1.0, curves["gap"].max())]
    steps = sorted(curves["step"].unique())
    if len(steps) < 4:
        raise NotMeasured("there are fewer than five checkpoints")
    quarter = len(steps) // 4
    total = int(run.table("graph")["n_edges"].iloc[0])
    curves = curves.assign(chance=[expected_jaccard(k, k, total) for k in curves["n_edges"]])
    late = curves[curves["step"].isin(steps[-quarter:])].groupby(CELL)
    early = curves[curves["step"].isin(steps[:quarter])].groupby(CELL)
    change, chance = (
        over_cells(late[c].mean() - early[c].mean(), **resampling(run))
        for c in ("edge_jaccard_previous", "chance")
    )
    return Finding(change, chance, late.ngroups, "cells")


def nodes_steadier(run: Run) -> Finding:
    """Node overlap minus edge overlap with the last circuit, beside random circuits."""
    curves = run.table("topology")
    curves = curves[curves["step"] < curves["step"].max()]
    if curves.empty:
        raise NotMeasured("there are fewer than two checkpoints")
    means = curves.groupby(CELL).mean(numeric_only=True)
    own, random = (
        over_cells(means[f"{prefix}node_jaccard"] - means[f"{prefix}edge_jaccard"],
                   **resampling(run))
        for prefix in ("", "random_")
    )  # fmt: skip
    return Finding(own, random, len(means), "cells")


_PHASE = {"topic": "phases", "notebook": "06_topology"}

CLAIMS = (
    Claim(
        id="entropy-falls",
        claim="Importance concentrates on fewer of the circuit's edges: its entropy falls",
        claimed_by=PAPER,
        paper="8.3 nats at the start, 5.9 to 6.3 at the end, of at most 8.99",
        quantity="entropy / maximum, last minus first",
        control="no change",
        test="kept edges; bootstrap over cells",
        direction="below",
        measure=functools.partial(entropy_falls, column="normalised_entropy_kept"),
        **_PHASE,
    ),
    Claim(
        id="entropy-falls-all",
        claim="Importance concentrates among all edges of the model, too",
        claimed_by=BOOK,
        paper="entropy over kept edges only, at most ln n",
        quantity="entropy / maximum, last minus first",
        control="no change",
        test="all edges; bootstrap over cells",
        direction="below",
        measure=functools.partial(entropy_falls, column="normalised_entropy"),
        **_PHASE,
    ),
    Claim(
        id="optimisation",
        claim="After the knee, circuits are optimised: entropy goes on falling slowly",
        claimed_by=PAPER,
        paper="from 6.7 to about 6.1 nats, of at most 8.99, after epoch 8",
        quantity="entropy / maximum, last minus at knee",
        control="no change",
        test="kept edges, cells with a decided knee; bootstrap over cells",
        direction="below",
        measure=optimisation,
        main=True,
        **_PHASE,
    ),
    Claim(
        id="edges-stabilise",
        claim="The circuit's edges change less and less",
        claimed_by=PAPER,
        paper="edge Jaccard with the last circuit rises from 0.27 to 0.63",
        quantity="Jaccard with previous, late minus early",
        control="change of chance overlap",
        test="checkpoints an epoch or more apart, last and first quarter; bootstrap over cells",
        direction="above",
        measure=edges_stabilise,
        **_PHASE,
    ),
    Claim(
        id="nodes-steadier",
        claim="Nodes stay more than edges do, beyond what size explains",
        claimed_by=PAPER,
        paper="Jaccard with the last circuit: nodes 0.86 to 0.98, edges 0.27 to 0.63",
        quantity="node minus edge Jaccard",
        control="two random circuits",
        test="mean over checkpoints before the last; bootstrap over cells",
        direction="above",
        measure=nodes_steadier,
        **_PHASE,
    ),
)
