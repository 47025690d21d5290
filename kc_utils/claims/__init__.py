"""The ledger: every claim of the paper that a run can test, with a verdict that is computed.

A claim pairs the paper's sentence with a measurement, a control and a smallest effect that counts
(:class:`~kc_utils.claims.claim.Claim`). The rule from numbers to verdict is
:mod:`kc_utils.claims.verdict`, the same for all of them.
"""

from __future__ import annotations

import pandas as pd

from kc_utils.claims import acquisition, depth, elasticity, function, phases
from kc_utils.claims.claim import Claim, rows
from kc_utils.claims.verdict import verdict
from kc_utils.runs import Run

TOPICS = (acquisition, phases, depth, function, elasticity)
CLAIMS: tuple[Claim, ...] = tuple(claim for topic in TOPICS for claim in topic.CLAIMS)


def ledger(run: Run) -> pd.DataFrame:
    """One row per claim, in the order of the book.

    Columns: id, topic, claim, paper, quantity, value, low, high, control, control_value,
    control_low, control_high, test, p_value, direction, margin, verdict, note, notebook, profile,
    n, units. Intervals are 95 %. A claim that the run cannot speak to has NaN numbers, the verdict
    "undecided" and the reason in ``note``.
    """
    return rows(run, CLAIMS)


__all__ = ["CLAIMS", "Claim", "ledger", "verdict"]
