"""The rule: symmetric, monotone in the noise, corrected over the family, and honest about n."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_claims import claim
from scipy import stats

from kc_utils.analysis.stats.seeds import t_interval
from kc_utils.study.claims import rule
from kc_utils.study.claims.rule import decide, direction, holm, p_beyond, verdict

#: Effects of three to nine training runs; margins are 1.
EFFECTS = st.lists(st.integers(-400, 400).map(lambda k: k / 100), min_size=3, max_size=9)
SIDES = st.sampled_from(["above", "below"])
OPPOSITE = {"as claimed": "opposite", "opposite": "as claimed", "none": "none"}


def one(values: list[float], **changes: object) -> rule.Decision:
    return decide([claim(**changes)], {"a": values})["a"]


@given(EFFECTS, SIDES, st.booleans())
def test_turning_the_data_round_turns_the_direction_and_nothing_else(values, side, primary) -> None:
    here = one(values, direction=side, primary=primary)
    there = one([-x for x in values], direction=side, primary=primary)
    assert there.verdict == here.verdict and there.hangs_on == here.hangs_on
    assert there.direction == OPPOSITE[here.direction]
    assert there.holm == pytest.approx(here.holm, nan_ok=True)
    ends = there.interval
    assert (-ends.high, -ends.low) == pytest.approx((here.interval.low, here.interval.high))
    # Who expects the other side calls the same data the other way round.
    other = one(values, direction="below" if side == "above" else "above", primary=primary)
    assert other.direction == there.direction and other.verdict == here.verdict
    # A claim of equality has no side.
    equal = one(values, direction="equal", primary=primary)
    assert one([-x for x in values], direction="equal", primary=primary).direction == (
        equal.direction
    )


@given(EFFECTS, st.floats(0, 1), st.sampled_from([True, False]))
def test_less_noise_takes_nothing_away(values, share, primary) -> None:
    mean = float(np.mean(values))
    loud = one(values, primary=primary)
    quiet = one([mean + share * (x - mean) for x in values], primary=primary)
    if loud.verdict == rule.BEYOND and abs(mean) > 1 + 1e-9:
        assert quiet.verdict == rule.BEYOND
    if loud.verdict in (rule.NEGLIGIBLE, rule.UNDECIDED) and abs(mean) > 1e-9:
        assert quiet.verdict not in (rule.EQUIVALENT, rule.OPEN)  # zero stays outside
    if loud.verdict in (rule.NEGLIGIBLE, rule.EQUIVALENT):
        assert quiet.verdict in (rule.NEGLIGIBLE, rule.EQUIVALENT)  # and the margins


@given(EFFECTS, st.sampled_from([0.1, 0.5, 1.0, 2.0]))
def test_a_p_value_below_five_per_cent_is_an_interval_beyond_the_margin(values, margin) -> None:
    found, p = t_interval(values), p_beyond(values, margin)
    beyond = found.low > margin or found.high < -margin
    nearest = min(abs(end - s * margin) for end in (found.low, found.high) for s in (-1, 1))
    if nearest > 1e-9:
        assert (p < 0.05) == beyond == (verdict(found, margin) == rule.BEYOND)
    spread = np.std(values, ddof=1)
    if spread and abs(found.mean) > margin:  # scipy's own test of the nearer margin
        shifted = stats.ttest_1samp(values, math.copysign(margin, found.mean)).pvalue
        assert p == pytest.approx(shifted, abs=1e-9)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1.2, 3, rule.BEYOND), (0.2, 0.8, rule.NEGLIGIBLE), (0.2, 3, rule.UNDECIDED),
        (-0.2, 0.8, rule.EQUIVALENT), (-0.2, 3, rule.OPEN), (-3, 3, rule.OPEN),
        (math.nan, math.nan, rule.NOT_MEASURED),
    ],
)  # fmt: skip
def test_the_six_verdicts_on_both_sides(low, high, expected) -> None:
    found = rule.Interval((low + high) / 2, float(low), float(high))
    other = rule.Interval(-found.mean, -float(high), -float(low))
    assert verdict(found, 1.0) == verdict(other, 1.0) == expected
    with_side = expected in (rule.BEYOND, rule.NEGLIGIBLE, rule.UNDECIDED)
    assert direction(found, expected, "above") == ("as claimed" if with_side else "none")
    assert direction(other, expected, "above") == ("opposite" if with_side else "none")
    inside = expected in (rule.NEGLIGIBLE, rule.EQUIVALENT)
    assert (direction(found, expected, "equal") == "as claimed") == inside
    assert (direction(found, expected, "equal") == "opposite") == (expected == rule.BEYOND)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_holm_is_that_of_statsmodels(values) -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    found = holm({str(i): p for i, p in enumerate(values)})
    expected = multitest.multipletests(values, method="holm")[1]
    assert [found[str(i)] for i in range(len(values))] == pytest.approx(list(expected))


def test_holm_by_hand() -> None:
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03})
    assert found == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})


def test_the_family_demotes_what_would_stand_alone() -> None:
    values = [1.2, 1.6, 1.3, 1.5]
    alone = one(values)
    assert alone.verdict == rule.BEYOND, "control"
    assert alone.holm == pytest.approx(p_beyond(values, 1.0))
    assert 0.05 / 3 < alone.holm < 0.05
    family = [claim(), claim("b"), claim("c"), claim("d", primary=False)]
    found = decide(family, {"a": values, "d": values})  # b and c were not measured
    assert found["a"].verdict == rule.UNDECIDED and found["a"].direction == "as claimed"
    assert found["a"].holm == pytest.approx(3 * alone.holm)
    assert found["b"].verdict == rule.NOT_MEASURED and found["b"].holm == 1
    assert found["d"].verdict == rule.BEYOND and math.isnan(found["d"].holm), "secondary: apart"
    better = decide(family, {"a": values, "b": [9.0, 9.1, 9.2], "c": [9.0, 9.1, 9.2]})
    assert better["a"].verdict == rule.BEYOND, "Holm: the last of the family is tested alone"


@given(EFFECTS, EFFECTS, st.sampled_from(["above", "below", "equal"]))
def test_hangs_on_counts_the_runs_that_decide(values, others, side) -> None:
    family = [claim(direction=side), claim("b")]
    found = decide(family, {"a": values, "b": others})["a"]
    count = 0
    for i in range(len(values)):
        without = {"a": [x for j, x in enumerate(values) if j != i], "b": others}
        left = decide(family, without, leave_one_out=False)["a"]
        count += (left.verdict, left.direction) != (found.verdict, found.direction)
    assert found.hangs_on == count


def test_one_run_can_carry_a_verdict_and_three_runs_all_do() -> None:
    assert one([1.5] * 7 + [1.51]).hangs_on == 0
    assert one([0.1, -0.1, 0.05, -0.05, 0.02, -0.02, 0.08, 6.0]).hangs_on == 1
    assert one([1.5, 1.6, 1.55]).hangs_on == 3  # two runs are not judged


@pytest.mark.parametrize("values", [[], [3.0], [3.0, 3.1]])
def test_fewer_than_three_runs_are_not_judged(values) -> None:
    found = one(values)
    assert (found.verdict, found.direction) == (rule.NOT_MEASURED, "none")
    assert p_beyond(values, 1.0) == 1.0 == found.holm
    assert one([*values, 3.2, 3.1, 3.15]).verdict == rule.BEYOND, "control"
