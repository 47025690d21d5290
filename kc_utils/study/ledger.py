"""The ledger: every claim of the paper that a run can test, with a verdict that is computed.

A claim pairs the paper's sentence with a measurement, a control and a smallest effect that counts
(:class:`~kc_utils.study.claims.claim.Claim`). The rule from numbers to verdict is
:mod:`kc_utils.study.claims.claim`, the same for all of them.
"""

from __future__ import annotations

import pandas as pd

from kc_utils.runs.folder import Run
from kc_utils.runs.stage import Workspace
from kc_utils.study.claims import (
    acquisition,
    consistency,
    depth,
    depth_controls,
    elasticity,
    frequency,
    function,
    heads,
    phase_controls,
    phases,
    unseen,
)
from kc_utils.study.claims.claim import Claim, rows, verdict
from kc_utils.study.experiments.exposure import claims as exposure
from kc_utils.study.experiments.relevance import claims as relevance
from kc_utils.study.experiments.strategies import claims as strategies

TOPICS = (
    acquisition, frequency, unseen, phases, phase_controls, consistency, depth, depth_controls,
    heads, function, elasticity,
)  # fmt: skip
CLAIMS: tuple[Claim, ...] = tuple(claim for topic in TOPICS for claim in topic.CLAIMS)

#: Topics of the experiments; their tables come from ``kc sweep`` only.
EXPERIMENTS = (relevance, exposure, strategies)
EXPERIMENT_CLAIMS: tuple[Claim, ...] = tuple(c for topic in EXPERIMENTS for c in topic.CLAIMS)


def ledger(run: Run) -> pd.DataFrame:
    """One row per claim, in the order of the book.

    Columns: id, topic, claim, paper, quantity, value, low, high, at_most, control, control_value,
    control_low, control_high, test, p_value, direction, margin, verdict, note, notebook, profile,
    n, units. Intervals are 95 %. A claim that the run cannot speak to has NaN numbers, the verdict
    "undecided" and the reason in ``note``.
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


__all__ = ["CLAIMS", "EXPERIMENT_CLAIMS", "Claim", "experiment_ledger", "ledger", "verdict"]
