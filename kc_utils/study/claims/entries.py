"""The ledger over seeds as plain entries, for other programs: ``kc claims --json``."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from kc_utils.errors import KcError
from kc_utils.runs.dataset import SweepTables, check_profile
from kc_utils.study.claims.over_seeds import over_seeds

_WORDS = (
    "id", "topic", "claim", "paper", "profile", "quantity", "direction", "control", "test",
    "test_in_run", "verdict", "note",
)  # fmt: skip
_NUMBERS = ("margin", "p_value", "q_value", "n_seeds", "seeds_for", "seeds_against")


def ledger_of(sweep: SweepTables, profile: str | None = None) -> pd.DataFrame:
    """The ledger over the seeds of a sweep, computed from its table ``evidence``.

    Raises:
        KcError: the sweep holds no ledgers, or not the profile that is asked for.
    """
    if not sweep.has("evidence"):
        raise KcError(f"{sweep.path} holds no ledgers (no table 'evidence').")
    table = over_seeds(sweep.table("evidence"))
    if profile is None:
        return table
    check_profile(profile, table["profile"])
    return table[table["profile"] == profile].reset_index(drop=True)


def entries(table: pd.DataFrame) -> list[dict[str, Any]]:
    """One JSON-ready object per row of :func:`over_seeds`; numbers that are missing are null.

    ``effect``, ``control_effect`` and ``difference`` are means over seeds, with their 95 %
    intervals as [low, high]; ``figure`` is the page of the book that shows the curve.
    """
    found = []
    for row in table.to_dict("records"):
        entry = {name: row[name] for name in _WORDS} | {n: _number(row[n]) for n in _NUMBERS}
        for name, interval in (("effect", "interval"), ("control_effect", "control_interval"),
                               ("difference", "difference_interval")):  # fmt: skip
            entry[name] = _number(row[name])
            ends = [_number(row[f"{name}_{end}"]) for end in ("low", "high")]
            entry[interval] = None if None in ends else ends
        found.append(entry | {"figure": f"notebooks/{row['notebook']}.html"})
    return found


def _number(value: Any) -> float | int | None:
    if isinstance(value, (int,)) or float(value).is_integer():
        return int(value)
    return round(float(value), 6) if math.isfinite(value) else None
