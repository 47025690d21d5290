"""How far the ledger over seeds can be trusted: false discoveries, shuffled runs, who claims what.

The verdicts themselves are put into words by :mod:`kc_utils.book.ledger_words`.
"""

from __future__ import annotations

import math

import pandas as pd
from pandas.io.formats.style import Styler

from kc_utils.analysis.stats.seeds import LEAST_SEEDS
from kc_utils.book.ledger_words import without_controls, wrapped
from kc_utils.book.sentences import enumeration
from kc_utils.book.verdict_marks import bar, called, called_shortly, ends
from kc_utils.study.claims.over_seeds import false_holds
from kc_utils.study.claims.seeds_needed import MOST
from kc_utils.study.claims.verdicts import (
    HOLDS,
    NO_EFFECT,
    NOT_MEASURED,
    OPEN,
    OPPOSITE,
    SMALLER,
    VERDICTS,
)

FALSE_RATE = 0.05
#: The share of a real effect from which on the same effect in shuffled runs is told.
ALIKE = 1 / 3
#: Verdicts that say "beyond the margin", and those that say "short of it".
_KINDS = {"for": (HOLDS,), "against": (SMALLER, NO_EFFECT, OPPOSITE)}


def by_claimant(ledger: pd.DataFrame) -> pd.DataFrame:
    """Claims with each verdict by who makes them: claimed by, profile, claims, a column each."""
    keys = ["claimed_by", "profile"]
    counts = pd.crosstab([ledger[k] for k in keys], ledger["verdict"])
    counts = counts.reindex(columns=list(VERDICTS)).fillna(0).astype(int)
    counts = counts.reindex(pd.MultiIndex.from_frame(ledger[keys].drop_duplicates()))
    counts.insert(0, "claims", counts.sum(axis=1))
    counts.columns.name = None
    return counts.reset_index().rename(columns={"claimed_by": "claimed by"})


def false_discoveries(ledger: pd.DataFrame) -> pd.DataFrame:
    """Decided verdicts that are left when the expected share of false ones may be 5 %.

    One row per profile and kind: profile, says ("beyond the margin" for verdicts "holds", "short of
    it" for those that say less), verdicts, left (those with q below 0.05).
    """
    rows = []
    for profile, part in ledger.groupby("profile", sort=False):
        for kind, names in _KINDS.items():
            decided = part[part["verdict"].isin(names)]
            left = int((decided[f"q_{kind}"] < FALSE_RATE).sum())
            says = "beyond the margin" if kind == "for" else "short of it"
            rows.append((profile, says, len(decided), left))
    return pd.DataFrame(rows, columns=["profile", "says", "verdicts", "left"])


def main_claims(ledger: pd.DataFrame) -> Styler:
    """The claims that matter most, a row each: verdict and difference of each profile.

    A difference has its interval where there is one.

    Profiles with too few seeds are left out.
    """
    main = settled(ledger[ledger["main"].astype(bool)])
    rows = main.drop_duplicates("id").set_index("id")
    shown = pd.DataFrame({"claim": rows["claim"]})
    for profile, part in main.groupby("profile", sort=False):
        found = {row["id"]: _told(row) for row in part.to_dict("records")}
        shown[called_shortly(str(profile))] = [found.get(name, "") for name in rows.index]
    return wrapped(shown.reset_index(drop=True))


def _told(row: dict) -> str:
    if math.isnan(row["difference"]):
        return row["verdict"]
    return f"{row['verdict']}: {ends(row, 'difference')}"


def open_claims(ledger: pd.DataFrame) -> pd.DataFrame:
    """What is open with enough seeds to say so, and how many would decide it, fewest first.

    Columns: claim, profile, difference (with its interval), margin, seeds, would take (seeds in
    all, if mean and spread stayed), and say (the first verdict that is reached then).
    """
    rows = _open(ledger).sort_values("seeds_needed", kind="stable", na_position="last")
    dicts, needed = rows.to_dict("records"), rows["seeds_needed"]
    columns = {
        "claim": rows["claim"],
        "profile": rows["profile"],
        "difference": [ends(row, "difference") for row in dicts],
        "margin": [bar(row) for row in dicts],
        "seeds": rows["n_seeds"],
        "would take": [f"more than {MOST}" if math.isnan(n) else f"{n:.0f}" for n in needed],
        "and say": rows["verdict_then"],
    }
    return pd.DataFrame(columns).reset_index(drop=True)


def open_sentence(ledger: pd.DataFrame, seeds: int = 8) -> str:
    """How many of :func:`open_claims` so many seeds would decide."""
    needed = _open(ledger)["seeds_needed"]
    if needed.empty:
        return "No claim is open that has runs enough."
    near, never = int((needed <= seeds).sum()), int(needed.isna().sum())
    said = (
        f"If means and spreads stayed as they are, {seeds} seeds would decide {near} of the "
        f"{len(needed)} verdicts that are open"
    )
    if never:
        lie = "lies" if never == 1 else "lie"
        said += f"; {never} {lie} on a border between two verdicts, where {MOST} would not do"
    return said + "."


def _open(ledger: pd.DataFrame) -> pd.DataFrame:
    rows = without_controls(settled(ledger))
    return rows[rows["verdict"].eq(OPEN) & (rows["n_seeds"] >= LEAST_SEEDS)]


