"""The phase shift beside what it must beat: shuffled answers, an untrained model, random scores.

And its time: how early it comes, and whether the circuit's edges turn with its entropy.
"""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd

from kc_utils.analysis.stats.breakpoint import MIN_POINTS, fit_breakpoint
from kc_utils.analysis.stats.resample import NotMeasured, over_cells, spread
from kc_utils.runs.folder import Run
from kc_utils.study.claims.claim import Claim, Finding, point
from kc_utils.study.claims.phases import CELL, SHUFFLES, bend_exists

_LOCATION_ONLY = 1  # resamples of a fit of which nothing but the bend's place is used


class WithTables(Run):
    """A run some of whose tables are replaced, so that a measurement of it can be made of them."""

    def __init__(self, run: Run, **tables: pd.DataFrame) -> None:
        super().__init__(run.path, run.record)
        self._run, self._tables = run, tables

    def table(self, name: str) -> pd.DataFrame:
        """The replaced table, or the run's own."""
        return self._tables[name].copy() if name in self._tables else self._run.table(name)


def first_task(run: Run, frame: pd.DataFrame) -> pd.DataFrame:
    """The rows about the task that has controls: the first of the configuration."""
    return frame[frame["task"] == run.config.circuit.tasks[0]].reset_index(drop=True)


def control_of(run: Run, name: str) -> pd.DataFrame:
    """The rows of one control in the table ``control_curves``.

    Raises:
        NotMeasured: if there is none.
    """
    curves = run.table("control_curves").query("control == @name")
    if curves.empty:
        raise NotMeasured(f"the run has no curves of the control '{name}'")
    return curves.reset_index(drop=True)


def bend_beside(run: Run, control: str) -> Finding:
    """Share of the first task's cells with a sharp bend of entropy, beside a control's curves."""
    own = WithTables(
        run,
        topology=first_task(run, run.table("topology")),
        phase_shift=first_task(run, run.table("phase_shift")),
    )
    curves = control_of(run, control)
    other = WithTables(run, topology=curves, phase_shift=entropy_bends(run, curves))
    found, level = bend_exists(own), bend_exists(other)
    note = f"{found.note} Of the control: {level.note}"
    return Finding(
        found.effect, level.effect, found.n, "cells", note=note, at_most=found.at_most
    )  # fmt: skip


def entropy_bends(run: Run, curves: pd.DataFrame) -> pd.DataFrame:
    """The fit of every cell's entropy: task, kind, band, quantity, decision."""
    rows = []
    for cell, part in curves.groupby(CELL):
        if part["epoch"].nunique() < MIN_POINTS:
            continue
        fit = fit_breakpoint(part["epoch"], part["entropy"], **_resampling(run))
        rows.append((*cell, "entropy", fit.decision()))
    return pd.DataFrame(rows, columns=[*CELL, "quantity", "decision"])


def bend_time(run: Run) -> Finding:
    """The entropy's bend as a share of training, beside the best bends of shuffled curves."""
    bends = run.table("phase_shift").query("quantity == 'entropy' and decision != 'no bend'")
    if bends.empty:
        raise NotMeasured("no cell has a bend in entropy")
    end = float(run.table("checkpoints")["epoch"].max())
    effect = over_cells(bends["breakpoint_epoch"] / end, **_resampling(run))
    curves = run.table("topology").merge(bends[CELL], on=CELL)
    null = _shuffled_places(curves, run.config.seed) / end
    note = f"{len(bends)} cells have a bend or an undecided one."
    return Finding(effect, spread(null.mean(), _means(null, run)), len(bends), "cells", note=note)


