"""Experiment ``strategies``: continual pre-training at one token budget, six ways."""

from __future__ import annotations

from kc_utils.stages.engine import Workspace


def compute(work: Workspace) -> None:
    raise NotImplementedError
