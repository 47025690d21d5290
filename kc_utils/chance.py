"""Chance level of an accuracy: what the best guess that ignores the person would reach."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd


def chance_level(
    rows: pd.DataFrame, by: Sequence[str] = ("attribute",), answer: str = "right_id"
) -> pd.DataFrame:
    """Accuracy of the best constant guess in each group: the share of its commonest answer.

    Args:
        rows: from :func:`~kc_utils.training.accuracy.first_token_accuracy`, or from
            :func:`~kc_utils.training.accuracy.generate_answers` with
            ``answer="answer"``.
        by: columns that define the groups.
        answer: column with what would be right.

    Returns:
        The columns ``by`` and ``chance``.
    """
    groups = rows.groupby(list(by), sort=True, observed=True)[answer]
    return (
        groups.agg(lambda a: a.value_counts(normalize=True).iloc[0]).rename("chance").reset_index()
    )
