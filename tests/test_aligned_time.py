"""Curves on the clock of their own onset and knee."""

import numpy as np
import pandas as pd
import pytest

from kc_utils.analysis.stats.aligned_time import TIMES, align, aligned_means
from kc_utils.analysis.stats.seeds import t_interval
from kc_utils.errors import KcError

ONSETS = {0: 3.0, 1: 5.0, 2: 4.0, 3: 7.0}
UNITS = {0: 2.0, 1: 4.0, 2: 3.0, 3: 2.5}


def curves(shape, epochs=None):
    """One curve per seed: ``shape`` of the time from its own onset, in its own units."""
    epochs = np.arange(0, 24.5, 0.5) if epochs is None else epochs
    return pd.concat(
        [
            pd.DataFrame({
                "seed": seed, "epoch": epochs, "value": shape((epochs - onset) / UNITS[seed]),
                "onset": onset, "knee": onset + UNITS[seed],
            })
            for seed, onset in ONSETS.items()
        ]
    )  # fmt: skip


def test_curves_that_differ_only_in_their_clock_agree_when_aligned():
    aligned = align(curves(lambda t: 3 * t), curve=["seed"])
    means = aligned_means(aligned)
    middle = means[means["n_seeds"] == 4]
    assert len(middle) > 20
    assert middle["value"].to_numpy() == pytest.approx(3 * middle["time"].to_numpy())
    assert (middle["high"] - middle["low"]).abs().max() < 1e-9


def test_over_epochs_the_same_curves_do_not_agree():
    spread = curves(lambda t: 3 * t).groupby("epoch")["value"].std()
    assert spread.min() > 0.5


def test_onset_is_time_0_and_knee_time_1():
    aligned = align(curves(lambda t: np.clip(t, 0, 1)), times=[-0.5, 0, 0.5, 1, 2], curve=["seed"])
    values = aligned.groupby("time")["value"].agg(["min", "max"])
    assert values.loc[[-0.5, 0], "max"].to_list() == pytest.approx([0, 0])
    assert values.loc[[1, 2], "min"].to_list() == pytest.approx([1, 1])
    assert 0.4 < values.loc[0.5, "min"] <= values.loc[0.5, "max"] < 0.6


def test_nothing_is_extended_beyond_what_was_measured():
    short = np.arange(4.0, 10.0)
    aligned = align(curves(lambda t: t, short), curve=["seed"])
    for seed, part in aligned.groupby("seed"):
        epochs = ONSETS[seed] + UNITS[seed] * part["time"]
        assert epochs.min() >= 4 - 1e-9
        assert epochs.max() <= 9 + 1e-9
    assert set(aligned["time"]) < set(TIMES)
    counts = aligned_means(aligned).set_index("time")["n_seeds"]
    assert counts.min() < 4 == counts.max()


def test_the_interval_is_a_t_interval_over_seeds():
    table = curves(lambda t: t)
    table["value"] += table["seed"] ** 2
    row = aligned_means(align(table, times=[0.0], curve=["seed"])).iloc[0]
    expected = t_interval([0, 1, 4, 9])
    assert (row["value"], row["low"], row["high"]) == pytest.approx(
        (expected.mean, expected.low, expected.high)
    )


def test_two_seeds_have_a_mean_and_no_interval():
    table = curves(lambda t: t).query("seed < 2")
    row = aligned_means(align(table, times=[0.5], curve=["seed"])).iloc[0]
    assert row["n_seeds"] == 2
    assert np.isnan([row["low"], row["high"]]).all()


def test_each_seed_counts_once_however_many_curves_it_has():
    table = pd.concat([curves(lambda t: t).assign(band="high"),
                       curves(lambda t: t + 1).query("seed == 0").assign(band="low")])  # fmt: skip
    aligned = align(table, times=[0.0], curve=["seed", "band"])
    row = aligned_means(aligned).iloc[0]
    assert (row["n_seeds"], row["n_curves"]) == (4, 5)
    assert row["value"] == pytest.approx(0.5 / 4)
    by_band = aligned_means(aligned, ["band"]).set_index("band")
    assert by_band["n_seeds"].to_dict() == {"high": 4, "low": 1}


def test_a_curve_without_onset_or_knee_is_left_out():
    table = curves(lambda t: t)
    table.loc[table["seed"] == 1, "knee"] = np.nan
    table.loc[table["seed"] == 2, "onset"] = np.nan
    assert set(align(table, curve=["seed"])["seed"]) == {0, 3}
    nothing = align(table[table["seed"] == 1], curve=["seed"])
    assert nothing.empty and list(nothing.columns) == ["seed", "time", "value"]
    assert aligned_means(nothing).empty


def test_columns_may_have_other_names():
    table = curves(lambda t: t).rename(columns={"onset": "start", "knee": "end", "value": "bits"})
    aligned = align(table, "start", "end", curve=["seed"], value="bits")
    assert list(aligned.columns) == ["seed", "time", "bits"]
    assert aligned["bits"].to_numpy() == pytest.approx(aligned["time"].to_numpy())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="knee"), "'knee'"),
        (lambda t: t.assign(knee=t["onset"]), "must come after its onset"),
        (lambda t: t.assign(onset=t["epoch"] / 100), "different onsets and knees"),
        (lambda t: pd.concat([t, t]), "one value, not NaN, at each of its epochs"),
        (lambda t: t.assign(value=np.nan), "one value, not NaN, at each of its epochs"),
    ],
)
def test_impossible_tables_are_named(change, message):
    with pytest.raises(KcError, match=message):
        align(change(curves(lambda t: t)), curve=["seed"])