def bends_apart(run: Run, first: str, second: str) -> Finding:
    """Epoch of one quantity's bend minus another's, over cells."""
    bends = run.table("phase_shift")
    usable = bends[bends["decision"] != "no bend"]
    epochs = usable.pivot(index=CELL, columns="quantity", values="breakpoint_epoch")
    both = epochs.reindex(columns=[first, second]).dropna()
    if both.empty:
        names = [q.replace("_", " ") for q in (first, second)]
        raise NotMeasured(f"no cell has a bend in {names[0]} and in {names[1]}")
    # Accuracy is the same curve for every task, so a type and band is one unit.
    kinds = both.index.get_level_values("kind") + both.index.get_level_values("band")
    units = kinds if "accuracy" in (first, second) else None
    effect = over_cells(both[first] - both[second], groups=units, **_resampling(run))
    epoch = run.table("checkpoints")["epoch"]
    margin = max(0.05 * float(epoch.max()), float(epoch.diff().median()))
    note = f"{len(both)} of {bends.groupby(CELL).ngroups} cells have both bends."
    return Finding(effect, point(0.0), len(both), "cells", margin=margin, note=note)


def _shuffled_places(curves: pd.DataFrame, seed: int) -> np.ndarray:
    """Epoch of the best bend of shuffled copies of each entropy curve: [shuffles, cells]."""
    rng = np.random.default_rng([seed, 61])
    places = [
        [
            fit_breakpoint(
                part["epoch"], rng.permutation(part["entropy"]), n=_LOCATION_ONLY, seed=seed
            ).breakpoint
            for _ in range(SHUFFLES)
        ]
        for _, part in curves.groupby(CELL)
    ]
    return np.array(places).T


def _means(places: np.ndarray, run: Run) -> np.ndarray:
    """Means over cells when each cell's place is drawn from its shuffled copies."""
    rng = np.random.default_rng([run.config.seed, 62])
    shape = (run.config.analysis.bootstrap, places.shape[1])
    drawn = rng.integers(len(places), size=shape)
    return places[drawn, np.arange(places.shape[1])].mean(axis=1)


def _resampling(run: Run) -> dict[str, int]:
    return {"n": run.config.analysis.bootstrap, "seed": run.config.seed}


def _beside(name: str, control: str, words: str, shown: str) -> Claim:
    return Claim(
        id=f"phase-{name}",
        topic="phases",
        claim=f"More entropy curves bend than with {words}",
        paper="one curve per model, with nothing beside it",
        quantity="cells with a bend (share)",
        control=shown,
        test="two-segment fit against line and smooth curve per cell; exact binomial intervals",
        direction="above",
        margin=0.5,
        notebook="06_topology",
        measure=functools.partial(bend_beside, control=control),
    )


def _apart(name: str, first: str, second: str, claim: str, quantity: str) -> Claim:
    return Claim(
        id=f"phase-{name}",
        topic="phases",
        claim=claim,
        paper="both near epoch 7 of 25",
        quantity=quantity,
        control="the same epoch",
        test="bootstrap over cells (with accuracy: types and bands); equal within 5 % of training",
        direction="equal",
        margin=1.0,
        notebook="06_topology",
        measure=functools.partial(bends_apart, first=first, second=second),
    )


CLAIMS = (
    _beside("labels", "shuffled labels", "shuffled answers", "answers shuffled among pairs"),
    _beside("untrained", "untrained", "people resampled, no training",
            "untrained model, resampled"),
    _beside("scores", "random", "random scores", "independent normal scores"),
    Claim(
        id="phase-epoch",
        topic="phases",
        claim="The bend of entropy comes early in training",
        paper="near epoch 7 of 25 (0.28)",
        quantity="bend of entropy (share of training)",
        control="epochs of each curve shuffled",
        test="best bend of cells that are not 'no bend'; bootstrap over cells",
        direction="below",
        margin=0.1,
        notebook="06_topology",
        measure=bend_time,
    ),
    _apart("jaccard", "entropy", "edge_jaccard",
           "The bend of entropy comes when the edges' similarity bends",
           "bend, entropy minus edges (epochs)"),
    _apart("jaccard-accuracy", "edge_jaccard", "accuracy",
           "The bend of the edges' similarity comes when accuracy takes off",
           "bend, edges minus accuracy (epochs)"),
)  # fmt: skip
