"""The ledger for readers: wrapped tables, and how far each verdict is from another one.

The ledger over seeds for readers: counts, wrapped tables, and what single seeds would say.
"""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from kc_utils.analysis.stats.intervals import Interval
from kc_utils.plots.tables import table
from kc_utils.study.claims.claim import ALPHA, verdict
from kc_utils.study.claims.over_seeds import over_seeds

VERDICTS = ("holds", "does not hold", "undecided")
_BEYOND = 1e-9  # how far past a threshold "past" is, relative to the numbers


def counts(claims: pd.DataFrame) -> str:
    """One sentence: how many claims there are and how many have each verdict."""
    found = [int((claims["verdict"] == name).sum()) for name in VERDICTS]
    words = "**{}** hold, **{}** do not hold and **{}** are undecided".format(*found)
    return f"Of {len(claims)} claims {words}."


def ledger_table(claims: pd.DataFrame) -> Styler:
    """The ledger with wrapped cells: claim, paper, here, control, why.

    Raises:
        KcError: if there are no rows.
    """
    shown = pd.DataFrame(
        {
            "claim": claims["claim"],
            "in the paper": claims["paper"],
            "here (95 % interval)": [measured(row) for row in claims.to_dict("records")],
            "control": [controlled(row) for row in claims.to_dict("records")],
            "why": [reason(row) for row in claims.to_dict("records")],
            "chapter": claims["notebook"].str.partition("_")[0].astype(int).astype(str),
        }
    )
    wrapped = {"white-space": "normal", "text-align": "left", "vertical-align": "top"}
    return table(shown).set_properties(**wrapped)


def measured(row: dict[str, Any]) -> str:
    """Quantity, value, interval and number of units, in words."""
    if math.isnan(row["value"]):
        return f"{row['quantity']}: not measured"
    units = f"; {row['n']:,} {row['units']}"
    return f"{row['quantity']}: {_numbers(row['value'], row['low'], row['high'])}{units}"


def controlled(row: dict[str, Any]) -> str:
    """What the control is, and its value with interval."""
    if math.isnan(row["control_value"]):
        return row["control"]
    numbers = [row[f"control_{part}"] for part in ("value", "low", "high")]
    return f"{row['control']}: {_numbers(*numbers)}"


def reason(row: dict[str, Any]) -> str:
    """Which part of the rule led to the verdict, and the row's note."""
    notes = [_because(row), row["note"]]
    return " ".join(note for note in notes if note)


def changing_shift(row: dict[str, Any]) -> tuple[float, str]:
    """The smallest shift of the effect and its interval that changes the verdict, and to what.

    Control, margin and p-value stay as they are. NaN and "" where no shift does.
    """
    effect = Interval(row["value"], row["low"], row["high"])
    control = Interval(row["control_value"], row["control_low"], row["control_high"])
    how = {name: row[name] for name in ("direction", "margin", "p_value")}
    bars = (control.low, control.high, control.mean - row["margin"], control.mean + row["margin"])
    ends = (effect.mean, effect.low, effect.high)
    scale = _BEYOND * max(map(abs, (*bars, *ends)), default=1.0)
    found = []
    for bar, end, side in product(bars, ends, (-1, 1)):
        shift = bar - end + side * scale
        moved = Interval(*(number + shift for number in ends))
        said = verdict(moved, control, **how)
        if math.isfinite(shift) and said != row["verdict"]:
            found.append((abs(shift), shift, said))
    return min(found)[1:] if found else (math.nan, "")


def narrowest(claims: pd.DataFrame, n: int = 6) -> pd.DataFrame:
    """The ``n`` verdicts that the smallest shift would change, in half-widths of the interval.

    Columns: claim, verdict, shift (unit of the quantity), half-widths, would become.
    """
    rows = []
    for row in claims.to_dict("records"):
        shift, said = changing_shift(row)
        half = (row["high"] - row["low"]) / 2
        if said and half > 0:
            rows.append((row["claim"], row["verdict"], shift, abs(shift) / half, said))
    columns = ["claim", "verdict", "shift", "half-widths", "would become"]
    ordered = pd.DataFrame(rows, columns=columns).sort_values("half-widths", kind="stable")
    return ordered.head(n).reset_index(drop=True)


def _because(row: dict[str, Any]) -> str:
    if math.isnan(row["value"]):
        return ""
    ends = ("low", "high", "control_low", "control_high")
    if any(math.isnan(row[name]) for name in ends):
        return "Too few units for an interval."
    margin = f"{row['margin']:.3g}"
    equal = row["direction"] == "equal"
    if row["verdict"] == "holds":
        return f"Interval within {margin} of the control." if equal else "Beyond the control."
    if row["verdict"] == "does not hold":
        beyond = f"Interval beyond {margin} on one side."
        return beyond if equal else f"An effect of {margin} or more is ruled out."
    if row["p_value"] >= ALPHA:
        return f"p = {row['p_value']:.2g}."
    return "The interval leaves both answers open."


def _numbers(value: float, low: float, high: float) -> str:
    if math.isnan(low):
        return f"{value:.3g} (no interval)"
    return f"{value:.3g}" if low == value == high else f"{value:.3g} ({low:.3g} to {high:.3g})"


def seeds_of(runs: pd.DataFrame) -> str:
    """Which runs a data set holds: ``**5** seeds of `tiny` and **3** seeds of `tiny-llama```.

    ``runs`` has the columns profile and seed, any number of rows for each.
    """
    seeds = runs.groupby("profile", sort=False)["seed"].nunique()
    words = [f"**{n}** seed{'s' if n > 1 else ''} of `{name}`" for name, n in seeds.items()]
    return " and ".join(words)


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
            "effect": [f"{r['quantity']}: {_seed_numbers(r, 'effect')}" for r in rows],
            "control": [f"{r['control']}: {_seed_numbers(r, 'control_effect')}" for r in rows],
            "difference (95 %)": [_seed_numbers(r, "difference") for r in rows],
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


def strategy_verdict(verdicts: pd.Series, strategy: str) -> str:
    """What the ledger says of a strategy of training, in words.

    ``verdicts`` by the claim's id, ``strategy`` as in ``strategy-<strategy>-efficiency`` and
    ``strategy-<strategy>-forgetting``; a claim that is missing is undecided.
    """
    found: dict[str, list[str]] = {name: [] for name in VERDICTS}
    for what, gain in (("efficiency", "learns sooner"), ("forgetting", "forgets less")):
        found[verdicts.get(f"strategy-{strategy}-{what}", "undecided")].append(gain)
    helps, fails, opens = (" and ".join(found[name]) for name in VERDICTS)
    said = [f"it {helps}" if helps else "**it is not shown to help**"]
    said += [f"no gain that would matter: {fails}"] if fails else []
    said += [f"undecided: {opens}"] if opens else []
    return "; ".join(said)


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


def _seed_numbers(row: dict[str, Any], name: str) -> str:
    value, low, high = (float(row[n]) for n in (name, f"{name}_low", f"{name}_high"))
    if math.isnan(value):
        return "not measured"
    if math.isnan(low):
        return f"{value:.3g} (no interval)"
    return f"{value:.3g}" if low == high else f"{value:.3g} ({low:.3g} to {high:.3g})"
