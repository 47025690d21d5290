"""The ledger: every claim that a run can test, with a verdict that is computed.

A claim pairs a sentence of the paper, of another paper or of this book with a measurement, a
control and a smallest difference that counts (:class:`~kc_utils.study.claims.claim.Claim`,
``margins.toml``). The rule from numbers to verdict is :mod:`kc_utils.study.claims.verdicts`, the
same for all of them.
"""

from __future__ import annotations

import pandas as pd

from kc_utils.runs.folder import Run
from kc_utils.runs.stage import Workspace
from kc_utils.study.claims import (
    acquisition,
    depth,
    elasticity,
    frequency,
    function,
    heads,
    phases,
    shift,
    unseen,
)
from kc_utils.study.claims.claim import Claim, rows
from kc_utils.study.experiments.exposure import claims as exposure
from kc_utils.study.experiments.relevance import claims as relevance
from kc_utils.study.experiments.strategies import claims as strategies

TOPICS = (acquisition, frequency, unseen, shift, phases, depth, heads, function, elasticity)
CLAIMS: tuple[Claim, ...] = tuple(claim for topic in TOPICS for claim in topic.CLAIMS)

#: Topics of the experiments; their tables come from ``kc sweep`` only.
EXPERIMENTS = (relevance, exposure, strategies)
EXPERIMENT_CLAIMS: tuple[Claim, ...] = tuple(c for topic in EXPERIMENTS for c in topic.CLAIMS)


def ledger(run: Run) -> pd.DataFrame:
    """One row per claim, in the order of the book.

    Columns: :data:`kc_utils.study.claims.claim.COLUMNS`. Intervals are 95 %. A claim that the run
    cannot speak to has NaN numbers, the verdict "not measured" and the reason in ``note``.
    """
    return rows(run, CLAIMS)


def experiment_ledger(run: Run) -> pd.DataFrame:
    """The same for the claims that the experiments of a sweep speak to."""
    return rows(run, EXPERIMENT_CLAIMS)


def compute_claims(work: Workspace) -> None:
    """Stage ``claims``: the ledger of the study, table ``claims``."""
    work.table("claims", ledger(work.run))


def compute_evidence(work: Workspace) -> None:
    """Stage ``evidence``: the rows of ``claims``, then those of the experiments."""
    study = work.run.table("claims")
    work.table("evidence", pd.concat([study, experiment_ledger(work.run)], ignore_index=True))


__all__ = ["CLAIMS", "EXPERIMENT_CLAIMS", "Claim", "experiment_ledger", "ledger"]
