"""Stage ``unseen``: answers about people never seen, and bits of knowledge."""

from __future__ import annotations

from kc_utils.stages.engine import Workspace


def compute(work: Workspace) -> None:
    raise NotImplementedError
