"""Roles of heads, put to a harder test: other thresholds, and whether heads keep their roles."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pandas as pd

from kc_utils.analysis.stats.resample import NotMeasured, over_cells, spread
from kc_utils.runs.folder import Run
from kc_utils.study.claims.claim import Claim, Direction, Finding, point
from kc_utils.study.claims.depth import role_change
from kc_utils.study.claims.phases import CELL, first_and_last

_DEALT = 200  # times that roles are dealt out at random
_HEAD = ["layer", "head"]


def threshold_change(run: Run, role: str, ratio: float) -> Finding:
    """Change of a role's share of the circuit's heads when roles are cut at another ratio."""
    heads = run.table("head_roles")
    inside = heads[heads["in_circuit"]]
    inside = inside.assign(value=_played(inside["ratio"], role, ratio))
    shares = inside.groupby([*CELL, "step"], as_index=False)["value"].mean()
    table = first_and_last(shares, "value")
    effect = over_cells(table["last"] - table["first"], **_resampling(run))
    used = run.config.analysis.role_ratio
    return Finding(effect, point(0.0), len(table), "cells", note=f"The study cuts at {used:g}.")


def heads_change(run: Run) -> Finding:
    """Jaccard of the mover heads of neighbouring checkpoints, beside what their numbers permit."""
    kept = _neighbours(run)
    effect = over_cells(kept.groupby(level=CELL)["jaccard"].mean(), **_resampling(run))
    control = over_cells(kept.groupby(level=CELL)["permitted"].mean(), **_resampling(run))
    random = kept["dealt"].apply(np.mean).groupby(level=CELL).mean().mean()
    note = f"Roles dealt out at random would give {random:.2f}."
    return Finding(effect, control, kept.groupby(level=CELL).ngroups, "cells", note=note)


def heads_stay(run: Run) -> Finding:
    """The same Jaccard, beside the one of roles dealt out at random at every checkpoint."""
    kept = _neighbours(run)
    effect = over_cells(kept.groupby(level=CELL)["jaccard"].mean(), **_resampling(run))
    cells = [np.mean(np.stack(list(d)), axis=0) for _, d in kept["dealt"].groupby(level=CELL)]
    dealt = np.mean(cells, axis=0)
    return Finding(effect, spread(float(dealt.mean()), dealt), len(cells), "cells")


def _neighbours(run: Run) -> pd.DataFrame:
    """One row per cell and pair of neighbouring checkpoints in the second half of training.

    Columns: jaccard of the two sets of mover heads; permitted, the largest that their sizes allow
    (smaller by larger); dealt, an array of values when each checkpoint's movers are drawn from its
    circuit's heads. Pairs of which one or both have no mover are left out.
    """
    heads = run.table("head_roles")
    movers = heads[heads["in_circuit"]].assign(mover=lambda t: t["role"] == "mover")
    steps = np.sort(movers["step"].unique())
    late = steps[steps >= steps[-1] / 2]
    rng = np.random.default_rng([run.config.seed, 83])
    rows = []
    for cell, part in movers[movers["step"].isin(late)].groupby(CELL):
        sets = [_sets(part[part["step"] == step]) for step in late]
        for (inside, one), (inside_next, two) in itertools.pairwise(sets):
            if one and two:
                sizes = sorted([len(one), len(two)])
                dealt = [
                    _jaccard(_deal(inside, len(one), rng), _deal(inside_next, len(two), rng))
                    for _ in range(_DEALT)
                ]
                rows.append((*cell, _jaccard(one, two), sizes[0] / sizes[1], np.array(dealt)))
    if not rows:
        raise NotMeasured("no circuit has a mover head at two checkpoints in a row")
    columns = [*CELL, "jaccard", "permitted", "dealt"]
    return pd.DataFrame(rows, columns=columns).set_index(CELL)


def _sets(part: pd.DataFrame) -> tuple[list, set]:
    names = list(part[_HEAD].itertuples(index=False, name=None))
    return names, {name for name, mover in zip(names, part["mover"], strict=True) if mover}


def _deal(heads: list, n: int, rng: np.random.Generator) -> set:
    return {heads[i] for i in rng.permutation(len(heads))[:n]}


def _jaccard(one: set, two: set) -> float:
    return len(one & two) / len(one | two)


def _played(ratio: pd.Series, role: str, cut: float) -> pd.Series:
    """Whether heads with these subject/relation ratios play a role (NaN: a mixture head)."""
    if role == "mover":
        return (ratio > cut).astype(float)
    return (ratio < 1 / cut).astype(float)


def _resampling(run: Run) -> dict[str, int]:
    return {"n": run.config.analysis.bootstrap, "seed": run.config.seed}


def _threshold(role: str, ratio: float, direction: Direction) -> Claim:
    growing = "growing" if direction == "above" else "shrinking"
    return Claim(
        id=f"{role}-ratio-{ratio:g}",
        topic="depth",
        claim=f"{role.capitalize()} heads take a {growing} share, cut at ratio {ratio:g}",
        paper="one threshold (10); 0.01 to 0.23 for movers, 0.41 to 0.08 for relation heads",
        quantity=f"{role} heads, last minus first (share)",
        control="no change",
        test="share of the circuit's heads with the roles cut anew; bootstrap over cells",
        direction=direction,
        margin=0.03,
        notebook="07_components",
        measure=functools.partial(threshold_change, role=role, ratio=ratio),
    )


CLAIMS = (
    Claim(
        id="mixture-nothing",
        topic="depth",
        claim="The share of mixture heads stays the same",
        paper="about 0.6 of the circuit's heads throughout",
        quantity="mixture heads, last minus first (share)",
        control="no change",
        test="share of the circuit's heads; bootstrap over cells",
        direction="equal",
        margin=0.1,
        notebook="07_components",
        measure=functools.partial(role_change, role="mixture", against="nothing"),
    ),
    _threshold("mover", 3.0, "above"),
    _threshold("mover", 30.0, "above"),
    _threshold("relation", 3.0, "below"),
    _threshold("relation", 30.0, "below"),
    Claim(
        id="roles-persist",
        topic="depth",
        claim="The job of moving stays while the heads that do it change",
        paper="the algorithm stays, its heads change (Tigges et al. 2024, other tasks)",
        quantity="Jaccard of mover heads, next checkpoint",
        control="as many movers, fewest changes",
        test="second half of training, mean over neighbouring checkpoints; bootstrap over cells",
        direction="below",
        margin=0.1,
        notebook="07_components",
        measure=heads_change,
    ),
    Claim(
        id="movers-stay",
        topic="depth",
        claim="Mover heads stay movers more often than chance",
        paper="the algorithm stays, its heads change (Tigges et al. 2024, other tasks)",
        quantity="Jaccard of mover heads, next checkpoint",
        control="movers dealt out at random",
        test="second half of training; bootstrap over cells, movers drawn from the circuit's heads",
        direction="above",
        margin=0.1,
        notebook="07_components",
        measure=heads_stay,
    ),
)
