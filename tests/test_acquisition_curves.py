"""When people are known: censored people stay in the count, and groups differ only if they do."""

import event_tables as tables
import numpy as np
import pandas as pd
import pytest

from kc_utils import plots
from kc_utils.analysis.acquisition import (
    EXPOSURES,
    exposure_group,
    groups_and_knees,
    known_shares,
    time_until_half,
)


def test_people_are_grouped_by_their_number_of_biographies():
    found = exposure_group(pd.Series([1, 2, 3, 5, 6, 29]))
    assert list(found) == ["1", "2", "3 to 5", "3 to 5", "6 and more", "6 and more"]
    assert list(found.categories) == list(EXPOSURES)


def test_censored_people_count_as_not_known_at_every_epoch():
    times = pd.DataFrame({"kind": "K_rel", "epoch": [2.0, 4.0, 6.0, 6.0],
                          "known": [True, True, True, False]})  # fmt: skip
    shares = known_shares(times, ["kind"], [0, 2, 4, 6]).set_index("epoch")
    assert shares["value"].tolist() == [0, 0.25, 0.5, 0.75]
    assert (shares["n_censored"] == 1).all() and (shares["n_people"] == 4).all()
    without = known_shares(times[times["known"]], ["kind"], [6])
    assert without["value"].iloc[0] == 1  # what leaving them out would claim


def test_half_of_the_people_may_never_be_known():
    rng = np.random.default_rng(0)
    known = pd.DataFrame({"epoch": [3.0] * 30 + [9.0] * 10, "known": True})
    half = time_until_half(known, rng)
    assert (half.mean, half.low, half.high) == (3, 3, 3)
    never = pd.DataFrame({"epoch": 9.0, "known": [True] * 10 + [False] * 30})
    assert time_until_half(never, rng).mean == np.inf
    close = pd.DataFrame({"epoch": 9.0, "known": [True] * 21 + [False] * 19})
    half = time_until_half(close, rng)
    assert half.mean == 9 and half.high == np.inf  # the data can't exclude that it never comes


def test_more_exposures_are_known_sooner_and_equal_groups_alike():
    shares = tables.known().set_index(["kind", "exposures", "epoch"])["value"]
    at = shares.xs(6.0, level="epoch")["K_rel"]
    assert at["6 and more"] > 0.8 > 0.2 > at["2"] >= at["1"] == 0
    mixed = tables.times()
    mixed["exposures"] = np.random.default_rng(0).permutation(exposure_group(mixed["frequency"]))
    shuffled = known_shares(mixed, ["exposures"], [8.0])["value"]
    assert np.ptp(shuffled) < 0.25


def test_groups_stand_beside_the_knees_of_their_circuits():
    times = tables.times(late=3.0)
    _, _, shift = tables.sweep(seeds=1, profiles=("tiny",))
    found = groups_and_knees(times, shift, n=200, seed=0).set_index(["kind", "band"])
    assert (found["half_low"] <= found["half"]).all()
    gap = found["half"]["K_compl"] - found["half"]["K_rel"]
    assert gap["high"] == pytest.approx(3, abs=1)
    assert found.loc[("K_rel", "low"), "known"] < 1 == found.loc[("K_rel", "high"), "known"]
    assert found.loc[("K_rel", "high"), "n_circuits"] == 2
    assert found["knee"].isna().tolist() == (found["n_circuits"] == 0).tolist()
    alone = groups_and_knees(times, shift.iloc[:0], n=50, seed=0)
    assert alone["knee"].isna().all() and (alone["n_circuits"] == 0).all()


def test_the_figure_marks_who_is_not_known_at_the_end():
    shares = tables.known()
    figure = plots.known_curves(shares)
    assert len(figure.axes) == 2
    numbers = [text.get_text() for axis in figure.axes for text in axis.texts]
    last = shares[shares["epoch"] == shares["epoch"].max()]
    wanted = last.loc[last["n_censored"] > 0, "n_censored"].astype(int).astype(str)
    assert sorted(numbers) == sorted(wanted) and numbers
    all_known = plots.known_curves(shares.assign(n_censored=0))
    assert not [text for axis in all_known.axes for text in axis.texts]
