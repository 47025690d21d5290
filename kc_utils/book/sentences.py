"""Sentences with numbers on a page: a template with named values, formatted in one style.

Notebooks call :func:`say` in folded cells, so that a reader sees the sentence and not its making.
"""

from __future__ import annotations

import math
import string
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
from IPython.display import Markdown

from kc_utils.analysis.stats.intervals import Interval, Trend
from kc_utils.errors import KcError


class _Formatter(string.Formatter):
    """Formats an :class:`Interval` as ``0.12 (0.05 to 0.19)``, all else as usual."""

    def format_field(self, value: Any, format_spec: str) -> str:
        if isinstance(value, Interval):
            mean, low, high = (format(v, format_spec) for v in (value.mean, value.low, value.high))
            return mean if math.isnan(value.low) else f"{mean} ({low} to {high})"
        return super().format_field(value, format_spec)


def sentence(template: str, **values: Any) -> str:
    """The ``template`` with ``{name}`` or ``{name:format}`` replaced by the named values.

    An :class:`~kc_utils.analysis.stats.intervals.Interval` is written as ``mean (low to high)``,
    each number in the given format; one without ends (NaN) as its mean alone.

    Raises:
        KcError: if the template names a value that is not given.
    """
    return _filled(template, values)


def say(template: str, **values: Any) -> Markdown:
    """:func:`sentence` as Markdown for a notebook's page."""
    return Markdown(_filled(template, values))


def listed(
    template: str, rows: pd.DataFrame | Iterable[Mapping[str, Any]], between: str = "; "
) -> str:
    """The ``template`` filled in once per row and joined, to be a value of a sentence.

    A table's values are named by its columns.

    Raises:
        KcError: as :func:`sentence`.
    """
    records = rows.to_dict("records") if isinstance(rows, pd.DataFrame) else rows
    return between.join(_filled(template, row) for row in records)


def enumeration(words: Iterable[str]) -> str:
    """``a``, ``a and b``, or ``a, b and c``."""
    *first, last = [*words] or [""]
    return f"{', '.join(first)} and {last}" if first else last


def interval_of(row: Mapping[str, Any] | pd.Series, side: str = "") -> Interval:
    """The interval in the columns value, low and high of a row; ``side`` goes before each name."""
    return Interval(*(float(row[f"{side}{name}"]) for name in ("value", "low", "high")))


def either(interval: Interval | Trend, above: str, below: str, neither: str) -> str:
    """The word for an interval that lies above zero, below it, or not clearly on one side."""
    return above if interval.low > 0 else below if interval.high < 0 else neither


def _filled(template: str, values: Mapping[str, Any]) -> str:
    try:
        return _Formatter().vformat(template, (), values)
    except (KeyError, IndexError) as error:
        given = ", ".join(map(str, values)) or "none"
        raise KcError(f"The sentence asks for {error}; given are {given}.") from None


def first_up(text: str) -> str:
    """The text with a capital at its front."""
    return text[:1].upper() + text[1:]
