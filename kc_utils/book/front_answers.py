"""The book's answer: a few claims of the ledger as sentences, with what the paper says of each.

Nothing here knows how a claim came out. Every sentence has a wording for each verdict, and the
tables of the stored sweep decide which one is printed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

from kc_utils.analysis.acquisition import leads
from kc_utils.book.evidence_words import seeds_sentence, settled
from kc_utils.book.front_clauses import ANSWERS, Answer
from kc_utils.book.front_short import in_short
from kc_utils.book.sentences import either, enumeration, interval_of
from kc_utils.book.sentences import sentence as sentence_of
from kc_utils.book.verdict_marks import (
    GIVEN,
    called,
    called_shortly,
    chapter_link,
    first_up,
    inside,
    models,
    short,
    within,
)
from kc_utils.config import STRANGE
from kc_utils.study.claims.verdicts import HOLDS, NOT_MEASURED, OPEN, OPPOSITE, SMALLER


def findings(
    ledger: pd.DataFrame,
    behind: Mapping[str, str] | None = None,
    alike: Collection[str] = (),
) -> str:
    """The answer: in short, a sentence per claim, then the models trained, and if they are enough.

    Profiles with too few seeds are named, and their numbers are left to their chapters. ``behind``
    has sentences that follow the claim of their key; ``alike`` are the ids of claims of which runs
    with nothing to learn show the same.
    """
    told = settled(ledger)
    few, behind = seeds_sentence(told), behind or {}
    found = [
        f"- {said} {behind.get(answer.id, '')}".rstrip()
        for answer in ANSWERS
        if (said := sentence(answer, told))
    ]
    parts = [in_short(told, alike), "\n".join(found), f"{trained(told)}{begun(ledger, told)}", few]
    return "\n\n".join(filter(None, parts)) + "\n"


def of_names(times: pd.DataFrame) -> str:
    """Whether known people are also ahead of strangers whose names nobody mixes up.

    Made-up names of common parts resemble each other. A lead over these alone may be about names
    and not about what is known of a person.

    Args:
        times: table ``time_to_knowledge`` of the profiles that are told.

    Returns:
        A sentence for each profile that has names of rare tokens and seeds enough for an interval.
    """
    said = []
    for profile, part in times.groupby("profile", sort=False):
        if STRANGE not in set(part["kind"]):
            continue
        lead = interval_of(leads(part).set_index("kind").loc[STRANGE])
        if math.isnan(lead.low):
            continue
        found = either(
            lead,
            "are ahead of strangers whose names are made of rare tokens as well",
            "are behind strangers whose names are made of rare tokens",
            "are not clearly ahead of strangers whose names are made of rare tokens",
        )
        why = (
            ""
            if lead.low > 0
            else ": what holds the other strangers back may be names that are easily mixed up"
        )
        said.append(
            sentence_of(
                "In {models}, known people {found} ({lead.mean:+.2f} epochs, 95 %: {lead.low:+.2f} "
                "to {lead.high:+.2f}){why}.",
                models=called(profile), found=found, lead=lead, why=why,
            )
        )  # fmt: skip
    return " ".join(said)


def of_steps(forgetting: pd.DataFrame, ratio: float = 0.1) -> str:
    """For how long circuits were followed while the model read about other people, and what was
    left open by then: the new facts still to be learned, and circuits that were still moving away.

    Args:
        forgetting: table ``forgetting`` of the profiles that are told.
        ratio: share of replay of the claim.
    """
    rows = forgetting[np.isclose(forgetting["ratio"], ratio)].query("variant == 'new_people'")
    if rows.empty:
        return ""
    last = rows[rows["step"] == rows.groupby("profile")["step"].transform("max")]
    ends = last.groupby("profile", sort=False)[["step", "accuracy_new"]].mean()
    said = []
    for step, part in ends.groupby(ends["step"].round().astype(int), sort=False):
        where = f" {inside(part.index)}" * (len(ends) > 1)
        by_then = enumeration(dict.fromkeys(f"{value:.2f}" for value in part["accuracy_new"]))
        said.append(f"{step} steps{where} (accuracy on the new facts by then {by_then})")
    return f"Followed for {enumeration(said)}{_still_leaving(rows)}."


def _still_leaving(rows: pd.DataFrame) -> str:
    """In how many runs the circuit was farthest from its start at the last step; empty if none."""
    runs = rows.sort_values("step").groupby(["profile", "seed"], sort=False)["edge_jaccard"]
    leaving = runs.last() <= runs.min()
    if not leaving.any():
        return ""
    them = "its circuit was" if leaving.sum() == 1 else "the circuit was"
    by_profile = leaving.groupby("profile", sort=False)
    never = by_profile.sum()[by_profile.all() & (leaving.sum() > 1)]
    all_of = enumeration(f"all {n} of {called(str(name))}" for name, n in never.items())
    return (
        f"; in {leaving.sum()} of {len(leaving)} runs {them} then farther from its start than ever "
        f"before{f' ({all_of}, where no return could be seen)' * bool(all_of)}, so a later return "
        "is not ruled out"
    )


def trained(ledger: pd.DataFrame) -> str:
    """Which models the answer is about."""
    seeds = ledger.groupby("profile", sort=False)["n_seeds"].max()
    said = {name: f"{models(n, name)} (`{name}`)" for name, n in seeds.items()}
    made = enumeration(words for name, words in said.items() if name not in GIVEN)
    given = enumeration(words for name, words in said.items() if name in GIVEN)
    parts = [f"Trained from scratch, each from a different random start: {made}."] if made else []
    parts += [f"Trained further: {given}, which had read real text before."] if given else []
    return " ".join(parts)


def begun(ledger: pd.DataFrame, told: pd.DataFrame) -> str:
    """The profiles whose seeds are too few to be told here, with a space in front."""
    rest = ledger[~ledger["profile"].isin(told["profile"])]
    if rest.empty:
        return ""
    seeds = rest.groupby("profile", sort=False)["n_seeds"].max()
    said = enumeration(models(n, name) for name, n in seeds.items())
    where = chapter_link("09_real_model" if set(seeds.index) & set(GIVEN) else "12_evidence")
    return f" Too few so far to decide anything: {said} ({where})."


def sentence(answer: Answer, ledger: pd.DataFrame) -> str:
    """What the ledger says of one claim: a clause for all profiles, or one for each verdict."""
    rows = ledger[ledger["id"] == answer.id].to_dict("records")
    if not rows:
        return ""
    text = _together(answer, rows) or _apart(answer, rows)
    measured = [r for r in rows if math.isfinite(r["difference"])]
    where = {r["profile"]: f"{called_shortly(r['profile'])} " * (len(rows) > 1) for r in rows}
    numbers = [f"{where[r['profile']]}{short(r['difference'], '+')}" for r in measured]
    told = f" ({answer.number}: {', '.join(numbers)})" if numbers else ""
    source = f"The paper: {answer.published}; {chapter_link(rows[0]['notebook'])}."
    return f"**{first_up(text)}**{told}. {source}"


def _together(answer: Answer, rows: list[dict[str, Any]]) -> str:
    """One sentence where all models say the same, some clearly and some perhaps by too little."""
    alone = any(row["verdict"] == HOLDS == row["shuffled_verdict"] for row in rows)
    if {row["verdict"] for row in rows} != {HOLDS, SMALLER} or alone:
        return ""
    said: dict[str, list[str]] = {}
    for row in sorted(rows, key=lambda row: row["verdict"] != HOLDS):
        degree = "clearly" if row["verdict"] == HOLDS else "perhaps by too little to matter"
        if row["verdict"] == SMALLER and _certainly_little(row):
            degree = "by too little to matter"
        said.setdefault(degree, []).append(row["profile"])
    places = (f"{degree} {inside(profiles)}" for degree, profiles in said.items())
    return f"{answer.common}: {', '.join(places)}"


def _apart(answer: Answer, rows: list[dict[str, Any]]) -> str:
    """A clause for all models, or one for each verdict with the models that gave it."""
    said: dict[str, list[str]] = {}
    for row in rows:
        said.setdefault(_clause(answer, row), []).append(row["profile"])
    short_of = {answer.clause(OPEN): "this is open",
                answer.clause(NOT_MEASURED): "this could not be measured"}  # fmt: skip
    first = sorted(said, key=lambda clause: clause in short_of)
    parts = [
        f"{inside(said[clause])}, {clause}"
        if clause not in short_of or first[0] in short_of
        else f"{inside(said[clause])} {short_of[clause]}"
        for clause in first
    ]
    if len(parts) == 1:
        parts = list(said)
    return "; ".join(parts)


def _clause(answer: Answer, row: dict[str, Any]) -> str:
    """A finding that runs with nothing to learn show as well is not told without them.

    "Opposite" asks for an interval beyond zero, so the effect can be smaller than what matters. A
    real one whose interval ends short of the margin certainly is.
    """
    also = row["verdict"] == HOLDS == row["shuffled_verdict"]
    low, high = row["difference_low"], row["difference_high"]
    little = row["verdict"] == OPPOSITE and min(abs(low), abs(high)) < row["margin"]
    clause = answer.clause(row["verdict"])
    if row["verdict"] == SMALLER and _certainly_little(row):
        clause = clause.replace("though perhaps", "but")
    return (
        clause
        + also * "; the same shows where nothing could be learned"
        + little * ", though perhaps by too little to matter"
    )


def _certainly_little(row: dict[str, Any]) -> bool:
    """Whether the whole interval of an effect ends short of the margin."""
    return within(row["margin"], row["difference_low"], row["difference_high"])
