"""The paper's three main claims in one sentence: what became of each, over all models together."""

from __future__ import annotations

from collections.abc import Collection, Set
from dataclasses import dataclass

import pandas as pd

from kc_utils.analysis.stats.seeds import LEAST_SEEDS
from kc_utils.study.claims.verdicts import HOLDS, NO_EFFECT, OPPOSITE, SMALLER


@dataclass(frozen=True)
class Short:
    """A main claim of the paper, by its ``id`` in the ledger, with a clause for each outcome.

    ``opposite_alike`` stands for ``opposite`` where runs with nothing to learn show the same.
    """

    id: str
    holds: str
    some: str
    smaller: str
    none: str
    opposite: str
    mixed: str
    opposite_alike: str = ""

    def clause(self, verdicts: Set[str], alike: bool = False) -> str:
        """What all models say together: the weakest that they have in common.

        ``alike``: whether runs with nothing to learn show the same.
        """
        if verdicts == {HOLDS}:
            return self.holds
        if verdicts == {SMALLER}:
            return self.smaller
        if verdicts == {HOLDS, SMALLER}:
            return self.some
        if verdicts == {NO_EFFECT}:
            return self.none
        if verdicts == {OPPOSITE}:
            return self.opposite_alike if alike and self.opposite_alike else self.opposite
        return self.mixed


CLAIMS = (
    Short(
        "relevant-progress",
        holds="new facts about known people do come sooner",
        some="new facts about known people do come sooner, though in some models perhaps by too "
        "little to matter",
        smaller="new facts about known people do come sooner, though perhaps by too little to "
        "matter",
        none="new facts about known people come no sooner",
        opposite="new facts about known people come later, not sooner",
        mixed="whether new facts about known people come sooner depends on the model, or is open",
    ),
    Short(
        "knee-entropy",
        holds="circuits do form fast and are then refined slowly",
        some="circuits do form fast and are then refined slowly, though not clearly in every model",
        smaller="circuits do form fast and are then refined slowly, though not clearly",
        none="circuits show no turn from fast formation to slow refinement",
        opposite="a turn from fast formation to slow refinement is rarer in circuits than in "
        "their controls",
        mixed="whether circuits turn from fast formation to slow refinement depends on the model, "
        "or is open",
    ),
    Short(
        "shallow-later",
        holds="once formed, they do grow towards shallow layers",
        some="once formed, they do grow towards shallow layers, though in some models perhaps by "
        "too little to matter",
        smaller="once formed, they do grow towards shallow layers, though perhaps by too little to "
        "matter",
        none="they do not grow from deep to shallow layers, but stay where they formed",
        opposite="they do not grow from deep to shallow layers, but move deeper once they have "
        "formed",
        mixed="whether they grow from deep to shallow layers depends on the model, or is open",
        opposite_alike="they do not grow from deep to shallow layers: once formed they move "
        "deeper, but so do circuits in runs with nothing to learn",
    ),
)


def in_short(ledger: pd.DataFrame, alike: Collection[str] = ()) -> str:
    """The sentence; empty where no profile has seeds enough, or a claim is not in the ledger.

    Args:
        ledger: rows of the profiles that are told, :func:`kc_utils.book.evidence_words.settled`.
        alike: ids of claims of which runs with nothing to learn show the same as the real ones.
    """
    verdicts = [set(ledger.loc[ledger["id"] == claim.id, "verdict"]) for claim in CLAIMS]
    if not all(verdicts) or ledger["n_seeds"].max() < LEAST_SEEDS:
        return ""
    said = "; ".join(
        claim.clause(found, claim.id in alike)
        for claim, found in zip(CLAIMS, verdicts, strict=True)
    )
    return f"**In short**, of the paper's three main claims: {said}."
