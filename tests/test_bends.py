"""Onset and knee: found where they are, and not found in curves that lack them."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from kc_utils.analysis.stats.autocorrelation import RHOS, Noise, estimate_noise
from kc_utils.analysis.stats.bends import fit_bends
from kc_utils.analysis.stats.hinges import Hinges
from kc_utils.errors import KcError

DENSE_EARLY = np.concatenate([np.arange(0, 8, 0.5), np.arange(8, 26, 2.0)])
EVEN = np.arange(17.0)
AT_MOST_5_IN_100 = 16  # of 200: the 97.5 % point of a binomial with 5 %


def pieces(x, onset=-math.inf, knee=math.inf, before=0.0, steep=1.0, after=0.0):
    """Straight pieces through 0 at the first x; ``onset`` and ``knee`` in units of x."""
    fine = np.concatenate([x, [t for t in (onset, knee) if math.isfinite(t)]])
    order = np.sort(fine)
    middle = (order[1:] + order[:-1]) / 2
    slope = np.where(middle < onset, before, np.where(middle > knee, after, steep))
    return np.interp(x, order, np.append(0, np.cumsum(slope * np.diff(order))))


def correlated(rho, n, rng):
    noise = rng.normal(size=n)
    for k in range(1, n):
        noise[k] = rho * noise[k - 1] + math.sqrt(1 - rho**2) * noise[k]
    return noise


def fits(curve, sd, *, x=DENSE_EARLY, rho=0.0, draws=200, rising=True):
    """One fit per seeded draw of noise around ``curve``."""
    for seed in range(draws):
        rng = np.random.default_rng([seed, 3])
        yield fit_bends(x, curve + sd * correlated(rho, len(x), rng), rising=rising, rng=rng, n=100)


def rates(results):
    """How many fits have an onset, a knee, both, and how many of them are sharp."""
    found = [(r.onset.decided, r.knee.decided, r.sharp) for r in results]
    return {
        "onset": sum(o for o, _, _ in found),
        "knee": sum(k for _, k, _ in found),
        "both": sum(o and k for o, k, _ in found),
        "sharp": sum(s for _, _, s in found),
    }


UNIT = DENSE_EARLY / 24
THREE_PHASES = pieces(DENSE_EARLY, onset=3, knee=9, steep=1 / 6, after=0.02)


def test_an_onset_and_a_knee_are_found_where_they_are():
    fit = next(fits(THREE_PHASES, 0.03))
    assert fit.verdict == fit.winner == "onset and knee"
    assert fit.onset.low <= fit.onset.epoch <= fit.onset.high
    assert fit.onset.low <= 3 <= fit.onset.high < 5
    assert 7 < fit.knee.low <= 9 <= fit.knee.high
    assert fit.slope_before == pytest.approx(0, abs=0.02)
    assert fit.slope_steep == pytest.approx(1 / 6, rel=0.15)
    assert fit.slope_after == pytest.approx(0.02, abs=0.01)
    assert fit.fitted == (fit.onset.epoch, fit.knee.epoch)


def test_a_falling_curve_is_a_rising_one_upside_down():
    up = next(fits(THREE_PHASES, 0.03))
    rng = np.random.default_rng([0, 3])
    noisy = THREE_PHASES + 0.03 * correlated(0, len(UNIT), rng)
    down = fit_bends(DENSE_EARLY, 8.3 - 2 * noisy, rising=False, rng=rng, n=100)
    assert down.verdict == "onset and knee"
    assert down.onset.epoch == pytest.approx(up.onset.epoch)
    assert down.knee.epoch == pytest.approx(up.knee.epoch)
    assert down.slope_steep == pytest.approx(-2 * up.slope_steep)


@pytest.mark.slow
@pytest.mark.parametrize("rho", [0.0, 0.4])
def test_intervals_hold_the_true_epochs(rho):
    results = list(fits(THREE_PHASES, 0.03, rho=rho, draws=60))
    onsets = [r.onset for r in results if r.onset.decided]
    knees = [r.knee for r in results if r.knee.decided]
    assert len(onsets) >= 55 and len(knees) >= 55
    assert np.mean([bend.low <= 3 <= bend.high for bend in onsets]) >= 0.85
    assert np.mean([bend.low <= 9 <= bend.high for bend in knees]) >= 0.85
    assert np.mean([bend.high - bend.low for bend in onsets + knees]) < 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("curve", "sd", "rho"),
    [
        pytest.param(0 * UNIT, 1.0, 0.0, id="noise"),
        pytest.param(0 * UNIT, 1.0, 0.4, id="correlated noise"),
        pytest.param(UNIT, 0.05, 0.4, id="line"),
        pytest.param(1 - np.exp(-UNIT / 0.15), 0.04, 0.4, id="exponential"),
    ],
)
def test_curves_without_a_bend_have_none(curve, sd, rho):
    found = rates(fits(curve, sd, rho=rho))
    assert max(found.values()) <= AT_MOST_5_IN_100


@pytest.mark.slow
def test_noise_on_even_epochs_has_no_bend():
    assert max(rates(fits(0 * EVEN, 1.0, x=EVEN, rho=0.4)).values()) <= AT_MOST_5_IN_100


@pytest.mark.slow
@pytest.mark.parametrize(
    "curve",
    [
        pytest.param(1 - 1 / (1 + UNIT / 0.1), id="power law"),
        pytest.param(1 - np.exp(-UNIT / 0.12) + 0.3 * UNIT, id="exponential to a line"),
        pytest.param(np.exp((UNIT - 1) / 0.2), id="exponential growth"),
        pytest.param(np.sqrt(UNIT), id="square root"),
    ],
)
def test_a_curve_that_turns_one_way_gradually_has_no_bend(curve):
    found = rates(fits(curve, 0.02, draws=40))
    assert max(found.values()) <= 5  # the 95 % point of a binomial with 5 % of 40


def test_an_s_shaped_curve_has_phases_but_no_sharp_borders():
    found = rates(fits(1 / (1 + np.exp(-(UNIT - 0.3) / 0.07)), 0.02, draws=40))
    assert found["both"] >= 36
    assert found["sharp"] <= 5


def test_sharp_bends_are_told_from_an_s_shape_when_noise_is_low():
    assert rates(fits(THREE_PHASES, 0.01, draws=20))["sharp"] >= 16


def test_a_curve_with_an_onset_alone_reports_no_knee():
    curve = pieces(DENSE_EARLY, onset=8, steep=1 / 16)
    results = list(fits(curve, 0.03, draws=40))
    found = rates(results)
    assert found["onset"] >= 30
    assert found["knee"] <= 5
    alone = [r for r in results if r.winner == "onset"]
    assert all(math.isnan(r.slope_after) and math.isnan(r.knee.epoch) for r in alone)


def test_a_curve_with_a_knee_alone_reports_no_onset():
    curve = pieces(DENSE_EARLY, knee=8, steep=1 / 8, after=0.01)
    found = rates(fits(curve, 0.03, draws=40))
    assert found["knee"] >= 36
    assert found["onset"] <= 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("curve", "why"),
    [
        pytest.param(1 - THREE_PHASES, "falls instead", id="falling"),
        pytest.param(np.abs(UNIT - 0.4), "turns back", id="V"),
        pytest.param(pieces(DENSE_EARLY, knee=8, after=-1.0), "turns back", id="roof"),
        pytest.param(
            pieces(DENSE_EARLY, onset=4, knee=12, before=-0.2, steep=-1 / 8, after=-0.2),
            "slow part between two steep ones",
            id="steep, slow, steep",
        ),
    ],
)
def test_bends_of_the_wrong_kind_are_not_reported(curve, why):
    assert rates(fits(curve, 0.02, draws=40))["knee"] <= 5, why


def test_a_small_change_of_slope_is_no_bend_however_certain():
    curve = pieces(DENSE_EARLY, knee=10, steep=1.0, after=0.7)
    fit = next(fits(curve, 0.01))
    assert fit.winner == "knee" and fit.knee.p_value < 0.05
    assert fit.verdict == "undecided"
    assert fit.knee.reason == "the steep part is less than twice as steep as its neighbour"


def test_nothing_comes_from_an_undecided_fit():
    undecided = [r for r in fits(0 * UNIT, 1.0, draws=60) if not r.knee.decided]
    assert undecided
    for fit in undecided:
        assert np.isnan([fit.knee.epoch, fit.knee.low, fit.knee.high]).all()
        assert fit.knee.reason
        assert math.isnan(fit.row()["knee"]) and math.isnan(fit.row()["knee_high"])


@pytest.mark.parametrize("slope", [0.0, 1.0, -3.0])
def test_an_exactly_straight_curve_has_no_bend(slope):
    fit = fit_bends(EVEN, 5 + slope * EVEN, rising=True, rng=np.random.default_rng(0))
    assert fit.winner == "line"
    assert fit.verdict == "no bend"


def test_bends_of_a_curve_without_noise_are_exact():
    curve = pieces(DENSE_EARLY, onset=3.2, knee=9.7, steep=0.5, after=0.1)
    fit = fit_bends(DENSE_EARLY, curve, rising=True, rng=np.random.default_rng(0))
    assert fit.verdict == "onset and knee" and fit.sharp
    assert (fit.onset.epoch, fit.knee.epoch) == pytest.approx((3.2, 9.7), abs=1e-4)
    assert (fit.slope_steep, fit.slope_after) == pytest.approx((0.5, 0.1), abs=1e-4)
    assert fit.knee.high - fit.knee.low < 1e-3


CURVES = st.sampled_from([THREE_PHASES, pieces(DENSE_EARLY, knee=8, after=0.01), UNIT])
SCALES = st.floats(0.01, 100)
SHIFTS = st.floats(-100, 100)


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(CURVES, SCALES, SHIFTS, SCALES, SHIFTS, st.booleans(), st.randoms(use_true_random=False))
def test_units_change_nothing(curve, height, lift, width, start, flip, random):
    noisy = curve + 0.03 * np.ptp(curve) * np.random.default_rng(5).normal(size=len(UNIT))
    plain = fit_bends(DENSE_EARLY, noisy, rising=True, rng=np.random.default_rng(1), n=60)
    order = random.sample(range(len(UNIT)), len(UNIT))
    other = fit_bends(
        (start + width * DENSE_EARLY)[order],
        (lift + (-height if flip else height) * noisy)[order],
        rising=not flip,
        rng=np.random.default_rng(1),
        n=60,
    )
    assert (other.winner, other.verdict) == (plain.winner, plain.verdict)
    for mine, theirs in ((plain.onset, other.onset), (plain.knee, other.knee)):
        moved = [start + width * end for end in (mine.epoch, mine.low, mine.high)]
        found = [theirs.epoch, theirs.low, theirs.high]
        assert found == pytest.approx(moved, abs=1e-3 * width * 24, nan_ok=True)


def test_the_same_generator_gives_the_same_result():
    one, two = (
        fit_bends(DENSE_EARLY, THREE_PHASES + 0.05 * UNIT**2, rising=True,
                  rng=np.random.default_rng(4))
        for _ in range(2)
    )  # fmt: skip
    assert one == two


def smallest_rss(x, y):
    """The same optimum by scipy's non-negative least squares over every pair of places."""
    knots = np.unique(x)[1:-1]
    line = np.stack([np.ones_like(x), x], axis=1)
    hinge = np.maximum(0, x[:, None] - knots)
    places = [(k,) for k in range(len(knots))] + [(k, k + 1) for k in range(len(knots) - 1)]
    pairs = [(up, down) for up, down in product(places, places) if down[0] > up[-1]]
    alone = [((), place) for place in places] + [(place, ()) for place in places]
    return min(
        nnls(np.hstack([line, -line, hinge[:, up], -hinge[:, down]]), y)[1] ** 2
        for up, down in pairs + alone
    )


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_the_fit_with_two_bends_is_the_constrained_optimum(seed):
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(0, 1, size=10))
    y = np.cumsum(rng.normal(size=10))
    hinges = Hinges(x)
    models = ("onset", "knee", "onset and knee")
    rest = y - np.polyval(np.polyfit(x, y, 1), x)
    best = min(rest @ rest, *(float(hinges.fit(model, y[None]).rss[0]) for model in models))
    assert best == pytest.approx(smallest_rss(x, y), rel=1e-6, abs=1e-9)


