"""Intervals, permutation tests and trends, resampled over people instead of over measurements.

Queries about one person are not independent of each other, so every resampling here works on
clusters (``groups``, one label per value, usually person_id). Without ``groups`` each value is a
cluster of its own. All randomness comes from ``seed``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats as scipy_stats

from kc_utils.errors import KcError

BLOCK = 2_000_000  # resampled numbers held in memory at once


@dataclass(frozen=True)
class Interval:
    """A mean and its interval; ``low`` and ``high`` are NaN where one cannot be had."""

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside; False when there is no interval."""
        return bool(self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class PermutationTest:
    """A difference of means against the differences that shuffled labels give."""

    difference: float
    p_value: float
    null_mean: float
    null_low: float
    null_high: float
    n: int


@dataclass(frozen=True)
class Trend:
    """A robust slope (units of y per unit of x) with its interval, and a rank correlation."""

    slope: float
    low: float
    high: float
    spearman: float
    p_value: float


@dataclass(frozen=True)
class _Clusters:
    """Sums and counts of the values of each cluster, in the order of first appearance."""

    names: np.ndarray
    first: np.ndarray  # index of each cluster's first value
    codes: np.ndarray  # cluster of each value
    sums: np.ndarray
    counts: np.ndarray


def bootstrap_mean(
    values: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    n: int = 1000,
    seed: int,
    level: float = 0.95,
) -> Interval:
    """Mean of all values with a percentile interval from ``n`` bootstrap samples of clusters.

    With a single cluster the interval is NaN.

    Raises:
        KcError: if there is no value, a value is not finite, or lengths differ.
    """
    clusters = _cluster(values, groups)
    rng = np.random.default_rng([seed, 11])
    drawn = [(w @ clusters.sums) / (w @ clusters.counts) for w in _weights(clusters, n, rng)]
    return _interval(float(clusters.sums.sum() / clusters.counts.sum()), drawn, clusters, level)


def bootstrap_difference(
    first: ArrayLike,
    second: ArrayLike,
    groups_first: ArrayLike | None = None,
    groups_second: ArrayLike | None = None,
    *,
    paired: bool = False,
    n: int = 1000,
    seed: int,
    level: float = 0.95,
) -> Interval:
    """Mean of ``first`` minus mean of ``second`` with a percentile bootstrap interval.

    The two sides are resampled independently. With ``paired=True`` (the same people on both
    sides, for instance the same queries under two circuits) a person is drawn for both sides at
    once; without groups the values are then paired by position.

    Raises:
        KcError: as :func:`bootstrap_mean`, and if paired sides do not hold the same clusters.
    """
    one, two = _cluster(first, groups_first), _cluster(second, groups_second)
    mean = float(one.sums.sum() / one.counts.sum() - two.sums.sum() / two.counts.sum())
    rng = np.random.default_rng([seed, 12])
    if paired:
        order = _matching(one, two)
        drawn = [
            (w @ one.sums) / (w @ one.counts) - (w @ two.sums[order]) / (w @ two.counts[order])
            for w in _weights(one, n, rng)
        ]
        return _interval(mean, drawn, one, level)
    sides = [
        np.concatenate([(w @ side.sums) / (w @ side.counts) for w in _weights(side, n, rng)])
        for side in (one, two)
    ]
    smaller = min(one, two, key=lambda side: len(side.sums))
    return _interval(mean, [sides[0] - sides[1]], smaller, level)


def permutation_test(
    values: ArrayLike,
    labels: ArrayLike,
    groups: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    *,
    alternative: Literal["two-sided", "greater", "less"] = "two-sided",
    n: int = 1000,
    seed: int,
) -> PermutationTest:
    """Test mean(values where label) - mean(values where not label) against shuffled labels.

    Labels are shuffled over clusters, inside each stratum (for instance the frequency band) when
    ``strata`` is given; unequal strata then move the null mean away from zero, and a two-sided
    p-value counts distances from the null mean. p = (1 + hits) / (1 + n), so it is never zero.

    Raises:
        KcError: if only one label occurs, or a label or stratum changes inside a cluster.
    """
    clusters = _cluster(values, groups)
    label = _constant(np.asarray(labels).astype(bool), clusters, "label")
    if label.all() or not label.any():
        raise KcError(
            f"All {len(label)} clusters carry the label {bool(label[0])}; two are needed."
        )
    stratum = (
        np.zeros(len(label), dtype=int)
        if strata is None
        else _constant(pd.factorize(np.asarray(strata))[0], clusters, "stratum")
    )
    rng = np.random.default_rng([seed, 13])
    null = np.concatenate(
        [_differences(block, clusters) for block in _shuffled(label, stratum, n, rng)]
    )
    observed = float(_differences(label[None], clusters)[0])
    centre = float(null.mean())
    gap, null_gap = observed - centre, null - centre
    slack = 1e-12 * max(1.0, float(np.abs(clusters.sums).max()))
    hits = {
        "greater": null_gap >= gap - slack,
        "less": null_gap <= gap + slack,
        "two-sided": np.abs(null_gap) >= abs(gap) - slack,
    }[alternative]
    low, high = np.quantile(null, [0.025, 0.975])
    return PermutationTest(
        observed, (1 + int(hits.sum())) / (1 + n), centre, float(low), float(high), n
    )


def trend(x: ArrayLike, y: ArrayLike, *, level: float = 0.95) -> Trend:
    """Theil-Sen slope of y over x with its interval, and Spearman's rho with its p-value.

    Both come from scipy and take the points as independent. A constant y has slope 0, rho 0 and
    p 1.

    Raises:
        KcError: with fewer than 3 points, a constant x, or values that are not finite.
    """
    horizontal, vertical = _finite(x), _finite(y)
    if len(horizontal) != len(vertical) or len(horizontal) < 3:
        raise KcError(
            f"A trend over {len(horizontal)} x and {len(vertical)} y values needs "
            "equal lengths of at least 3."
        )
    if np.ptp(horizontal) == 0:
        raise KcError(f"A trend needs at least two different x values, not only {horizontal[0]}.")
    if np.ptp(vertical) == 0:
        return Trend(0.0, 0.0, 0.0, 0.0, 1.0)
    fit = scipy_stats.theilslopes(vertical, horizontal, alpha=level)
    rank = scipy_stats.spearmanr(horizontal, vertical)
    return Trend(
        float(fit.slope),
        float(fit.low_slope),
        float(fit.high_slope),
        float(rank.statistic),
        float(rank.pvalue),
    )


def _finite(values: ArrayLike) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64).ravel()
    if not len(array):
        raise KcError("There are 0 values, and at least 1 is needed.")
    if not np.isfinite(array).all():
        raise KcError(f"{int((~np.isfinite(array)).sum())} of {len(array)} values are not finite.")
    return array


