"""Experiment ``relevance``: kinds of relevance as a dose."""

from __future__ import annotations

from kc_utils.stages.engine import Workspace


def compute(work: Workspace) -> None:
    raise NotImplementedError
