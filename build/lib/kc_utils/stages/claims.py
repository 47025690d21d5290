"""Stage ``claims``: the ledger."""

from __future__ import annotations

from kc_utils.stages.engine import Workspace


def compute(work: Workspace) -> None:
    """Table ``claims``."""
    from kc_utils.claims import ledger

    work.table("claims", ledger(work.run))
