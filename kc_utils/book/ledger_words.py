"""The ledger for readers: counts, wrapped tables, and how far each verdict is from another one.

Both ledgers are told here: the one of a run, and the one over seeds with what single seeds say.
"""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import pandas as pd
from pandas.io.formats.style import Styler

from kc_utils.analysis.stats.intervals import Interval
from kc_utils.book.sentences import enumeration
from kc_utils.book.verdict_marks import within
from kc_utils.plots.tables import table
from kc_utils.study.claims.over_seeds import SHUFFLED
from kc_utils.study.claims.verdicts import (
    DECIDED,
    HOLDS,
    NO_EFFECT,
    OPEN,
    OPPOSITE,
    SMALLER,
    VERDICTS,
    verdict,
)

_BEYOND = 1e-9  # how far past a threshold "past" is, relative to the numbers
#: What is said of one claim with each verdict, and of several.
_COUNTED = (
    ("holds", "hold"),
    ("is real but smaller than its margin", "are real but smaller than their margin"),
    ("shows no effect", "show no effect"), ("shows the opposite", "show the opposite"),
    ("is open", "are open"), ("could not be measured", "could not be measured"),
)  # fmt: skip
_SIGNS = {HOLDS: 1, SMALLER: 1, NO_EFFECT: 0, OPPOSITE: -1}


def counts(claims: pd.DataFrame) -> str:
    """One sentence: how many claims there are and how many have each verdict that occurs."""
    found = [int((claims["verdict"] == name).sum()) for name in VERDICTS]
    words = [f"**{n}** {say[n > 1]}" for say, n in zip(_COUNTED, found, strict=True) if n]
    return f"Of {len(claims)} claims {enumeration(words)}." if words else "There are no claims."


