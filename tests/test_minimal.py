"""The smallest circuit that does a wanted part of the work, found by bisection."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kc_utils.circuits import minimal_size
from kc_utils.circuits.circuit_size import MinimalSize
from kc_utils.errors import KcError


def search(curve: np.ndarray, target: float, **options) -> tuple[MinimalSize, list[int]]:
    asked: list[int] = []

    def evaluate(n: int) -> float:
        asked.append(n)
        return float(curve[n])

    return minimal_size(evaluate, target, len(curve) - 1, **options), asked


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 2000), st.floats(0.01, 0.99))
def test_a_rising_curve_gives_the_smallest_size(seed: int, n_max: int, target: float) -> None:
    rising = np.sort(np.random.default_rng(seed).random(n_max + 1))
    rising[-1] = 1.0
    found, asked = search(rising, target)
    assert found.status == "reached"
    assert found.n == np.flatnonzero(rising >= target)[0]
    assert found.faithfulness == rising[found.n]
    assert found.below == (None if found.n == 0 else found.n - 1)
    assert len(asked) == len(set(asked)) == found.n_evaluations <= 3 + math.log2(n_max)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 2000), st.floats(0.01, 0.99), st.floats(0, 0.5))
def test_any_curve_gives_a_size_that_reaches_and_a_smaller_one_that_does_not(
    seed: int, n_max: int, target: float, tolerance: float
) -> None:
    curve = np.random.default_rng(seed).normal(0.5, 0.7, n_max + 1)
    known = {int(n): float(curve[n]) for n in np.random.default_rng(seed).integers(0, n_max + 1, 5)}
    found, asked = search(curve, target, known=known, tolerance=tolerance)
    tested = {*asked, *known}
    reach = [n for n in tested if curve[n] >= target]
    assert not set(asked) & set(known)
    if not reach:
        assert (found.status, found.n) == ("not reached", None)
        assert math.isnan(found.faithfulness)
        return
    assert found.n == min(reach) and curve[found.n] >= target
    if found.below is not None:
        assert found.faithfulness_below == curve[found.below] < target
        assert found.n - found.below <= max(1, tolerance * found.n)


def test_what_cannot_be_reached_or_is_undefined_is_no_number() -> None:
    assert search(np.full(50, 0.3), 0.5)[0].status == "not reached"
    undefined = np.linspace(0, 1, 51)
    undefined[25] = np.nan
    assert search(undefined, 0.9)[0].status == "undefined"
    assert search(undefined, 0.2, known={12: 0.24})[0].status == "reached", "25 is never asked for"
    assert search(np.full(50, np.nan), 0.5)[0].n is None


@pytest.mark.parametrize(
    ("target", "n_max", "options", "words"),
    [
        (0.0, 10, {}, "target=0.0 "),
        (1.0, 10, {}, "target=1.0 "),
        (math.nan, 10, {}, "target=nan "),
        (0.5, -1, {}, "n_max=-1 "),
        (0.5, 10, {"known": {11: 0.5}}, "known size 11 "),
        (0.5, 10, {"tolerance": 1.0}, "tolerance=1.0 "),
    ],
)
def test_impossible_searches_are_refused(target, n_max, options, words) -> None:
    with pytest.raises(KcError, match=words):
        minimal_size(lambda n: n / 10, target, n_max, **options)
