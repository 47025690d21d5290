"""Roles of heads: which grow and shrink, whether two statistics agree, whether heads keep theirs.

Roles come from two statistics on the same heads. The *published* one, computed as in the authors'
code, does not look at the answer (:mod:`kc_utils.analysis.published_roles`); what the paper
describes in words is the contribution to the logit of the right answer
(:mod:`kc_utils.analysis.head_attribution`).
"""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np
import pandas as pd

from kc_utils.analysis.stats.resample import NotMeasured, over_cells, spread
from kc_utils.config import CELL
from kc_utils.runs.folder import Run
from kc_utils.study.claims.claim import BOOK, ELSEWHERE, PAPER, Claim, Finding, point, resampling
from kc_utils.study.claims.phases import first_and_last
from kc_utils.study.claims.verdicts import Direction

_DEALT = 200  # times that roles are dealt out at random
_HEAD = ["layer", "head"]


def published_change(run: Run, role: str) -> Finding:
    """Change of a role's share of the circuit's heads by the published statistic."""
    effect, everywhere, n = _changes(run, "role_shares_published", role)
    note = f"Among all heads of the model the share changes by {everywhere.mean:+.2f}."
    return Finding(effect, point(0.0), n, "cells", note=note)


def answer_change(run: Run, role: str) -> Finding:
    """The same by the right answer's logit, beside the change among all heads of the model."""
    effect, everywhere, n = _changes(run, "role_shares", role)
    inside = run.table("head_roles").query("step == step.max()")["in_circuit"].mean()
    note = f"At the last checkpoint a circuit holds {inside:.0%} of the model's heads."
    return Finding(effect, everywhere, n, "cells", note=note)


def agreement(run: Run) -> Finding:
    """Cohen's kappa of the two roles of the circuits' heads at the last checkpoint, over cells."""
    heads = run.table("head_roles").query("in_circuit and step == step.max()")
    values = [kappa(p["role"], p["published_role"]) for _, p in heads.groupby(CELL)]
    if not np.isfinite(values).any():
        raise NotMeasured("in no circuit do heads have different roles")
    same = (heads["role"] == heads["published_role"]).mean()
    note = f"{same:.0%} of the heads have the same role."
    return Finding(over_cells(values, **resampling(run)), point(0.0), len(values), "cells",
                   note=note)  # fmt: skip


def kappa(one: pd.Series, two: pd.Series) -> float:
    """Agreement beyond chance: 1 complete, 0 chance; NaN where both only ever say one thing."""
    names = sorted({*one, *two})
    shares = [side.value_counts(normalize=True).reindex(names, fill_value=0) for side in (one, two)]
    chance = float(shares[0] @ shares[1])
    same = float((one.to_numpy() == two.to_numpy()).mean())
    return (same - chance) / (1 - chance) if chance < 1 else math.nan


def heads_stay(run: Run) -> Finding:
    """Jaccard of the mover heads of neighbouring checkpoints, beside roles dealt out at random."""
    kept = _neighbours(run)
    effect = over_cells(kept.groupby(level=CELL)["jaccard"].mean(), **resampling(run))
    cells = [np.mean(np.stack(list(d)), axis=0) for _, d in kept["dealt"].groupby(level=CELL)]
    dealt = np.mean(cells, axis=0)
    return Finding(effect, spread(float(dealt.mean()), dealt), len(cells), "cells")


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


def _changes(run: Run, name: str, role: str):
    """Last minus first share in the circuits and in the whole model, over cells; their number."""
    shares = run.table(name).query("role == @role")
    tables = [first_and_last(shares, column) for column in ("value", "expected")]
    changes = (over_cells(t["last"] - t["first"], **resampling(run)) for t in tables)
    return *changes, len(tables[0])


def _neighbours(run: Run) -> pd.DataFrame:
    """One row per cell and pair of neighbouring checkpoints in the second half of training.

    Columns: jaccard of the two sets of mover heads; dealt, an array of values when each
    checkpoint's movers are drawn from its circuit's heads. Pairs of which one or both have no mover
    are left out.
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
                dealt = [
                    _jaccard(_deal(inside, len(one), rng), _deal(inside_next, len(two), rng))
                    for _ in range(_DEALT)
                ]
                rows.append((*cell, _jaccard(one, two), np.array(dealt)))
    if not rows:
        raise NotMeasured("no circuit has a mover head at two checkpoints in a row")
    return pd.DataFrame(rows, columns=[*CELL, "jaccard", "dealt"]).set_index(CELL)


def _sets(part: pd.DataFrame) -> tuple[list, set]:
    names = list(part[_HEAD].itertuples(index=False, name=None))
    return names, {name for name, mover in zip(names, part["mover"], strict=True) if mover}


def _deal(heads: list, n: int, rng: np.random.Generator) -> set:
    return {heads[i] for i in rng.permutation(len(heads))[:n]}


def _jaccard(one: set, two: set) -> float:
    return len(one & two) / len(one | two)


_ROLES = {"topic": "depth", "notebook": "07_components"}
_REPORTED = {
    "mover": "0.01 of the circuit's nodes at the start, 0.23 at the end",
    "relation": "0.41 of the circuit's nodes at the start, 0.08 at the end",
}
_DIRECTIONS: dict[str, Direction] = {"mover": "above", "relation": "below"}


def _published(role: str, claim: str) -> Claim:
    return Claim(
        id=f"{role}-published",
        claim=claim,
        claimed_by=PAPER,
        paper=_REPORTED[role],
        quantity=f"{role} heads, last minus first (share)",
        control="no change",
        test="published statistic, share of the circuit's heads; bootstrap over cells",
        direction=_DIRECTIONS[role],
        measure=functools.partial(published_change, role=role),
        **_ROLES,
    )


def _answer(role: str, claim: str) -> Claim:
    return Claim(
        id=f"{role}-answer",
        claim=claim,
        claimed_by=BOOK,
        paper=f"{_REPORTED[role]}; by a statistic that leaves the answer out",
        quantity=f"{role} heads, last minus first (share)",
        control="all heads of the model",
        test="right answer's logit, share of the circuit's heads; bootstrap over cells",
        direction=_DIRECTIONS[role],
        measure=functools.partial(answer_change, role=role),
        **_ROLES,
    )


CLAIMS = (
    _published("mover", "Mover heads take a growing share of the circuit"),
    _published("relation", "Relation heads take a shrinking share of the circuit"),
    _answer("mover", "Judged by the answer, movers grow more in circuits than in the model"),
    _answer("relation", "Judged by the answer, relation heads shrink more than in the model"),
    Claim(
        id="roles-agree",
        claim="The published head roles agree with those judged by the answer",
        claimed_by=BOOK,
        paper="described by the right answer's logit, computed without it",
        quantity="Cohen's kappa of the two roles",
        control="chance agreement",
        test="circuit's heads at the last checkpoint; bootstrap over cells",
        direction="above",
        measure=agreement,
        **_ROLES,
    ),
    Claim(
        id="movers-stay",
        claim="Mover heads stay movers more often than chance",
        claimed_by=ELSEWHERE,
        paper="Tigges et al. 2024, other tasks: heads change, what they do together stays",
        quantity="Jaccard of mover heads, next checkpoint",
        control="movers dealt out at random",
        test="second half of training; bootstrap over cells, movers drawn from the circuit's heads",
        direction="above",
        measure=heads_stay,
        **_ROLES,
    ),
)
