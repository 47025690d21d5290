"""The ledger over seeds for readers: counts, wrapped tables, and what single seeds would say."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from kc_utils.claims.over_seeds import over_seeds
from kc_utils.claims.words import VERDICTS
from kc_utils.plots.tables import table


def verdict_counts(ledger: pd.DataFrame) -> pd.DataFrame:
    """Claims with each verdict, a row per profile: profile, claims, holds, does not hold, ..."""
    counts = pd.crosstab(ledger["profile"], ledger["verdict"]).reindex(columns=list(VERDICTS))
    counts = counts.reindex(list(dict.fromkeys(ledger["profile"]))).fillna(0).astype(int)
    counts.insert(0, "claims", counts.sum(axis=1))
    counts.columns.name = None
    return counts.reset_index()


def evidence_table(ledger: pd.DataFrame) -> Styler:
    """Claim, what the paper reports, effect, control, their difference, seeds: one row per claim.

    Raises:
        KcError: if there are no rows.
    """
    rows = ledger.to_dict("records")
    shown = pd.DataFrame(
        {
            "claim": ledger["claim"],
            "profile": ledger["profile"],
            "in the paper": ledger["paper"],
            "effect": [f"{r['quantity']}: {_numbers(r, 'effect')}" for r in rows],
            "control": [f"{r['control']}: {_numbers(r, 'control_effect')}" for r in rows],
            "difference (95 %)": [_numbers(r, "difference") for r in rows],
            "seeds": ledger["n_seeds"],
            "note": ledger["note"],
        }
    )
    wrapped = {"white-space": "normal", "text-align": "left", "vertical-align": "top"}
    return table(shown).set_properties(**wrapped)


def disagreements(ledger: pd.DataFrame) -> pd.DataFrame:
    """Claims that single seeds judge both ways: profile, claim, seeds for, against, verdict."""
    both = ledger[(ledger["seeds_for"] > 0) & (ledger["seeds_against"] > 0)]
    columns = ["profile", "claim", "seeds_for", "seeds_against", "n_seeds", "verdict"]
    return both[columns].reset_index(drop=True)


def between_profiles(ledger: pd.DataFrame) -> pd.DataFrame:
    """The verdicts of claims that more than one profile measured: claim, a column per profile,
    ``profiles`` ("agree", "contradict each other" or "one leaves it open").

    Undecided in all of them counts as agreement.
    """
    verdicts = ledger.pivot(index="id", columns="profile", values="verdict")
    verdicts = verdicts.reindex(columns=list(dict.fromkeys(ledger["profile"])))
    verdicts = verdicts[verdicts.notna().sum(axis=1) > 1]
    decided = [set(row) - {"undecided", math.nan} for row in verdicts.to_numpy()]
    alike = verdicts.nunique(axis=1) == 1
    said = [
        "agree" if same else "contradict each other" if len(found) > 1 else "one leaves it open"
        for same, found in zip(alike, decided, strict=True)
    ]
    words = ledger.drop_duplicates("id").set_index("id")["claim"]
    verdicts.insert(0, "claim", words.reindex(verdicts.index))
    verdicts.columns.name = None
    return verdicts.assign(profiles=said).loc[[i for i in words.index if i in verdicts.index]]


def profiles_sentence(compared: pd.DataFrame) -> str:
    """How often the profiles agree, from :func:`between_profiles`."""
    if compared.empty:
        return "The tables hold one profile, so nothing can be compared."
    counts = compared["profiles"].value_counts()
    same, half, opposite = (
        counts.get(name, 0) for name in ("agree", "one leaves it open", "contradict each other")
    )
    return (
        f"Of the {len(compared)} claims that more than one profile judges, **{same}** get the same "
        f"verdict, **{half}** are decided in one profile and open in another, and **{opposite}** "
        "are decided in opposite ways."
    )


def swapped_ledgers(rows: pd.DataFrame, n: int, seed: int) -> pd.DataFrame:
    """Share of verdicts "holds" when effect and control change places at random in each seed.

    Claims of equality are left out: they stay true when the sides are swapped. One row per draw:
    draw, judged, holds.
    """
    rng = np.random.default_rng([seed, 64])
    rows = rows[rows["direction"] != "equal"].reset_index(drop=True)
    found = []
    for draw in range(n):
        flip = rng.random(len(rows)) < 0.5
        value = rows["value"].where(~flip, rows["control_value"])
        control = rows["control_value"].where(~flip, rows["value"])
        judged = over_seeds(rows.assign(value=value, control_value=control, at_most=value))
        found.append((draw, len(judged), int((judged["verdict"] == "holds").sum())))
    return pd.DataFrame(found, columns=["draw", "judged", "holds"])


def _numbers(row: dict[str, Any], name: str) -> str:
    value, low, high = (float(row[n]) for n in (name, f"{name}_low", f"{name}_high"))
    if math.isnan(value):
        return "not measured"
    if math.isnan(low):
        return f"{value:.3g} (no interval)"
    return f"{value:.3g}" if low == high else f"{value:.3g} ({low:.3g} to {high:.3g})"
