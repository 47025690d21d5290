"""Means over seeds: each seed counts once, and the interval is a t interval over seeds.

Nothing inside a run is resampled here. People, cells and checkpoints of one run share a model, so
only another seed says what another model would do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats as scipy_stats

from kc_utils.analysis.stats.intervals import Interval
from kc_utils.errors import KcError

LEVEL = 0.95
LEAST_SEEDS = 3
"""Two values give an interval so wide (t = 12.7) that it says nothing but that they are two."""
_PER_EPOCH = 20


def half_width(spread: ArrayLike | float, n: ArrayLike | int, level: float = LEVEL) -> np.ndarray:
    """Half of the t interval of a mean over ``n`` values, at least two, with this ``spread``.

    Args:
        spread: standard deviation with n - 1 in the denominator.
        n: how many values the mean is taken over.
        level: share of such intervals that cover the true mean.
    """
    n = np.asarray(n)
    return np.asarray(scipy_stats.t.ppf((1 + level) / 2, n - 1) * np.asarray(spread) / np.sqrt(n))


def t_interval(values: ArrayLike, level: float = LEVEL) -> Interval:
    """Mean with a t interval; the ends are NaN with fewer than three values, all without any."""
    array = np.asarray(values, dtype=float)
    if not len(array):
        return Interval(math.nan, math.nan, math.nan)
    mean = float(array.mean())
    if len(array) < LEAST_SEEDS:
        return Interval(mean, math.nan, math.nan)
    half = float(half_width(array.std(ddof=1), len(array), level))
    return Interval(mean, mean - half, mean + half)


def seed_means(
    frame: pd.DataFrame,
    keys: Sequence[str],
    value: str = "value",
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> pd.DataFrame:
    """Mean of ``value`` over rows with equal ``keys``, with a 95 % t interval over their seeds.

    Rows of one seed (bands, people, cells) are averaged first. Without a column ``seed`` the table
    counts as one seed. A t interval knows no bounds: its ends are cut to ``bounds``, (0, 1) for a
    share.

    Returns:
        The keys in the order of first appearance, then value (the mean, whatever the column was
        called), low, high (NaN with fewer than three seeds) and n_seeds.

    Raises:
        KcError: a column is missing.
    """
    missing = [name for name in (value, *keys) if name not in frame.columns]
    if missing:
        raise KcError(f"Means over seeds need the column {missing[0]!r}, which the table lacks.")
    per_seed = ["seed"] if "seed" in frame else []
    means = frame.groupby([*keys, *per_seed], as_index=False, sort=False)[value].mean()
    grouped = means.groupby(list(keys), sort=False)[value]
    table = grouped.agg(value="mean", sd="std", n_seeds="count").reset_index()
    enough = table["n_seeds"] >= LEAST_SEEDS
    half = pd.Series(half_width(table["sd"], table["n_seeds"].clip(lower=2))).where(enough)
    low, high = (table["value"] + side * half for side in (-1, 1))
    table = table.assign(low=low.clip(*bounds), high=high.clip(*bounds))
    return table[[*keys, "value", "low", "high", "n_seeds"]]


def planned_epoch(epoch: pd.Series) -> pd.Series:
    """Epochs to the nearest twentieth, where checkpoints of all seeds meet.

    A checkpoint lies behind a whole step, and seeds differ in their steps per epoch: what was
    planned for epoch 3.5 was kept at 3.496 in one and at 3.504 in another.
    """
    return (epoch.astype(float) * _PER_EPOCH).round() / _PER_EPOCH


def at_common_epochs(table: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """The rows at epochs that all seeds of a curve have; ``epoch`` is the planned one.

    A seed that looked at one more checkpoint would bend the mean there towards itself.
    ``keys`` tell the curves apart.
    """
    table = table.assign(epoch=planned_epoch(table["epoch"]))
    seeds = table.groupby([*keys, "epoch"])["seed"].transform("nunique")
    return table[seeds == table.groupby(list(keys))["seed"].transform("nunique")]
