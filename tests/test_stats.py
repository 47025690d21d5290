"""Resampling respects people, and a trend is seen through outliers and not in noise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from kc_utils.analysis.stats.intervals import (
    bootstrap_difference,
    bootstrap_mean,
    permutation_test,
    trend,
)
from kc_utils.errors import KcError

EPOCHS = np.arange(21.0)


def people(seed, n_people=40, per_person=6, spread=1.0):
    """Values that share most of their variation inside a person."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_people), per_person)
    own = rng.normal(scale=spread, size=n_people)[groups]
    return own + rng.normal(scale=0.1, size=len(groups)), groups


def test_bootstrap_interval_of_independent_values_agrees_with_the_normal_one():
    values = np.random.default_rng(0).normal(size=400)
    interval = bootstrap_mean(values, n=4000, seed=1)
    half = 1.96 * values.std() / 20
    assert interval.mean == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.15 * half)


def test_bootstrap_agrees_with_scipy():
    values = np.random.default_rng(3).exponential(size=60)
    ours = bootstrap_mean(values, n=5000, seed=0)
    theirs = scipy_stats.bootstrap(
        (values,), np.mean, n_resamples=5000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.03)


def test_clusters_widen_the_interval_and_cover_the_truth():
    values, groups = people(0)
    clustered = bootstrap_mean(values, groups, seed=0)
    naive = bootstrap_mean(values, seed=0)
    assert clustered.mean == pytest.approx(naive.mean)
    assert clustered.high - clustered.low > 1.8 * (naive.high - naive.low)
    drawn = [people(seed) for seed in range(120)]
    covered = [bootstrap_mean(v, g, n=200, seed=0) for v, g in drawn]
    assert np.mean([i.low <= 0 <= i.high for i in covered]) > 0.87
    naively = [bootstrap_mean(v, n=200, seed=0) for v, _ in drawn]
    assert np.mean([i.low <= 0 <= i.high for i in naively]) < 0.8


def test_single_cluster_has_no_interval():
    interval = bootstrap_mean([1.0, 2.0], ["a", "a"], seed=0)
    assert interval.mean == 1.5
    assert np.isnan(interval.low) and not interval.excludes_zero


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-50, 50), min_size=2, max_size=30), st.integers(0, 5))
def test_same_seed_same_interval_and_the_interval_lies_inside_the_data(values, seed):
    first = bootstrap_mean(values, n=50, seed=seed)
    assert first == bootstrap_mean(values, n=50, seed=seed)
    assert min(values) - 1e-9 <= first.low <= first.high <= max(values) + 1e-9


def test_paired_difference_is_narrower_than_the_unpaired_one():
    values, groups = people(1)
    shuffle = np.random.default_rng(0).permutation(len(values))
    better, better_groups = (values + 0.2)[shuffle], groups[shuffle]
    paired = bootstrap_difference(better, values, better_groups, groups, paired=True, seed=0)
    unpaired = bootstrap_difference(better, values, better_groups, groups, seed=0)
    assert paired.mean == pytest.approx(0.2) == unpaired.mean
    assert paired.excludes_zero and not unpaired.excludes_zero
    with pytest.raises(KcError, match="same groups"):
        bootstrap_difference([1.0, 2.0], [1.0, 2.0], [0, 1], [0, 2], paired=True, seed=0)


def test_difference_of_two_sets_of_people():
    high, groups = people(2, spread=0.3)
    low, _ = people(3, spread=0.3)
    assert bootstrap_difference(high + 1, low, groups, groups, seed=0).excludes_zero
    assert not bootstrap_difference(high, low, groups, groups, seed=0).excludes_zero


def test_permutation_finds_a_real_difference_and_not_an_absent_one():
    values, groups = people(4, spread=0.3)
    labels = groups % 2 == 0
    shifted = permutation_test(values + labels, labels, groups, seed=0)
    assert shifted.difference == pytest.approx(1.0, abs=0.3)
    assert shifted.p_value == pytest.approx(1 / 1001)
    assert shifted.null_low < 0 < shifted.null_high < shifted.difference
    assert permutation_test(values, labels, groups, seed=0).p_value > 0.05


def test_permuting_values_instead_of_people_would_cry_wolf():
    clustered, naive = [], []
    for seed in range(60):
        values, groups = people(seed, n_people=20)
        labels = groups < 10
        clustered.append(permutation_test(values, labels, groups, n=200, seed=seed).p_value)
        naive.append(permutation_test(values, labels, n=200, seed=seed).p_value)
    assert np.mean(np.array(clustered) < 0.05) < 0.15
    assert np.mean(np.array(naive) < 0.05) > 0.25


def test_strata_take_out_what_the_band_explains():
    rng = np.random.default_rng(0)
    band = np.repeat(["high", "low"], 100)
    labels = np.concatenate([np.arange(100) < 80, np.arange(100) < 20])
    values = np.where(band == "high", 1.0, 0.0) + rng.normal(scale=0.2, size=200)
    free = permutation_test(values, labels, seed=0)
    inside = permutation_test(values, labels, strata=band, seed=0)
    assert free.p_value < 0.01 and free.null_mean == pytest.approx(0, abs=0.02)
    assert inside.p_value > 0.05 and inside.null_mean == pytest.approx(0.6, abs=0.05)
    real = permutation_test(values + 0.2 * labels, labels, strata=band, seed=0)
    assert real.p_value < 0.01


def test_alternatives_point_in_opposite_directions():
    values, labels = np.arange(20.0), np.arange(20) >= 10
    assert permutation_test(values, labels, alternative="greater", seed=0).p_value < 0.01
    assert permutation_test(values, labels, alternative="less", seed=0).p_value > 0.99


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: bootstrap_mean([], seed=0), "0 values"),
        (lambda: bootstrap_mean([1.0, np.nan], seed=0), "1 of 2 values"),
        (lambda: bootstrap_mean([1.0, 2.0], [1], seed=0), "1 groups for 2 values"),
        (lambda: bootstrap_mean([1.0, 2.0], ["a", None], seed=0), "1 of 2 groups"),
        (lambda: bootstrap_mean([1.0, 2.0], level=2.0, seed=0), "level=2.0"),
        (lambda: permutation_test([1.0, 2.0], [1, 1], seed=0), "label True"),
        (lambda: permutation_test([1.0, 2.0], [0, 1], ["p7", "p7"], seed=0), "label of group p7"),
        (lambda: trend([1, 1, 1], [1, 2, 3]), "different x"),
    ],
)
def test_impossible_input_is_named(call, words):
    with pytest.raises(KcError, match=words):
        call()


def noise(rng, scale):
    return rng.normal(scale=scale, size=len(EPOCHS))


def test_trend_sees_slope_through_an_outlier_and_none_in_noise():
    rng = np.random.default_rng(0)
    curve = 0.5 * EPOCHS + noise(rng, 0.3)
    curve[3] = 100
    rising = trend(EPOCHS, curve)
    assert rising.low < 0.5 < rising.high and rising.slope == pytest.approx(0.5, abs=0.05)
    assert rising.p_value < 1e-4
    flat = trend(EPOCHS, noise(rng, 0.3))
    assert flat.low < 0 < flat.high and flat.p_value > 0.05
    assert trend(EPOCHS, 0 * EPOCHS).p_value == 1.0
