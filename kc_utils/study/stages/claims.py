"""Stage ``claims``: the ledger."""

from __future__ import annotations

from kc_utils.runs.stage import Workspace


def compute(work: Workspace) -> None:
    """Table ``claims``."""
    from kc_utils.study.claims.ledger import ledger

    work.table("claims", ledger(work.run))
