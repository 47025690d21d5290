"""Sentences with numbers: formats, intervals, and values that are missing."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from kc_utils.analysis.stats.intervals import Interval
from kc_utils.book.sentences import either, enumeration, interval_of, listed, say, sentence
from kc_utils.errors import KcError


def test_values_are_formatted_where_the_template_names_them() -> None:
    assert sentence("**{n:,}** of {share:.1%}", n=1200, share=0.25) == "**1,200** of 25.0%"


def test_an_interval_shows_its_mean_and_both_ends_in_one_format() -> None:
    assert sentence("{lead:+.2f}", lead=Interval(0.1, -0.02, 0.22)) == "+0.10 (-0.02 to +0.22)"


def test_an_interval_without_ends_shows_its_mean_alone() -> None:
    assert sentence("{lead:.2f}", lead=Interval(0.1, math.nan, math.nan)) == "0.10"


def test_a_value_that_is_missing_is_named() -> None:
    with pytest.raises(KcError, match="'lead'; given are n"):
        sentence("{lead}", n=1)


def test_a_page_gets_markdown() -> None:
    assert say("{n} edges", n=3).data == "3 edges"


def test_a_list_fills_its_template_once_per_row() -> None:
    rows = pd.DataFrame({"band": ["high", "low"], "hits at end": [0.5, 0.25]})
    assert listed("{band} {hits at end:.2f}", rows) == "high 0.50; low 0.25"
    assert listed("{n}", [{"n": 1}, {"n": 2}], between=" and ") == "1 and 2"


def test_a_row_of_the_ledger_becomes_intervals() -> None:
    row = pd.Series({"value": 0.5, "low": 0.25, "high": 0.75, "control_value": 0.0,
                     "control_low": -0.5, "control_high": 0.5})  # fmt: skip
    assert interval_of(row) == Interval(0.5, 0.25, 0.75)
    assert interval_of(row, "control_") == Interval(0.0, -0.5, 0.5)


@pytest.mark.parametrize(
    ("low", "high", "word"), [(0.1, 0.2, "up"), (-0.2, -0.1, "down"), (-0.1, 0.1, "flat")]
)
def test_the_word_follows_the_side_on_which_an_interval_lies(low, high, word) -> None:
    assert either(Interval(0.0, low, high), "up", "down", "flat") == word


def test_an_interval_that_cannot_be_had_is_on_neither_side() -> None:
    assert either(Interval(1.0, float("nan"), float("nan")), "up", "down", "flat") == "flat"


@pytest.mark.parametrize(
    ("words", "said"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), ("abc", "a, b and c")]
)
def test_an_enumeration_has_one_and(words, said):
    assert enumeration(words) == said
