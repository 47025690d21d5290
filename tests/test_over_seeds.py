"""The rule, and the ledger over seeds: what decides, what does not, and what nothing may decide."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_rows import judged, ledgers
from scipy import stats as scipy_stats

from kc_utils.analysis.stats.intervals import Interval
from kc_utils.errors import KcError
from kc_utils.study.claims.over_seeds import FEW, false_holds, over_seeds
from kc_utils.study.claims.verdicts import (
    HOLDS,
    NO_EFFECT,
    NOT_MEASURED,
    OPEN,
    OPPOSITE,
    SMALLER,
    VERDICTS,
    difference,
    verdict,
)
from kc_utils.study.sweep_ledger import entries

NUMBERS = st.floats(-1e3, 1e3)
MARGINS = st.floats(1e-3, 1e2)
DIRECTIONS = st.sampled_from(["above", "below", "equal"])
MIRROR = {"above": "below", "below": "above", "equal": "equal"}


def interval(ends: tuple[float, float]) -> Interval:
    low, high = sorted(ends)
    return Interval((low + high) / 2, low, high)


INTERVALS = st.tuples(NUMBERS, NUMBERS).map(interval)


def mirrored(gap: Interval) -> Interval:
    return Interval(-gap.mean, -gap.high, -gap.low)


def one(*args, **kwargs) -> pd.Series:
    return over_seeds(ledgers(*args, **kwargs)).iloc[0]


# The rule from an interval to a verdict.


def by_the_book(gap: Interval, direction: str, margin: float) -> list[str]:
    """Every verdict whose own sentence is true of the interval, each read on its own."""
    low, high = (gap.low, gap.high) if direction != "below" else (-gap.high, -gap.low)
    inside = -margin < low and high < margin
    if direction == "equal":
        true = {HOLDS: inside, OPPOSITE: low > margin or high < -margin}
    else:
        true = {
            HOLDS: low > margin,
            SMALLER: 0 < low <= margin,
            NO_EFFECT: inside and low <= 0,
            OPPOSITE: high < 0 and not inside,
        }
    return [name for name, said in true.items() if said] or [OPEN]


@given(INTERVALS, DIRECTIONS, MARGINS)
def test_every_interval_gets_exactly_one_verdict(gap, direction, margin) -> None:
    found = by_the_book(gap, direction, margin)
    assert len(found) == 1
    assert verdict(gap, direction=direction, margin=margin) == found[0]


@given(INTERVALS, DIRECTIONS, MARGINS)
def test_the_mirrored_claim_about_the_mirrored_interval_has_the_same_verdict(
    gap, direction, margin
) -> None:
    said = verdict(gap, direction=direction, margin=margin)
    assert verdict(mirrored(gap), direction=MIRROR[direction], margin=margin) == said


@given(INTERVALS, st.sampled_from(["above", "below"]), MARGINS)
def test_the_opposite_claim_never_holds_as_well(gap, direction, margin) -> None:
    both = [verdict(gap, direction=d, margin=margin) for d in (direction, MIRROR[direction])]
    assert both.count(HOLDS) <= 1
    if HOLDS in both:
        assert set(both) == {HOLDS, OPPOSITE}


@given(
    st.tuples(st.floats(-1, 1), st.floats(-1, 1)).map(interval),
    st.sampled_from(["above", "below"]),
    st.floats(1.0001, 100),
)
def test_an_interval_inside_the_margin_never_holds_nor_says_the_opposite(
    gap, direction, margin
) -> None:
    assert verdict(gap, direction=direction, margin=margin) in (SMALLER, NO_EFFECT)
    assert verdict(gap, direction="equal", margin=margin) == HOLDS


@given(INTERVALS, st.sampled_from(["above", "below"]), MARGINS, st.floats(1.01, 10))
def test_a_larger_margin_never_makes_a_claim_of_difference_hold(gap, direction, margin, by) -> None:
    small, large = (verdict(gap, direction=direction, margin=m) for m in (margin, by * margin))
    assert not (large == HOLDS and small != HOLDS)


@pytest.mark.parametrize("end", [math.nan, math.inf])
@pytest.mark.parametrize("direction", ["above", "below", "equal"])
def test_without_an_interval_nothing_is_judged(end: float, direction: str) -> None:
    assert verdict(Interval(5.0, end, 6.0), direction=direction, margin=0.1) == NOT_MEASURED


def test_a_margin_of_nothing_is_refused() -> None:
    with pytest.raises(KcError, match="margin=0"):
        verdict(Interval(0.0, 0.0, 0.0), direction="above", margin=0.0)


def test_the_difference_of_two_intervals_adds_their_distances_in_quadrature() -> None:
    gap = difference(Interval(5.0, 2.0, 9.0), Interval(1.0, -2.0, 5.0))
    assert gap == Interval(4.0, 4 - 5.0, 4 + 5.0)
    exact = difference(Interval(5.0, 2.0, 9.0), Interval(1.0, 1.0, 1.0))
    assert (exact.low, exact.high) == (1, 8)


# Over seeds.


@pytest.mark.parametrize(
    ("values", "direction", "said"),
    [
        ([0.5, 0.6, 0.55, 0.5], "above", HOLDS),
        ([-0.5, -0.6, -0.55, -0.5], "below", HOLDS),
        ([0.05, 0.06, 0.055, 0.05], "above", SMALLER),
        ([0.01, 0.0, 0.02, -0.01], "above", NO_EFFECT),
        ([-0.05, -0.06, -0.055, -0.05], "above", NO_EFFECT),  # real, but inside the margin
        ([-0.5, -0.6, -0.55, -0.5], "above", OPPOSITE),
        ([0.5, -0.6, 0.4, -0.2], "above", OPEN),
        ([0.11, 0.08, 0.14, 0.12], "above", SMALLER),  # above zero, around the margin
        ([0.01, -0.01, 0.0, 0.02], "equal", HOLDS),
        ([0.5, 0.52, 0.49, 0.51], "equal", OPPOSITE),
        ([0.2, -0.2, 0.1, -0.1], "equal", OPEN),
        ([math.nan] * 4, "above", NOT_MEASURED),
    ],
)
def test_all_verdicts_can_come_out(values, direction, said) -> None:
    assert one(values, direction=direction)["verdict"] == said


def test_the_interval_is_the_t_interval_of_the_paired_difference() -> None:
    values, control = np.array([0.5, 0.2, 0.4]), np.array([0.1, 0.1, 0.3])
    row, gaps = one(values, control), values - control
    low, high = scipy_stats.t.interval(0.95, 2, gaps.mean(), scipy_stats.sem(gaps))
    assert np.allclose(row[["difference_low", "difference_high"]].to_numpy(float), [low, high])


@pytest.mark.parametrize(
    ("quantity", "bound"),
    [("cells (share)", 1.0), ("rank correlation of two", 1.0), ("gain (share of the peak)", 9.0)],
)
def test_an_interval_ends_where_what_is_measured_ends(quantity: str, bound: float) -> None:
    rows = ledgers([0.9, 0.4, 1.0])
    found = over_seeds(rows.assign(quantity=quantity)).iloc[0]
    t_high = rows["value"].mean() + scipy_stats.t.ppf(0.975, 2) * rows["value"].sem()
    assert t_high > 1 and found["effect_high"] == pytest.approx(min(t_high, bound))
    assert -1 < found["effect_low"] < found["effect"]
    columns = ["verdict", "p_for", "p_against", "difference"]
    pd.testing.assert_series_equal(found[columns], one([0.9, 0.4, 1.0])[columns])


def test_pairing_matters() -> None:
    # Seeds that differ widely, each a little above its own control: unpaired this is lost.
    control = np.array([0.1, 0.9, 0.4, 0.6, 0.2])
    assert one(control + 0.2, control)["verdict"] == HOLDS
    assert one(control + 0.2, np.roll(control, 1))["verdict"] == OPEN


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_decide_nothing(seeds: int) -> None:
    row = one([5.0] * seeds)
    assert row["verdict"] == OPEN and FEW in row["note"] and row["difference"] == 5
    assert math.isnan(row["difference_low"]) and math.isnan(row["p_for"])


@pytest.mark.slow
def test_claims_without_an_effect_rarely_hold() -> None:
    rng = np.random.default_rng(3)
    draws = rng.normal(size=(200, 5))
    table = judged(*(ledgers(d, margin=0.01, id=str(i)) for i, d in enumerate(draws)))
    assert (table["verdict"] == HOLDS).mean() < 0.06  # one side of a 95 % interval


def test_tests_of_both_kinds_agree_with_the_interval() -> None:
    above = one([0.5, 0.6, 0.55, 0.5])
    assert above["p_for"] < 0.025 and above["p_against"] > 0.9
    inside = one([0.01, 0.0, 0.02, -0.01])
    assert inside["p_against"] < 0.025 and inside["p_for"] > 0.9
    near, far = (one(v, direction="equal") for v in ([0.01, -0.01, 0.0], [0.5, 0.52, 0.49]))
    assert near["p_for"] < 0.05 and far["p_against"] < 0.05


def test_seeds_that_could_not_measure_are_counted_and_explained() -> None:
    rows = ledgers([0.5, 0.55, 0.5, np.nan])
    rows.loc[3, "note"] = "Not measured: nothing was learned."
    row = over_seeds(rows).iloc[0]
    assert row["n_seeds"] == 3 and row["verdict"] == HOLDS
    assert row["note"] == "Not measured in 1 of 4 seeds: nothing was learned."
    rows = ledgers([0.5, 0.55, 0.5, np.nan, np.nan])
    rows.loc[[3, 4], "note"] = ["Not measured: 0.1 was learned.", "Not measured: 0.2 was learned."]
    said = over_seeds(rows).iloc[0]["note"]
    assert said == "Not measured in 2 of 5 seeds; in the first of them: 0.1 was learned."
    rows.loc[4, "note"] = rows.loc[3, "note"]
    assert over_seeds(rows).iloc[0]["note"] == "Not measured in 2 of 5 seeds: 0.1 was learned."


def test_profiles_are_judged_apart_and_in_order() -> None:
    table = judged(ledgers([0.5] * 3), ledgers([0.0] * 3, profile="tiny-llama"))
    assert list(table["profile"]) == ["tiny", "tiny-llama"]
    assert list(table["verdict"]) == [HOLDS, NO_EFFECT]


def test_q_values_are_no_smaller_than_p_values_and_stay_in_their_profile() -> None:
    rng = np.random.default_rng(0)
    frames = [ledgers(rng.normal(0.05 * i, 0.1, 5), id=f"claim-{i}") for i in range(8)]
    alone, both = judged(*frames), judged(*frames, ledgers([1.0, 2.0, 3.0], profile="other"))
    for kind in ("for", "against"):
        assert (alone[f"q_{kind}"] >= alone[f"p_{kind}"] - 1e-12).all()
        assert np.allclose(alone[f"q_{kind}"], both.loc[:7, f"q_{kind}"])


def test_runs_with_shuffled_answers_stand_beside_the_real_ones() -> None:
    real = [ledgers([0.5, 0.6, 0.55], id=name) for name in ("a", "b", "c")]
    shuffled = [
        ledgers([0.5, 0.6, 0.55], id="a", profile="tiny-shuffled"),
        ledgers([0.0, 0.01, -0.01], id="b", profile="tiny-shuffled"),
    ]
    table = judged(*real, *shuffled).set_index(["profile", "id"]).loc["tiny"]
    assert list(table["shuffled_verdict"]) == [HOLDS, NO_EFFECT, NOT_MEASURED]
    assert list(table["n_shuffled"]) == [3, 3, 0]
    assert table.loc["b", "shuffled"] == pytest.approx(0) and math.isnan(table.loc["c", "shuffled"])
    found = false_holds(table.reset_index().assign(profile="tiny")).iloc[0]
    assert (found["judged"], found["holds"], found["share"], found["claims"]) == (2, 1, 0.5, "a")


def test_two_shuffled_runs_are_too_few_for_a_rate() -> None:
    table = judged(ledgers([0.5] * 3), ledgers([0.5] * 2, profile="tiny-shuffled"))
    assert false_holds(table).empty


def test_a_margin_that_changed_since_is_told() -> None:
    row = one([0.5, 0.6, 0.55], id="faithful", margin=0.001)
    assert "these runs keep 0.001" in row["note"] and row["margin"] == 0.001


@pytest.mark.parametrize(
    ("values", "direction", "then"),
    [
        ([0.3, 0.02, 0.5, 0.1], "above", SMALLER),
        ([0.4, 0.5, 1.0], "above", HOLDS),
        ([-0.3, -0.5, 0.05], "above", OPPOSITE),
        ([0.08, -0.09, 0.02], "above", NO_EFFECT),
        ([0.08, -0.09, 0.02], "equal", HOLDS),
    ],
)
def test_an_open_claim_says_how_many_seeds_would_decide_it(values, direction, then) -> None:
    row = one(values, direction=direction)
    assert row["verdict"] == OPEN and row["verdict_then"] == then
    mean, spread = np.mean(values), np.std(values, ddof=1)

    def said(n: int) -> str:
        """The verdict on n seeds that have this very mean and spread."""
        scores = np.linspace(-1, 1, n)
        drawn = mean + spread * scores / scores.std(ddof=1)
        return one(drawn, direction=direction)["verdict"]

    assert row["seeds_needed"] > len(values)
    assert said(int(row["seeds_needed"]) - 1) == OPEN
    assert said(int(row["seeds_needed"])) == then


def test_no_number_of_seeds_is_told_where_none_would_do() -> None:
    border = one([0.05, 0.1, 0.15], direction="equal")  # the mean lies on the margin
    few, decided = one([0.1, 0.2]), one([0.5, 0.6, 0.55])
    for row in (border, few, decided):
        assert math.isnan(row["seeds_needed"]) and row["verdict_then"] == ""


def test_mistakes_are_named() -> None:
    rows = ledgers([0.5, 0.6, 0.7])
    with pytest.raises(KcError, match="column 'claimed_by'"):
        over_seeds(rows.drop(columns="claimed_by"))
    with pytest.raises(KcError, match="Seed 0 of tiny judges 'a' twice"):
        over_seeds(pd.concat([rows, rows.head(1)], ignore_index=True))


def test_entries_are_plain_json() -> None:
    found = entries(judged(ledgers([0.5, 0.6, 0.7], main=True), ledgers([0.1], id="b")))
    first, second = json.loads(json.dumps(found, allow_nan=False))
    needed = {"id", "claim", "claimed_by", "profile", "quantity", "effect", "interval", "n_seeds",
              "control", "control_effect", "margin", "margin_reason", "verdict", "main",
              "exploratory", "q_for", "q_against", "shuffled_verdict", "n_shuffled",
              "seeds_needed", "verdict_then"}  # fmt: skip
    assert needed <= set(first)
    assert first["interval"][0] < first["effect"] < first["interval"][1]
    assert first["main"] is True and first["verdict"] in VERDICTS
    assert second["interval"] is None and second["verdict"] == OPEN and second["p_for"] is None
