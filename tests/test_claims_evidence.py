"""Claims about strangers, bits and exposures hold only where they are true."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from claims_tables import TableRun
from evidence_tables import capacity, make, unseen

from kc_utils.analysis.stats.frequency import fit_frequency, predict
from kc_utils.analysis.stats.resample import NotMeasured
from kc_utils.errors import KcError
from kc_utils.study.claims import frequency
from kc_utils.study.claims import unseen as strangers
from kc_utils.study.claims.claim import rows
from kc_utils.study.claims.margins import margin_of

CLAIMS = (*strangers.CLAIMS, *frequency.CLAIMS)


def judge(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return rows(TableRun(tables), CLAIMS).set_index("id")


@pytest.fixture(scope="module")
def true_world() -> dict[str, pd.DataFrame]:
    return make(1.0)


def test_every_claim_holds_where_it_is_true(true_world):
    said = judge(true_world)
    failed = said[said["verdict"] != "holds"]
    assert failed.empty, failed[["value", "low", "high", "control_value", "note"]].to_string()


@pytest.mark.parametrize("effect", [0.0, -1.0])
def test_no_claim_holds_where_it_is_false(effect):
    said = judge(make(effect))["verdict"]
    assert not (said == "holds").any(), said
    assert said["confident-unseen"] == ("no effect" if effect == 0 else "opposite")
    assert said["exposure-curve"] in (("no effect", "open") if effect == 0 else ("opposite",))
    assert said["capacity-reached"] == "no effect"  # nothing is held either way


def test_confidence_that_comes_long_after_the_facts_is_not_together():
    on_time, late = (
        strangers.together(TableRun({"unseen": unseen(1.0, late=late)})) for late in (0.0, 3.0)
    )
    assert abs(on_time.effect.mean) < 0.04
    assert late.effect.mean == pytest.approx(3.0 / 12, abs=0.06)  # share of training
    assert late.effect.low > margin_of("confident-together").margin


def test_without_confidence_there_is_no_time_to_compare():
    with pytest.raises(NotMeasured, match="no attribute"):
        strangers.together(TableRun({"unseen": unseen(0.0)}))


def test_learning_which_values_exist_is_not_confidence():
    """Entropy falls from far above the guesser's to it: calibrated, not too sure."""
    table = unseen(0.0)
    first = table["step"] == 0
    table.loc[first, "entropy"] += 5.0
    found = strangers.too_sure(TableRun({"unseen": table}))
    assert found.effect.mean == pytest.approx(0.0, abs=0.05)


def test_half_way_is_found_between_checkpoints_and_after_the_last_dip():
    epoch = pd.Series([0.0, 1.0, 2.0, 3.0])
    assert strangers.half_way(epoch, pd.Series([0.0, 0.0, 1.0, 1.0]), 0.1) == 1.5
    assert strangers.half_way(epoch, pd.Series([0.0, 0.8, 0.0, 1.0]), 0.1) == 2.5
    assert strangers.half_way(epoch, pd.Series([1.0, 1.0, 1.0, 1.0]), 0.1) == 0.0
    assert math.isnan(strangers.half_way(epoch, pd.Series([0.0, 1.0, 1.0, 0.05]), 0.1))


def test_shares_of_bits():
    found = strangers.bits_reached(TableRun({"capacity": capacity(0.5)}))
    assert found.effect.mean == pytest.approx(0.5) and found.control.mean == 0.0


def test_permuted_frequencies_give_no_gain(true_world):
    own = frequency.exposure_gain(TableRun(true_world))
    assert own.effect.mean == pytest.approx(0.12, abs=0.03)
    assert own.control.low < 0 < own.control.high < own.effect.low
    rng = np.random.default_rng(5)
    people = true_world["people"]
    dealt = people.assign(frequency=rng.permutation(people["frequency"]))
    found = frequency.exposure_gain(TableRun(true_world | {"people": dealt}))
    assert abs(found.effect.mean) < 0.04 and found.p_value > 0.05


def test_equal_exposures_are_not_compared_and_nothing_learned_is_not_either(true_world):
    people = true_world["people"].assign(frequency=2)
    with pytest.raises(NotMeasured, match="three different"):
        frequency.exposure_gain(TableRun(true_world | {"people": people}))
    wrong = true_world["first_token"].assign(correct=False)
    with pytest.raises(NotMeasured, match="nothing to compare"):
        frequency.exposure_gain(TableRun(true_world | {"first_token": wrong}))


def counts(chance, rows: int = 4000, per_frequency: int = 3) -> pd.DataFrame:
    """Binomial counts of several sources at each frequency."""
    rng = np.random.default_rng(1)
    levels = np.repeat(np.arange(1, 9), per_frequency)
    right = rng.binomial(rows, chance(levels.astype(float)))
    return pd.DataFrame({"frequency": levels, "n_right": right, "n_rows": rows})


@pytest.mark.parametrize(
    ("name", "chance"),
    [
        ("none", lambda f: np.full_like(f, 0.3)),
        ("logarithm", lambda f: 0.1 + 0.25 * np.log2(f)),
        ("power", lambda f: 1 - 0.9 * f**-0.8),
        ("logistic", lambda f: 1 / (1 + np.exp(4 - 2.5 * np.log2(f)))),
    ],
)
def test_the_curve_that_made_the_counts_fits_best(name, chance):
    fits = fit_frequency(counts(chance))
    best = fits.iloc[0]
    if name == "none":  # the others contain it, so it only has to be as good
        assert fits.loc[fits["model"] == "none", "qaic"].iloc[0] < best["qaic"] + 4
        assert abs(best["gain"]) < 0.02
        return
    assert best["model"] == name and best["weight"] > 0.9
    at = np.array([1.0, 3.0, 8.0])
    assert predict(best, at) == pytest.approx(chance(at), abs=0.02)
    assert fits["weight"].sum() == pytest.approx(1.0)


def test_answers_that_stick_together_count_for_less():
    """The same counts with people who are right or wrong as a whole are overdispersed."""
    steady = counts(lambda f: np.full_like(f, 0.5))
    rng = np.random.default_rng(2)
    wild = steady.assign(n_right=(rng.beta(2, 2, len(steady)) * 4000).astype(int))
    assert fit_frequency(steady)["overdispersion"].iloc[0] < 3
    fits = fit_frequency(wild)
    assert fits["overdispersion"].iloc[0] > 100
    assert fits.loc[fits["model"] == "none", "weight"].iloc[0] > 0.1


def test_curves_need_three_frequencies_and_their_columns():
    table = counts(lambda f: np.full_like(f, 0.5))
    with pytest.raises(KcError, match="2 frequencies"):
        fit_frequency(table[table["frequency"] < 3])
    with pytest.raises(KcError, match="'n_right'"):
        fit_frequency(table.drop(columns="n_right"))