def disagreements(ledger: pd.DataFrame) -> pd.DataFrame:
    """Claims that hold in some single seeds only: profile, claim, seeds_for, n_seeds, verdict."""
    split = ledger[(ledger["seeds_for"] > 0) & (ledger["seeds_for"] < ledger["n_seeds"])]
    columns = ["profile", "claim", "seeds_for", "n_seeds", "verdict"]
    return split[columns].reset_index(drop=True)


def seeds_differ(ledger: pd.DataFrame) -> str:
    """In one sentence, how often a claim holds in some seeds of a profile and not in others."""
    judged, split = int((ledger["n_seeds"] > 1).sum()), len(disagreements(ledger))
    if not split:
        return "Single seeds agree on every claim."
    return (
        f"Of {judged} verdicts (one for each claim and profile with more than one seed), "
        f"**{split}** would have been *holds* in some seeds and not in others."
    )


def shuffled_sentences(ledger: pd.DataFrame) -> str:
    """How often the ledger's verdict is "holds" where there was nothing to learn about anybody.

    A paragraph per kind of model. ``ledger``:
    :func:`kc_utils.study.claims.over_seeds.over_seeds`, with or without the control profiles' own
    rows.
    """
    real = without_controls(ledger)
    found = false_holds(real)
    said = [_shuffled(row, real) for row in found.to_dict("records")]
    few = real[~real["profile"].isin(found["profile"])].groupby("profile", sort=False)["n_shuffled"]
    alike: dict[int, list[str]] = {}
    for profile, n in few.max().items():
        alike.setdefault(int(n), []).append(called(str(profile)))
    for n, names in alike.items():
        runs = "is no run" if not n else "is 1 run" if n == 1 else f"are {n} runs"
        each = " each" * (len(names) > 1 and n > 0)
        end = ": too few to say." if n else "."
        said.append(f"Of {enumeration(names)} there {runs}{each} with shuffled answers so far{end}")
    return "\n\n".join(said)


def _shuffled(row: dict, ledger: pd.DataFrame) -> str:
    here = ledger[ledger["profile"] == row["profile"]]
    own = here[here["verdict"] == HOLDS]
    equal = int((here["direction"].eq("equal") & here["shuffled_verdict"].eq(HOLDS)).sum())
    said = (
        f"**In {row['n_seeds']} runs of {called(row['profile'])}**, trained on shuffled answers, "
        f'the verdict is "holds" for **{row["holds"]}** of {row["judged"]} claims '
        f"({row['share']:.0%}). "
    )
    if equal:
        said += f"Of these {equal} say that two things are equal, which is easy with no knowledge. "
    said += _both(own, own[own["shuffled_verdict"] == HOLDS])
    unjudged = int((own["shuffled_verdict"] == NOT_MEASURED).sum())
    if unjudged:
        said += f" {unjudged} of the {len(own)} could not be judged where nothing was learned."
    like = own[_alike(own)]
    if len(like):
        claims = "; ".join(f"*{claim}*" for claim in like["claim"])
        said += (
            f" For {len(like)} more of the {len(own)}, runs with nothing to learn show over a "
            f"third of the effect: {claims}."
        )
    return said


def _both(own: pd.DataFrame, both: pd.DataFrame) -> str:
    """What can be said of claims that hold in the real runs (``own``) and in the shuffled ones."""
    if both.empty:
        return f"None of the claims that hold in the real runs ({len(own)}) is among them."
    claims = "; ".join(f"*{claim}*" for claim in both["claim"])
    too = (
        "1 holds here too, so it says"
        if len(both) == 1
        else f"{len(both)} hold here too, so they say"
    )
    return (
        f"Of the {len(own)} that hold in the real runs, {too} nothing about knowledge of people: "
        f"{claims}."
    )


def _alike(own: pd.DataFrame) -> pd.Series:
    """Claims of an effect whose shuffled runs show a third of it or more without holding there."""
    return pd.Series([shown_without_knowledge(row) for row in own.to_dict("records")], own.index,
                     dtype=bool)  # fmt: skip


def shown_without_knowledge(row: dict) -> bool:
    """Whether a row of the ledger holds for an effect of which shuffled runs show a third or more,
    without holding there."""
    judged = row["verdict"] == HOLDS and row["shuffled_verdict"] not in (HOLDS, NOT_MEASURED)
    effect = judged and row["direction"] != "equal"
    return effect and row["shuffled"] / row["difference"] > ALIKE


def settled(ledger: pd.DataFrame) -> pd.DataFrame:
    """The rows of profiles with enough seeds to decide; all rows where no profile has them."""
    seeds = ledger.groupby("profile", sort=False)["n_seeds"].transform("max")
    enough = ledger[seeds >= LEAST_SEEDS]
    return enough.reset_index(drop=True) if len(enough) else ledger


def seeds_sentence(ledger: pd.DataFrame) -> str:
    """How many seeds each real profile has, if that is too few to decide; empty otherwise."""
    seeds = without_controls(ledger).groupby("profile", sort=False)["n_seeds"].max()
    few = seeds[seeds < LEAST_SEEDS]
    if few.empty:
        return ""
    listed = enumeration(f"{n} of `{profile}`" for profile, n in few.items())
    return (
        f"Seeds computed so far: {listed}. Fewer than {LEAST_SEEDS} decide nothing: their numbers "
        "are first measurements, and settle no claim yet."
    )
