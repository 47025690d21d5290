"""Curves over seeds: the mean of a table's numbers with a 95 % t interval, seed by seed."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from kc_utils.claims.over_seeds import interval
from kc_utils.errors import KcError


def seed_bands(frame: pd.DataFrame, by: Sequence[str], value: str = "value") -> pd.DataFrame:
    """Mean of ``value`` over seeds for every combination of ``by``, with its interval.

    Rows of one seed in the same group are averaged first, so that each seed counts once. With
    fewer than three seeds there is no interval (NaN).

    Returns:
        The columns ``by``, then ``value``, ``low``, ``high`` and ``n_seeds``.

    Raises:
        KcError: a column is missing, for instance ``seed`` in the table of a single run.
    """
    missing = [name for name in ("seed", value, *by) if name not in frame.columns]
    if missing:
        raise KcError(f"Bands over seeds need the column {missing[0]!r}, which the table lacks.")
    keys = list(by)
    per_seed = frame.groupby([*keys, "seed"], as_index=False, observed=True, sort=True)[
        value
    ].mean()
    rows = []
    for group, part in per_seed.groupby(keys, observed=True, sort=True):
        found = interval(part[value].dropna())
        rows.append((*group, found.mean, found.low, found.high, part["seed"].nunique()))
    return pd.DataFrame(rows, columns=[*keys, value, "low", "high", "n_seeds"])
