"""The box at the top of a chapter: what is claimed, and what was found over seeds.

A chapter opens with its claim. Whether the claim holds is not for its author to say, so the box
is made from the ledger of the stored sweep whenever the book is built.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from kc_utils.analysis.stats.seeds import LEAST_SEEDS
from kc_utils.book.evidence_words import seeds_differ, settled, shown_without_knowledge
from kc_utils.book.front_clauses import ANSWERS
from kc_utils.book.ledger_words import counts
from kc_utils.book.verdict_marks import (
    BUILT,
    GIVEN,
    NOTHING,
    first_up,
    interval,
    margin_of,
    marked,
    models,
    short,
)
from kc_utils.study.claims.over_seeds import false_holds
from kc_utils.study.claims.verdicts import HOLDS

#: The chapter about models that exist already.
REAL = "09_real_model"
#: The chapter of all claims, whose box counts what became of them.
LEDGER = "12_evidence"
#: Chapter -> the claims of the ledger that it opens with.
CHAPTERS = {
    "03_circuit_discovery": ("faithful", "entropy-falls"),
    "04_circuit_evaluation": ("faithful", "in-sample-published", "aligned-zero"),
    "05_performance": ("relevant-progress", "relevant-hits", "frequent-circuit"),
    "06_topology": ("onset-entropy", "knee-entropy", "knee-in-rise", "optimisation"),
    "07_components": ("deep-first", "shallow-later", "mover-published"),
    "08_forgetting": ("forgetting", "replay-returns", "circuit-returns"),
    REAL: ("faithful", "relevant-progress", "knee-entropy", "shallow-later"),
    "13_relevance": ("relevance-known", "relevance-tokens", "relevance-same", "relevance-dose"),
    "14_exposure": (
        "exposure-curve", "knee-follows", "exposure-gain", "exposure-decay", "exposure-power-law",
        "varied-held-out", "repeated-forgotten-faster",
    ),
    "15_strategies": (
        "strategy-replay-forgetting", "strategy-names-first-efficiency",
        "strategy-phase-efficiency", "strategy-circuit-efficiency", "strategy-circuit-forgetting",
    ),
}  # fmt: skip
_WHO = {"the paper": "The paper", "another paper": "Elsewhere", "this book": "Published"}


def with_box(
    chapter: str,
    ledger: pd.DataFrame | None,
    source: str,
    stored: Mapping[str, list[str]] | None = None,
    notes: Mapping[str, str] | None = None,
) -> str:
    """The first cell of a chapter with the box behind its opening paragraph.

    Args:
        chapter: name of the notebook, without suffix.
        ledger: :func:`~kc_utils.study.sweep_ledger.ledger_of` without the control profiles, or
            None where no sweep is stored: no box then.
        source: Markdown that begins with the title and one paragraph.
        stored: what chapters without a claim have found: chapter -> paragraphs.
        notes: what is said behind the claims of a chapter: chapter -> paragraph.

    Returns:
        ``source`` as it is where the ledger has none of the chapter's claims; a sweep without
        experiments says nothing about theirs.
    """
    if ledger is not None and ledger["id"].isin(_claims(chapter)).any():
        found = box(chapter, ledger, (notes or {}).get(chapter, ""))
    elif said := (stored or {}).get(chapter):
        found = _framed("", said)
    else:
        return source
    title, opening, *rest = source.split("\n\n")
    return "\n\n".join([title, opening, found, *rest])


def _claims(chapter: str) -> tuple[str, ...]:
    return tuple(a.id for a in ANSWERS) if chapter == LEDGER else CHAPTERS.get(chapter, ())


def box(chapter: str, ledger: pd.DataFrame, note: str = "") -> str:
    """The box of a chapter in :data:`CHAPTERS` or of the ledger's own, as MyST Markdown.

    Profiles with too few seeds to decide are left out; the chapter about the real model has its
    own all the same. ``note`` follows the claims.
    """
    if chapter == LEDGER:
        return _framed("", _of_all(ledger))
    told = set(settled(ledger)["profile"]) | (set(GIVEN) if chapter == REAL else set())
    ledger = ledger[ledger["profile"].isin(told)]
    profiles = list(dict.fromkeys(ledger["profile"]))
    where = f" in models {BUILT[profiles[0]]}" if profiles in ([name] for name in BUILT) else ""
    found = [ledger[ledger["id"] == name].to_dict("records") for name in CHAPTERS[chapter]]
    found = [rows for rows in found if rows]
    few = _few(found) if chapter != REAL else ""
    alone = where and not few
    said = [_claim(rows, named=not alone) for rows in found]
    last = "Every claim, with its control, is in [the ledger](12_evidence.ipynb)."
    return _framed(
        where if alone else "", [*filter(None, [few]), *said, *filter(None, [note]), last]
    )


def _of_all(ledger: pd.DataFrame) -> list[str]:
    """What became of the claims as a whole; the findings themselves are on the front page."""
    told = settled(ledger)
    said = [
        f"**{first_up(models(int(part['n_runs'].max()), str(profile)))}.** {counts(part)}"
        for profile, part in told.groupby("profile", sort=False)
    ]
    for row in false_holds(told).to_dict("records"):
        trained = first_up(models(int(row["n_seeds"]), str(row["profile"])))
        holding = told["profile"].eq(row["profile"]) & told["shuffled_verdict"].eq(HOLDS)
        named = "; ".join(told.loc[holding, "claim"])
        said.append(
            f"**Nothing to learn.** {trained} were trained on shuffled answers. Of the "
            f"{row['judged']} claims that can be judged there, {'only ' * (row['holds'] == 1)}"
            f"**{row['holds']}** {'holds' if row['holds'] == 1 else 'hold'}"
            f"{f' (*{named}*)' * bool(named)}."
        )
    differ = seeds_differ(told)
    said += [f"**One seed would not do.** {differ}"] if "**" in differ else [differ]
    return [*said, "The findings in words are on the [front page](../book/index.md)."]


def _few(claims: list[list[dict[str, Any]]]) -> str:
    """How many of the box's claims come from too few runs to decide anything; empty if none do."""
    runs = [max(row["n_runs"] for row in rows) for rows in claims]
    few = [n for n in runs if n < LEAST_SEEDS]
    if not few:
        return ""
    times = "one seed" if max(few) == 1 else f"{max(few)} seeds"
    which = "All of this rests" if len(few) == len(runs) else f"{len(few)} of these claims rest"
    return (
        f"**{which} on {times} so far.** Fewer than {LEAST_SEEDS} decide nothing: these numbers "
        "are first measurements, and may differ in another training run."
    )


