"""Formation, then optimisation: does the circuit's topology turn, when, and towards what?"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from kc_utils.analysis.stats.breakpoint import MIN_POINTS, fit_breakpoint
from kc_utils.analysis.stats.intervals import Interval
from kc_utils.analysis.stats.resample import NotMeasured, over_cells, spread
from kc_utils.analysis.topology import expected_jaccard
from kc_utils.runs.folder import Run
from kc_utils.study.claims.claim import Claim, Finding, point

CELL = ["task", "kind", "band"]
SHUFFLES = 5
"""Shuffled copies of each entropy curve."""

_FIT_RESAMPLES = 200


def first_and_last(curves: pd.DataFrame, column: str) -> pd.DataFrame:
    """``column`` of each cell at its first and last checkpoint: columns first, last."""
    ordered = curves.sort_values("step").groupby(CELL)[column]
    table = pd.DataFrame({"first": ordered.first(), "last": ordered.last()})
    if curves["step"].nunique() < 2:
        raise NotMeasured("there are fewer than two checkpoints")
    return table


def bend_exists(run: Run) -> Finding:
    """Share of cells whose entropy curve has one sharp bend, beside shuffled curves."""
    bends = run.table("phase_shift").query("quantity == 'entropy'")
    shuffled = _shuffled_bends(run)
    if bends.empty or not shuffled:
        raise NotMeasured(f"a bend needs at least {MIN_POINTS} checkpoints")
    said = bends["decision"].value_counts()
    found, open_ = int(said.get("bend", 0)), int(said.get("undecided", 0))
    least, most = _share(found, len(bends)), _share(found + open_, len(bends))
    effect = Interval(least.mean, least.low, most.high)
    note = f"{open_} of {len(bends)} fits are undecided; the upper end counts them as bends."
    return Finding(
        effect, _share(sum(shuffled), len(shuffled)), len(bends), "cells", note=note,
        at_most=most.mean,
    )  # fmt: skip


def bends_coincide(run: Run) -> Finding:
    """Epoch of the entropy's bend minus epoch of the accuracy's, over cells."""
    bends = run.table("phase_shift")
    if bends.empty:
        raise NotMeasured(f"a bend needs at least {MIN_POINTS} checkpoints")
    usable = bends[bends["decision"] != "no bend"]
    epochs = usable.pivot(index=CELL, columns="quantity", values="breakpoint_epoch")
    both = epochs.reindex(columns=["entropy", "accuracy"]).dropna()
    if both.empty:
        raise NotMeasured("no cell has a bend in entropy and in accuracy")
    # Accuracy is the same curve for every task, so a type and band is one unit.
    units = both.index.get_level_values("kind") + both.index.get_level_values("band")
    effect = over_cells(both["entropy"] - both["accuracy"], groups=units, **_resampling(run))
    epoch = run.table("checkpoints")["epoch"]
    margin = max(0.05 * float(epoch.max()), float(epoch.diff().median()))
    note = f"{len(both)} of {bends.groupby(CELL).ngroups} cells have both bends."
    return Finding(effect, point(0.0), len(both), "cells", margin=margin, note=note)


def edges_stabilise(run: Run) -> Finding:
    """Edge overlap with the checkpoint before: last quarter of the checkpoints minus first."""
    curves = run.table("topology").dropna(subset=["edge_jaccard_previous"])
    steps = sorted(curves["step"].unique())
    if len(steps) < 4:
        raise NotMeasured("there are fewer than five checkpoints")
    quarter = len(steps) // 4
    total = int(run.table("graph")["n_edges"].iloc[0])
    curves = curves.assign(chance=[expected_jaccard(k, k, total) for k in curves["n_edges"]])
    late = curves[curves["step"].isin(steps[-quarter:])].groupby(CELL)
    early = curves[curves["step"].isin(steps[:quarter])].groupby(CELL)
    gap, chance = (
        over_cells(late[c].mean() - early[c].mean(), **_resampling(run))
        for c in ("edge_jaccard_previous", "chance")
    )
    return Finding(gap, chance, late.ngroups, "cells")


def nodes_steadier(run: Run) -> Finding:
    """Node overlap minus edge overlap with the last circuit, beside random circuits."""
    curves = run.table("topology")
    curves = curves[curves["step"] < curves["step"].max()]
    if curves.empty:
        raise NotMeasured("there are fewer than two checkpoints")
    means = curves.groupby(CELL).mean(numeric_only=True)
    own, random = (
        over_cells(means[f"{prefix}node_jaccard"] - means[f"{prefix}edge_jaccard"],
                   **_resampling(run))
        for prefix in ("", "random_")
    )  # fmt: skip
    return Finding(own, random, len(means), "cells")


def entropy_falls(run: Run) -> Finding:
    """Entropy at the last minus at the first checkpoint, beside two draws of noise."""
    table = first_and_last(run.table("topology"), "entropy")
    effect = over_cells(table["last"] - table["first"], **_resampling(run))
    edges = int(run.table("graph")["n_edges"].iloc[0])
    rng = np.random.default_rng([run.config.seed, 54])
    noise = _noise_entropies(edges, 100, rng)
    drawn = rng.choice(noise, (1000, len(table))) - rng.choice(noise, (1000, len(table)))
    return Finding(effect, spread(0.0, drawn.mean(axis=1)), len(table), "cells")


def _noise_entropies(n_edges: int, n: int, rng: np.random.Generator) -> np.ndarray:
    def one() -> float:
        p = np.abs(rng.normal(size=n_edges))
        p /= p.sum()
        return float(-(p * np.log(p)).sum())

    return np.array([one() for _ in range(n)])


def _shuffled_bends(run: Run) -> list[bool]:
    rng = np.random.default_rng([run.config.seed, 55])
    found = []
    for _, part in run.table("topology").groupby(CELL):
        if part["epoch"].nunique() < MIN_POINTS:
            continue
        for i in range(SHUFFLES):
            values = rng.permutation(part["entropy"].to_numpy())
            fit = fit_breakpoint(part["epoch"], values, n=_FIT_RESAMPLES, seed=run.config.seed + i)
            found.append(fit.decision() == "bend")
    return found


def _share(hits: int, total: int) -> Interval:
    exact = binomtest(hits, total).proportion_ci(0.95, method="exact")
    return Interval(hits / total, float(exact.low), float(exact.high))


def _resampling(run: Run) -> dict[str, int]:
    return {"n": run.config.analysis.bootstrap, "seed": run.config.seed}


CLAIMS = (
    Claim(
        id="phase-shift",
        topic="phases",
        claim="Most circuits' entropy curves turn at one sharp bend (phase shift)",
        paper="entropy 8.3, steep fall to 6.7 by epoch 8, slow fall to about 6 (by eye)",
        quantity="cells with a bend (share)",
        control="epochs of each curve shuffled",
        test="two-segment fit against line and smooth curve per cell; exact binomial interval",
        direction="above",
        margin=0.5,
        notebook="06_topology",
        measure=bend_exists,
    ),
    Claim(
        id="phase-accuracy",
        topic="phases",
        claim="The bend of entropy comes when accuracy takes off",
        paper="both near epoch 7 of 25",
        quantity="bend, entropy minus accuracy (epochs)",
        control="the same epoch",
        test="bootstrap over types and bands; equal within 5 % of training",
        direction="equal",
        margin=1.0,
        notebook="06_topology",
        measure=bends_coincide,
    ),
    Claim(
        id="edges-stabilise",
        topic="phases",
        claim="The circuit's edges change less and less",
        paper="edge Jaccard with the last circuit rises from 0.27 to 0.63",
        quantity="edge Jaccard, late minus early",
        control="change of chance overlap",
        test="overlap with the checkpoint before, last and first quarter; bootstrap over cells",
        direction="above",
        margin=0.02,
        notebook="06_topology",
        measure=edges_stabilise,
    ),
    Claim(
        id="nodes-steadier",
        topic="phases",
        claim="Nodes stay more than edges do, beyond what size explains",
        paper="Jaccard with the last circuit: nodes 0.86 to 0.98, edges 0.27 to 0.63",
        quantity="node minus edge Jaccard",
        control="two random circuits",
        test="mean over checkpoints before the last; bootstrap over cells",
        direction="above",
        margin=0.02,
        notebook="06_topology",
        measure=nodes_steadier,
    ),
    Claim(
        id="entropy-falls",
        topic="phases",
        claim="Importance concentrates on fewer edges: entropy falls",
        paper="8.3 at the start, 5.9 to 6.3 at the end",
        quantity="entropy, last minus first (nats)",
        control="two draws of noise scores",
        test="bootstrap over cells; noise = independent normal scores on all edges",
        direction="below",
        margin=0.1,
        notebook="06_topology",
        measure=entropy_falls,
    ),
)
