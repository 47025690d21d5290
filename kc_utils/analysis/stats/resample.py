"""Resampling for the ledger: contrasts within strata, swapped labels, means over cells.

People are the units wherever a query was asked: all answers about one person stay together.
Circuits are compared over cells (task, type, band). Cells of one run share a model and a seed, so
intervals over cells say how much cells differ, not how much another run would.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from kc_utils.analysis.stats.intervals import Interval, bootstrap_mean

MIN_CELLS = 4
"""Fewer cells than this give no interval: a bootstrap over so few is far too narrow."""

_ALL_SIGNS = 10  # up to this many units every assignment of signs is counted


def spread(mean: float, drawn: ArrayLike) -> Interval:
    """``mean`` with the central 95 % of resampled values."""
    low, high = np.quantile(np.asarray(drawn, dtype=float), [0.025, 0.975])
    return Interval(float(mean), float(low), float(high))


def contrast(
    people: pd.DataFrame, first: ArrayLike, strata: list[str], *, n: int, seed: int
) -> tuple[Interval, Interval, float]:
    """Mean of the ``first`` people minus mean of the others, within strata.

    ``people`` has one row per person and a column ``value``. The difference is taken inside each
    stratum and averaged with the strata's numbers of people as weights; strata without two
    people on either side are left out. The effect's interval resamples people inside stratum and
    side; the control shuffles the labels inside strata. Returns effect, control and the one-sided
    p-value for "above".

    Raises:
        NotMeasured: if no stratum is left.
    """
    side = np.asarray(first, dtype=bool)
    values = people["value"].to_numpy(float)
    codes = people.groupby(strata, sort=True).ngroup().to_numpy() if strata else 0 * side
    rng = np.random.default_rng([seed, 51])
    mean, drawn, null, total = 0.0, np.zeros(n), np.zeros(n), 0
    for code in np.unique(codes):
        one, two = values[(codes == code) & side], values[(codes == code) & ~side]
        if min(len(one), len(two)) < 2:
            continue
        weight = len(one) + len(two)
        total += weight
        mean += weight * (one.mean() - two.mean())
        drawn += weight * (_resampled(one, n, rng) - _resampled(two, n, rng))
        both = rng.permuted(np.tile(np.concatenate([one, two]), (n, 1)), axis=1)
        null += weight * (both[:, : len(one)].mean(axis=1) - both[:, len(one) :].mean(axis=1))
    if not total:
        raise NotMeasured("no group holds two people on either side")
    effect = spread(mean / total, drawn / total)
    control = spread(float(null.mean()) / total, null / total)
    return effect, control, _share(null / total >= mean / total - 1e-12)


def swapped(
    values: ArrayLike, weights: ArrayLike | None = None, *, n: int, seed: int
) -> tuple[Interval, float]:
    """What the weighted mean of paired differences is when the two sides are swapped at random.

    Returns the control and the one-sided p-value for "above". With few units every assignment of
    signs is counted, and the p-value is exact.
    """
    array = np.asarray(values, dtype=float)
    share = np.ones(len(array)) if weights is None else np.asarray(weights, dtype=float)
    share = share / share.sum()
    if len(array) <= _ALL_SIGNS:
        signs = np.array(list(product((1.0, -1.0), repeat=len(array))))
    else:
        signs = np.random.default_rng([seed, 52]).choice((1.0, -1.0), size=(n, len(array)))
    null = signs @ (share * array)
    reached = null >= share @ array - 1e-12
    p_value = float(reached.mean()) if len(array) <= _ALL_SIGNS else _share(reached)
    return spread(0.0, null), p_value


def ratio(
    parts: pd.DataFrame, people: pd.Series, *, n: int, seed: int
) -> tuple[Interval, np.ndarray]:
    """(sum of ``above``) / (sum of ``below``) with people resampled; also the resampled values."""
    sums = parts.groupby(people.to_numpy())[["above", "below"]].sum()
    if len(sums) < 2:
        raise NotMeasured("there are fewer than two people")
    rng = np.random.default_rng([seed, 53])
    weights = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=n)
    above, below = sums["above"].to_numpy(), sums["below"].to_numpy()
    if below.sum() == 0:
        raise NotMeasured("clean and corrupted runs give the same logit difference")
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = (weights @ above) / (weights @ below)
    return spread(above.sum() / below.sum(), drawn[np.isfinite(drawn)]), drawn


def per_person(frame: pd.DataFrame, value: str, keep: list[str]) -> pd.DataFrame:
    """One row per person: the mean of ``value``, beside columns that are constant for a person."""
    grouped = frame.groupby(["person_id", *keep], as_index=False, observed=True)[value].mean()
    return grouped.rename(columns={value: "value"})


def _resampled(values: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    return values[rng.integers(len(values), size=(n, len(values)))].mean(axis=1)


def _share(hits: np.ndarray) -> float:
    return float((1 + np.count_nonzero(hits)) / (1 + len(hits)))


def means(frame: pd.DataFrame, by: list[str], value: str, *, n: int, seed: int) -> pd.DataFrame:
    """Mean of ``value`` per group with a 95 % interval from resampled people.

    Columns: ``by``, value, low, high, n_people, n_rows.
    """
    rows = []
    for keys, part in frame.groupby(by, sort=True, observed=True):
        mean = bootstrap_mean(part[value].astype(float), part["person_id"], n=n, seed=seed)
        counts = (mean.mean, mean.low, mean.high, part["person_id"].nunique(), len(part))
        rows.append((*keys, *counts))
    return pd.DataFrame(rows, columns=[*by, "value", "low", "high", "n_people", "n_rows"])


class NotMeasured(Exception):
    """The run cannot speak to a claim; the message says what is missing."""
