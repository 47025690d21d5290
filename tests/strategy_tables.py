"""Synthetic tables that the tests of figures on strategies draw from."""

from __future__ import annotations

import pandas as pd
from plot_tables import grid

from kc_utils.study.experiments.strategies.plans import STRATEGIES

SEEDS = [0, 1, 2]


def strategies() -> pd.DataFrame:
    """Curves of three seeds: new facts rise, old facts fall, each strategy at another pace."""
    frame = grid(strategy=list(STRATEGIES), step=list(range(0, 60, 10)), profile=["tiny"],
                 seed=SEEDS)  # fmt: skip
    pace = 1 + frame["strategy"].map({name: i for i, name in enumerate(STRATEGIES)})
    done = frame["step"] / 50
    return frame.assign(
        tokens=frame["step"] * 512,
        new_accuracy=done * pace / 10 + 0.01 * frame["seed"],
        old_accuracy=0.9 - done * pace / 10 + 0.01 * frame["seed"],
        entropy=6 - done,
    )


def summary() -> pd.DataFrame:
    """A row per strategy and seed, as in the table ``strategies_summary``."""
    frame = grid(strategy=list(STRATEGIES), profile=["tiny"], seed=SEEDS)
    pace = 1 + frame["strategy"].map({name: i for i, name in enumerate(STRATEGIES)})
    area = pace / 20 + 0.01 * frame["seed"]
    return frame.assign(area_new=area, change_old=-0.9 * area + 0.01 * frame["seed"] ** 2)