def _cluster(values: ArrayLike, groups: ArrayLike | None) -> _Clusters:
    array = _finite(values)
    names = np.arange(len(array)) if groups is None else np.asarray(groups).ravel()
    if len(names) != len(array):
        raise KcError(f"There are {len(names)} groups for {len(array)} values; one each is needed.")
    codes, unique = pd.factorize(names)
    if (codes < 0).any():
        raise KcError(f"{int((codes < 0).sum())} of {len(codes)} groups are missing values.")
    counts = np.bincount(codes)
    first = np.unique(codes, return_index=True)[1]
    return _Clusters(np.asarray(unique), first, codes, np.bincount(codes, weights=array), counts)


def _constant(values: np.ndarray, clusters: _Clusters, what: str) -> np.ndarray:
    if len(values) != len(clusters.codes):
        raise KcError(f"There are {len(values)} {what} entries for {len(clusters.codes)} values.")
    per_cluster = values[clusters.first]
    changing = per_cluster[clusters.codes] != values
    if changing.any():
        name = clusters.names[clusters.codes[np.argmax(changing)]]
        raise KcError(f"The {what} of group {name} is not the same for all of its values.")
    return per_cluster


def _matching(one: _Clusters, two: _Clusters) -> np.ndarray:
    order = pd.Index(two.names).get_indexer(pd.Index(one.names))
    if (order < 0).any() or len(one.names) != len(two.names):
        raise KcError(
            f"Paired sides hold {len(one.names)} and {len(two.names)} groups, "
            "and they must be the same groups."
        )
    return order


def _blocks(n: int, width: int) -> Iterator[int]:
    step = max(1, BLOCK // width)
    for start in range(0, n, step):
        yield min(step, n - start)


def _weights(clusters: _Clusters, n: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """How often each cluster is drawn in each bootstrap sample, in blocks of samples."""
    width = len(clusters.sums)
    for rows in _blocks(n, width):
        yield rng.multinomial(width, np.full(width, 1 / width), size=rows)


def _shuffled(
    label: np.ndarray, stratum: np.ndarray, n: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    places = [np.flatnonzero(stratum == code) for code in np.unique(stratum)]
    for rows in _blocks(n, len(label)):
        block = np.empty((rows, len(label)), dtype=bool)
        for place in places:
            block[:, place] = rng.permuted(np.tile(label[place], (rows, 1)), axis=1)
        yield block


def _differences(labels: np.ndarray, clusters: _Clusters) -> np.ndarray:
    inside = (labels @ clusters.sums) / (labels @ clusters.counts)
    outside = (~labels @ clusters.sums) / (~labels @ clusters.counts)
    return inside - outside


def _interval(mean: float, drawn: list[np.ndarray], clusters: _Clusters, level: float) -> Interval:
    if not 0 < level < 1:
        raise KcError(f"level={level} must lie between 0 and 1.")
    if len(clusters.sums) < 2:
        return Interval(mean, float("nan"), float("nan"))
    low, high = np.quantile(np.concatenate(drawn), [(1 - level) / 2, (1 + level) / 2])
    return Interval(mean, float(low), float(high))