def _framed(where: str, paragraphs: list[str]) -> str:
    frame = [f":::{{admonition}} What we find{where}", ":class: kc-claims", ""]
    return "\n".join([*frame, "\n\n".join(paragraphs), ":::"])


def _claim(rows: list[dict[str, Any]], named: bool) -> str:
    first = rows[0]
    published = f"*{_WHO[first['claimed_by']]}:* {first['paper']}."
    found = [_found(row, named) for row in rows]
    return "\\\n".join([f"**{first['claim']}.**", *found, published])


def _found(row: dict[str, Any], named: bool) -> str:
    """Verdict and numbers of one profile, on a line that may begin with how many models it has."""
    said = f"{models(row['n_runs'], row['profile'])}: " if named else ""
    said += marked(row["verdict"], row["direction"])
    if math.isnan(row["difference"]):
        return f"{said} {first_up(row['note'].removeprefix('Not measured: '))}".rstrip()
    said += f" {first_up(row['quantity'])}: {_beside(row)}; {margin_of(row)}."
    if row["note"].startswith("Not measured in"):
        said += f" {row['note']}"
    if math.isnan(row["shuffled"]):
        return said
    said += (
        f" Where nothing could be learned: {short(row['shuffled'], '+')}, "
        f"*{row['shuffled_verdict']}*."
    )
    if shown_without_knowledge(row):
        share = row["shuffled"] / row["difference"]
        said += f" That is {share:.0%} of the effect, so it may have nothing to do with facts."
    return said


def _beside(row: dict[str, Any]) -> str:
    """The effect; where its control is not zero by construction, both and their difference, to the
    same decimal place."""
    told = interval(row, "difference", "n_seeds")
    if row["control"] in NOTHING:
        return told
    places = len(short(row["difference"]).partition(".")[2])
    effect, number = (f"{row[name]:z.{places}f}" for name in ("effect", "control_effect"))
    control = row["control"]
    beside = control if number in control else f"{control}: {number}"
    return f"{effect}; {beside}; difference {told}"
