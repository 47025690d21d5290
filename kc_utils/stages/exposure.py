"""Experiment ``exposure``: gain and decay of single exposures, repeated and varied wording."""

from __future__ import annotations

from kc_utils.stages.engine import Workspace


def compute(work: Workspace) -> None:
    raise NotImplementedError