def test_bends_of_a_fit_have_their_signs_and_enough_points_between():
    x = np.sort(np.random.default_rng(0).uniform(0, 1, size=14))
    series = np.random.default_rng(1).normal(size=(50, 14))
    fitted = Hinges(x).fit("onset and knee", series)
    for (onset, knee), rss, y in zip(fitted.bends, fitted.rss, series, strict=True):
        if math.isinf(rss):
            continue
        assert ((x >= onset - 1e-9) & (x <= knee + 1e-9)).sum() >= 2
        columns = np.column_stack([np.ones(14), x, np.maximum(0, x[:, None] - [onset, knee])])
        heights, left, *_ = np.linalg.lstsq(columns, y)
        assert heights[2] > 0 > heights[3]
        assert left[0] == pytest.approx(rss)


@pytest.mark.parametrize("rho", [0.0, 0.4, 0.8])
def test_the_correlation_of_noise_is_recovered_on_average(rho):
    design = np.vander(np.linspace(0, 1, 200), 6)
    noise = [correlated(rho, 200, np.random.default_rng(seed)) for seed in range(20)]
    fitted = [y - design @ np.linalg.lstsq(design, y)[0] for y in noise]
    found = [estimate_noise(rest, design, 1e-14).rho for rest in fitted]
    assert np.mean(found) == pytest.approx(rho, abs=0.06)


