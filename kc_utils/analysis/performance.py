"""Is one group of people ahead of another, and do the frequency bands stand in their order?"""

from __future__ import annotations

import pandas as pd

from kc_utils.analysis.stats.intervals import Interval, bootstrap_difference


def difference(
    one: pd.DataFrame, two: pd.DataFrame, value: str = "correct", *, n: int, seed: int
) -> Interval:
    """Mean of ``value`` in ``one`` minus that in ``two``, with people of both sides resampled."""
    sides = [side[value].astype(float) for side in (one, two)]
    people = [side["person_id"] for side in (one, two)]
    return bootstrap_difference(*sides, *people, n=n, seed=seed)


def lead(rows: pd.DataFrame, value: str = "correct", *, n: int, seed: int) -> Interval:
    """Mean of K_rel people minus mean of K_compl people.

    Args:
        rows: kind, person_id and ``value``, a row per answer.
    """
    known, new = (rows[rows["kind"] == kind] for kind in ("K_rel", "K_compl"))
    return difference(known, new, value, n=n, seed=seed)


def leads(
    rows: pd.DataFrame, by: list[str], value: str = "correct", *, n: int, seed: int
) -> pd.DataFrame:
    """:func:`lead` in every group that holds both kinds of people: ``by``, value, low, high."""
    found = []
    for keys, part in rows.groupby(by, sort=True, observed=True):
        if part["kind"].nunique() == 2:
            gap = lead(part, value, n=n, seed=seed)
            found.append((*keys, gap.mean, gap.low, gap.high))
    return pd.DataFrame(found, columns=[*by, "value", "low", "high"])
