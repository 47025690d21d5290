"""Means over seeds: each seed counts once, and its interval is the t interval."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats

from kc_utils.analysis.stats.seeds import at_common_epochs, planned_epoch, seed_means, t_interval
from kc_utils.errors import KcError


def test_the_interval_is_that_of_scipy() -> None:
    values = np.array([1.0, 2.5, 4.0, 3.0])
    low, high = scipy_stats.t.interval(0.95, 3, values.mean(), scipy_stats.sem(values))
    found = t_interval(values)
    assert (found.mean, found.low, found.high) == pytest.approx((values.mean(), low, high))


def test_two_values_have_no_interval_and_nothing_has_no_mean() -> None:
    assert t_interval([2.0, 4.0]).mean == 3.0
    assert math.isnan(t_interval([2.0, 4.0]).high)
    assert math.isnan(t_interval([2.0]).low)
    assert math.isnan(t_interval([]).mean)


def test_each_seed_counts_once() -> None:
    rows = [(seed, epoch, float(seed)) for seed in range(4) for epoch in (0, 1)]
    rows += [(3, 1, 3.0)] * 20  # many rows of one seed must not pull the mean
    table = seed_means(pd.DataFrame(rows, columns=["seed", "epoch", "x"]), ["epoch"], "x")
    assert list(table["value"]) == [1.5, 1.5]
    assert list(table["n_seeds"]) == [4, 4]
    expected = t_interval([0.0, 1.0, 2.0, 3.0])
    assert table.loc[1, ["low", "high"]].tolist() == pytest.approx([expected.low, expected.high])


def test_a_table_without_seeds_is_one_seed() -> None:
    frame = pd.DataFrame({"epoch": [0, 0, 1], "value": [1.0, 3.0, 5.0]})
    table = seed_means(frame, ["epoch"])
    assert list(table["value"]) == [2.0, 5.0]
    assert table[["low", "high"]].isna().all().all()


def test_a_missing_column_is_named() -> None:
    with pytest.raises(KcError, match="column 'kind'"):
        seed_means(pd.DataFrame({"value": [1.0]}), ["kind"])


def test_a_seed_with_one_more_checkpoint_does_not_bend_the_mean() -> None:
    epochs = pd.DataFrame({"seed": [0, 0, 0, 1, 1], "epoch": [0, 1.5, 2, 0, 2.0000001]})
    kept = at_common_epochs(epochs.assign(profile="tiny"), ["profile"])
    assert kept["epoch"].tolist() == [0, 2, 0, 2]


def test_checkpoints_behind_whole_steps_meet_at_the_planned_epoch() -> None:
    """Three seeds with other steps per epoch: apart, each epoch would be a mean over one seed."""
    kept_at = pd.DataFrame({"seed": [0, 1, 2], "epoch": np.float32([3.504, 3.496, 3.5])})
    table = at_common_epochs(kept_at.assign(kind="K_rel", value=[1.0, 2.0, 6.0]), ["kind"])
    means = seed_means(table, ["epoch"])
    assert means["epoch"].tolist() == [3.5] and means["value"].tolist() == [3.0]
    assert planned_epoch(pd.Series([0.492, 1.258, 5.246])).tolist() == [0.5, 1.25, 5.25]
