"""Stage ``evidence``: the ledger of one run with the claims of the experiments."""

from __future__ import annotations

import pandas as pd

from kc_utils.runs.stage import Workspace
from kc_utils.study.claims.ledger import experiment_ledger


def compute(work: Workspace) -> None:
    """Table ``evidence``: the rows of ``claims``, then those of the experiments."""
    study = work.run.table("claims")
    work.table("evidence", pd.concat([study, experiment_ledger(work.run)], ignore_index=True))
