"""The ledger over seeds as plain entries, for other programs: ``kc claims --json``."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from kc_utils.errors import KcError
from kc_utils.runs.dataset import SweepTables, check_profile
from kc_utils.study.claims.claim import WORDS
from kc_utils.study.claims.over_seeds import over_seeds
from kc_utils.study.ledger import CLAIMS, EXPERIMENT_CLAIMS

_TEXT = (
    *WORDS,
    "profile",
    "test_in_run",
    "margin_reason",
    "verdict",
    "shuffled_verdict",
    "verdict_then",
    "note",
)
_NUMBERS = ("margin", "p_for", "q_for", "p_against", "q_against", "n_seeds", "seeds_for",
            "n_shuffled", "seeds_needed")  # fmt: skip
#: Means over seeds, and how their 95 % intervals [low, high] are called.
_INTERVALS = {"effect": "interval", "control_effect": "control_interval",
              "difference": "difference_interval", "shuffled": "shuffled_interval"}  # fmt: skip
#: Words of a claim that may be put better after its ledgers were stored; the rest is its recipe.
_WORDED = ("claim", "paper", "quantity")


def ledger_of(sweep: SweepTables, profile: str | None = None) -> pd.DataFrame:
    """The ledger over the seeds of a sweep, computed from its table ``evidence``, in today's words.

    Raises:
        KcError: the sweep holds no ledgers, or not the profile that is asked for.
    """
    if not sweep.has("evidence"):
        raise KcError(f"{sweep.path} holds no ledgers (no table 'evidence').")
    table = over_seeds(sweep.table("evidence"))
    table = _in_todays_words(table)
    if profile is None:
        return table
    check_profile(profile, table["profile"])
    return table[table["profile"] == profile].reset_index(drop=True)


def _in_todays_words(table: pd.DataFrame) -> pd.DataFrame:
    """The rows with the words that their claims have now; a claim that is gone keeps its own."""
    claims = {claim.id: claim for claim in (*CLAIMS, *EXPERIMENT_CLAIMS)}
    for word in _WORDED:
        now = table["id"].map({name: getattr(claim, word) for name, claim in claims.items()})
        table[word] = now.fillna(table[word])
    return table


def entries(table: pd.DataFrame) -> list[dict[str, Any]]:
    """One JSON-ready object per row of :func:`over_seeds`; numbers that are missing are null.

    ``effect``, ``control_effect``, ``difference`` and ``shuffled`` (the difference in runs with
    shuffled answers) are means over seeds; ``seeds_needed`` would decide what is open, as
    ``verdict_then``; ``figure`` is the page of the book that shows the curve.
    """
    found = []
    for row in table.to_dict("records"):
        entry = {n: _plain(row[n]) for n in _TEXT} | {n: _number(row[n]) for n in _NUMBERS}
        for name, interval in _INTERVALS.items():
            entry[name] = _number(row[name])
            ends = [_number(row[f"{name}_{end}"]) for end in ("low", "high")]
            entry[interval] = None if None in ends else ends
        found.append(entry | {"figure": f"notebooks/{row['notebook']}.html"})
    return found


def _plain(value: Any) -> str | bool:
    return value if isinstance(value, str) else bool(value)


def _number(value: Any) -> float | int | None:
    if isinstance(value, (int,)) or float(value).is_integer():
        return int(value)
    return round(float(value), 6) if math.isfinite(value) else None