def test_drawn_noise_has_the_correlation_and_the_variance_asked_for():
    weights = np.where(np.isclose(RHOS, 0.6), 1.0, 0.0)
    drawn = Noise(weights, np.full(len(RHOS), 4.0)).draw(4000, 12, np.random.default_rng(0))
    assert drawn.var() == pytest.approx(4, rel=0.05)
    assert (drawn[:, 1:] * drawn[:, :-1]).mean() / drawn.var() == pytest.approx(0.6, abs=0.03)


@pytest.mark.parametrize(
    ("epochs", "values", "options", "message"),
    [
        (EVEN[:9], EVEN[:9], {}, "at least 10 different epochs, not 9"),
        (np.zeros(12), EVEN[:12], {}, "at least 10 different epochs, not 1"),
        (EVEN, EVEN[:-1], {}, "17 and 16"),
        (EVEN, np.where(EVEN == 3, np.nan, EVEN), {}, "1 of the epochs and values"),
        (EVEN, EVEN, {"n": 5}, "n=5"),
        (EVEN, EVEN, {"level": 1.0}, "level=1.0"),
    ],
)
def test_impossible_input_is_named(epochs, values, options, message):
    with pytest.raises(KcError, match=message):
        fit_bends(epochs, values, rising=True, rng=np.random.default_rng(0), **options)
