"""Synthetic tables that the tests of figures on kinds of relevance draw from."""

from __future__ import annotations

import pandas as pd
from plot_tables import EPOCHS, grid, rising

from kc_utils.study.experiments.relevance.people import KINDS_OF_RELEVANCE

WORDINGS, SEEDS = ["trained", "held_out"], [0, 1, 2]


def relevance() -> pd.DataFrame:
    """Accuracy that rises sooner the more is known, over three seeds."""
    kinds = list(KINDS_OF_RELEVANCE)
    frame = grid(epoch=EPOCHS, kind_of_relevance=kinds, wording=WORDINGS, profile=["tiny"],
                 seed=SEEDS)  # fmt: skip
    level = frame["kind_of_relevance"].map({kind: i for i, kind in enumerate(kinds)})
    right = rising(frame.assign(epoch=frame["epoch"] + level))["value"].clip(lower=0)
    same = frame["kind_of_relevance"] == "same"
    old = (0.3 * (1 - right)).where(same)
    return frame.assign(accuracy=right, old_answer=old, old_chance=old / 3)


def relevance_people() -> pd.DataFrame:
    """Areas of twenty pairs of people in each of three seeds."""
    kinds = list(KINDS_OF_RELEVANCE)
    frame = grid(kind_of_relevance=kinds, pair=list(range(20)), wording=WORDINGS, profile=["tiny"],
                 seed=SEEDS)  # fmt: skip
    level = frame["kind_of_relevance"].map({kind: i for i, kind in enumerate(kinds)})
    return frame.assign(area=0.3 + 0.05 * level + 0.01 * frame["pair"] + 0.01 * frame["seed"])
