"""Stage ``controls``: what noise, shuffled answers and an untrained model give."""

from __future__ import annotations

from kc_utils.stages.engine import Workspace


def compute(work: Workspace) -> None:
    raise NotImplementedError