def without_controls(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of real profiles: those of runs with shuffled answers are left out."""
    return rows[~rows["profile"].str.endswith(SHUFFLED)].reset_index(drop=True)


def ledger_table(claims: pd.DataFrame) -> Styler:
    """The ledger of a run with wrapped cells: claim, effect and control, margin, verdict and why.

    Raises:
        KcError: if there are no rows.
    """
    rows = claims.to_dict("records")
    shown = pd.DataFrame(
        {
            "claim": named(claims),
            "claimed by": reported(claims),
            "here, and the control": [f"{measured(r)}. Control: {controlled(r)}." for r in rows],
            "margin": [_margin(r) for r in rows],
            "verdict": [f"{r['verdict'].capitalize()}. {reason(r)}".strip() for r in rows],
        }
    )
    return wrapped(shown)


def named(claims: pd.DataFrame) -> pd.Series:
    """The claims in words; those thought of after the data had been seen say so."""
    later = claims["exploratory"].astype(bool)
    return claims["claim"].where(~later, claims["claim"] + " (exploratory)")


def reported(claims: pd.DataFrame) -> pd.Series:
    """Who makes each claim, and the published number or what was published instead."""
    return claims["claimed_by"] + "; published: " + claims["paper"]


def measured(row: dict[str, Any]) -> str:
    """Quantity, value, interval and number of units, in words."""
    if math.isnan(row["value"]):
        return f"{row['quantity']}: not measured"
    units = f"; {row['n']:,} {row['units']}"
    return f"{row['quantity']}: {_told(row, 'value', ends='')}{units}"


def controlled(row: dict[str, Any]) -> str:
    """What the control is, and its value with interval."""
    if math.isnan(row["control_value"]):
        return row["control"]
    return f"{row['control']}: {_told(row, 'control_value', ends='control_')}"


def reason(row: dict[str, Any]) -> str:
    """Which part of the rule led to the verdict, and the row's note."""
    notes = [_because(row), row["note"]]
    return " ".join(note for note in notes if note)


def changing_shift(row: dict[str, Any]) -> tuple[float, str]:
    """The smallest shift of the difference and its interval that changes the verdict, and to what.

    Margin and direction stay as they are. NaN and "" where no shift does.
    """
    gap = difference_of(row)
    how = {name: row[name] for name in ("direction", "margin")}
    bars = (0.0, row["margin"], -row["margin"])
    scale = _BEYOND * max(map(abs, (*bars, gap.low, gap.high)))
    found = []
    for bar, end, side in product(bars, (gap.low, gap.high), (-1, 1)):
        shift = bar - end + side * scale
        moved = Interval(*(number + shift for number in (gap.mean, gap.low, gap.high)))
        said = verdict(moved, **how)
        if math.isfinite(shift) and said != row["verdict"]:
            found.append((abs(shift), shift, said))
    return min(found)[1:] if found else (math.nan, "")


def difference_of(row: dict[str, Any]) -> Interval:
    """Effect minus control of a row, with its interval."""
    return Interval(*(float(row[f"difference{end}"]) for end in ("", "_low", "_high")))


def narrowest(claims: pd.DataFrame, n: int = 6) -> pd.DataFrame:
    """The ``n`` verdicts that the smallest shift would change, in half-widths of the interval.

    Columns: claim, verdict, shift (unit of the quantity), half-widths, would become.
    """
    rows = []
    for row in claims.to_dict("records"):
        shift, said = changing_shift(row)
        half = (row["difference_high"] - row["difference_low"]) / 2
        if said and half > 0:
            rows.append((row["claim"], row["verdict"], shift, abs(shift) / half, said))
    columns = ["claim", "verdict", "shift", "half-widths", "would become"]
    ordered = pd.DataFrame(rows, columns=columns).sort_values("half-widths", kind="stable")
    return ordered.head(n).reset_index(drop=True)


def _because(row: dict[str, Any]) -> str:
    """Which part of the rule decided, from the interval of the difference."""
    gap, margin = difference_of(row), f"{row['margin']:.3g}"
    if math.isnan(gap.mean):
        return ""
    if math.isnan(gap.low):
        return "Too few units for an interval."
    equal, interval = row["direction"] == "equal", f"{gap.low:.3g} to {gap.high:.3g}"
    inside = f"The difference ({interval}) is smaller than {margin} on either side."
    said = {
        HOLDS: inside if equal else f"The whole difference ({interval}) is beyond {margin}.",
        SMALLER: f"The difference ({interval}) is beyond 0, but "
        + ("short of" if within(row["margin"], gap.low, gap.high) else "not all of it beyond")
        + f" {margin}.",
        NO_EFFECT: inside,
        OPPOSITE: f"The whole difference ({interval}) is "
        + (f"beyond {margin} on one side." if equal else "on the other side of 0."),
        OPEN: f"The difference ({interval}) allows for both answers.",
    }
    return said.get(row["verdict"], "")


def _told(row: dict[str, Any], name: str, ends: str | None = None) -> str:
    """A value of a row in words, with its interval: ``<ends>low`` to ``<ends>high``."""
    ends = f"{name}_" if ends is None else ends
    value, low, high = (float(row[key]) for key in (name, f"{ends}low", f"{ends}high"))
    if math.isnan(value):
        return "not measured"
    if math.isnan(low):
        return f"{value:.3g} (no interval)"
    return f"{value:.3g}" if low == high else f"{value:.3g} ({low:.3g} to {high:.3g})"


def wrapped(shown: pd.DataFrame) -> Styler:
    """A table whose cells hold sentences."""
    wrapped = {"white-space": "normal", "text-align": "left", "vertical-align": "top"}
    return table(shown).set_properties(**wrapped)


def seeds_of(runs: pd.DataFrame) -> str:
    """Which runs a data set holds: ``**5** seeds of `tiny` and **1** seed of `tiny-llama` (3)``.

    ``runs`` has the columns profile and seed, any number of rows for each. One seed is named.
    """
    seeds = runs.groupby("profile", sort=False)["seed"].unique()
    words = [
        f"**{len(s)}** seeds of `{name}`" if len(s) > 1 else f"**1** seed of `{name}` ({s[0]})"
        for name, s in seeds.items()
    ]
    return enumeration(words)


def verdict_counts(ledger: pd.DataFrame) -> pd.DataFrame:
    """Claims with each verdict, a row per profile: profile, claims, holds, ..."""
    counts = pd.crosstab(ledger["profile"], ledger["verdict"]).reindex(columns=list(VERDICTS))
    counts = counts.reindex(list(dict.fromkeys(ledger["profile"]))).fillna(0).astype(int)
    counts.insert(0, "claims", counts.sum(axis=1))
    counts.columns.name = None
    return counts.reset_index()


def evidence_table(ledger: pd.DataFrame) -> Styler:
    """The ledger over seeds with wrapped cells; profiles are named where there are several.

    Raises:
        KcError: if there are no rows.
    """
    rows = ledger.to_dict("records")
    shown = pd.DataFrame(
        {
            "claim": named(ledger),
            "profile": ledger["profile"],
            "claimed by": reported(ledger),
            "effect, and its control": [_effect(r) for r in rows],
            "difference": [f"{_told(r, 'difference')}; seeds: {r['n_seeds']}" for r in rows],
            "answers shuffled": [_told(r, "shuffled") for r in rows],
            "margin": [_margin(r) for r in rows],
            "verdict": [_verdict(r) for r in rows],
        }
    )
    if ledger["profile"].nunique() == 1:
        shown = shown.drop(columns="profile")
    return wrapped(shown)


def _verdict(row: dict[str, Any]) -> str:
    return f"{row['verdict'].capitalize()}. {row['note']}".strip()


def _effect(row: dict[str, Any]) -> str:
    effect, control = (_told(row, name) for name in ("effect", "control_effect"))
    return f"{row['quantity']}: {effect}. Control ({row['control']}): {control}."


def _margin(row: dict[str, Any]) -> str:
    return f"{row['margin']:.3g}: {row['margin_reason']}"


def between_profiles(ledger: pd.DataFrame) -> pd.DataFrame:
    """The verdicts of claims that more than one profile judges: claim, a column per profile,
    ``profiles`` ("agree", "contradict each other", "differ in size" or "one leaves it open").

    They differ in size where the effect is real in both and beyond its margin in one; contradict
    means an effect here and none, or the opposite, there. Open in all of them counts as agreement.
    """
    verdicts = ledger.pivot(index="id", columns="profile", values="verdict")
    verdicts = verdicts.reindex(columns=list(dict.fromkeys(ledger["profile"])))
    verdicts = verdicts[verdicts.notna().sum(axis=1) > 1]
    words = ledger.drop_duplicates("id").set_index("id")["claim"]
    said = [_compared([v for v in row if isinstance(v, str)]) for row in verdicts.to_numpy()]
    verdicts.insert(0, "claim", words.reindex(verdicts.index))
    verdicts.columns.name = None
    return verdicts.assign(profiles=said).loc[[i for i in words.index if i in verdicts.index]]


def _compared(found: list[str]) -> str:
    if len(set(found)) == 1:
        return "agree"
    if not set(found) <= set(DECIDED):
        return "one leaves it open"
    return "differ in size" if len({_SIGNS[v] for v in found}) == 1 else "contradict each other"


def profiles_sentence(compared: pd.DataFrame) -> str:
    """How often the profiles agree, from :func:`between_profiles`."""
    if compared.empty:
        return "Only one profile has seeds enough, so verdicts cannot be compared yet."
    counts = compared["profiles"].value_counts()
    same, size, half, other = (
        int(counts.get(name, 0))
        for name in ("agree", "differ in size", "one leaves it open", "contradict each other")
    )
    agreed = compared[compared["profiles"] == "agree"].drop(columns=["claim", "profiles"])
    undecided = int((~agreed.isin(DECIDED) & agreed.notna()).any(axis=1).sum())
    still = f" ({undecided} of them open in all)" if undecided else ""
    return (
        f"Of the {len(compared)} claims that more than one profile judges, **{same}** get the same "
        f"verdict{still}. The verdict is real in both and differs in size for **{size}**, decided "
        f"in one profile and open in another for **{half}**, and contradictory for **{other}**."
    )


def strategy_verdict(verdicts: pd.Series, strategy: str) -> str:
    """What the ledger says of a strategy of training, in words.

    ``verdicts`` by the claim's id, ``strategy`` as in ``strategy-<strategy>-efficiency`` and
    ``strategy-<strategy>-forgetting``; of a claim that is missing there is nothing to say.
    """
    found: dict[str, list[str]] = {name: [] for name in VERDICTS}
    for what, gain in (("efficiency", "learns sooner"), ("forgetting", "forgets less")):
        if (name := f"strategy-{strategy}-{what}") in verdicts:
            found[verdicts[name]].append(gain)
    helps = " and ".join(found[HOLDS])
    said = [f"it {helps}" if helps else "**it is not shown to help**"]
    for name in VERDICTS[1:]:
        said += [f"whether it {gain}: {name}" for gain in found[name]]
    return "; ".join(said)
