"""Sentences with numbers: formats, intervals, and values that are missing."""

from __future__ import annotations

import math

import pytest

from kc_utils.analysis.stats.intervals import Interval
from kc_utils.book.sentences import say, sentence
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
