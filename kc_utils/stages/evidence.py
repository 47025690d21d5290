"""Stage ``evidence``: the ledger of one run with the claims of the experiments."""

from __future__ import annotations

from kc_utils.stages.engine import Workspace


def compute(work: Workspace) -> None:
    raise NotImplementedError
