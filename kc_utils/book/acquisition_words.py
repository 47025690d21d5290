"""Which knowledge comes first, for readers: what was known before, leads, time to knowledge.

Nothing is said about relevance where the base model does not know its people: the claims that
stand behind the sentences refuse to be judged then, and their reason is printed instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import Markdown
from pandas.io.formats.style import Styler

from kc_utils.analysis.stats.intervals import Interval
from kc_utils.analysis.stats.progress import LEVEL
from kc_utils.book.sentences import say, sentence
from kc_utils.plots.tables import table
from kc_utils.study.claims.acquisition import CLAIMS
from kc_utils.study.stages.knowledge import NEEDED, NEEDED_PER_PERSON

_LEADS = {
    "relevant-progress": "texts read, where K_compl is at 0.3",
    "relevant-read": "texts read, mean over checkpoints",
    "relevant-new": "new texts, mean over checkpoints",
    "relevant-time": "epoch from which a person is known (share of training)",
}
RELEVANCE = tuple(claim for claim in CLAIMS if claim.id in _LEADS)


def prior_knowledge(checked: pd.DataFrame, people: pd.DataFrame) -> Markdown:
    """What the base model answers about K_rel people, and whether relevance can be judged.

    Args:
        checked: table ``prior_knowledge``.
        people: table ``known_people``.
    """
    if checked.empty:
        return say("Nobody asked the base model, so relevance is not judged in this run.")
    known = people[people["known"].astype(bool)]
    least = float(known["share"].min()) if len(known) else NEEDED_PER_PERSON
    return say(
        "The base model answers **{accuracy:.2f}** of {questions:,} questions; always giving the "
        "commonest answer scores {chance:.2f}. Of {people} people it knows **{known}** (at least "
        "{share:.0%} of what it is asked about a person). {so}",
        accuracy=checked["accuracy"].iloc[0],
        questions=checked["n_questions"].iloc[0],
        chance=checked["chance"].iloc[0],
        people=len(people),
        known=len(known),
        share=least,
        so="K_rel people are known, so relevance can be judged."
        if bool(checked["passed"].iloc[0])
        else f"That is below {NEEDED:.0%}: these people are names, not acquaintances, and "
        "**nothing about relevance is judged**.",
    )


def published_leads(leads: Mapping[str, float]) -> Markdown:
    """The lead of K_rel at equal progress in the published curves, by model; NaN where none."""
    said = [
        f"{lead:.2f} ({model})"
        if np.isfinite(lead)
        else f"none ({model}: not at {LEVEL:g} within the curve)"
        for model, lead in leads.items()
    ]
    return say("Published: at K_compl = {level:g}, K_rel leads by {said}.", level=LEVEL,
               said=", ".join(said))  # fmt: skip


def relevance_table(judged: pd.DataFrame) -> Styler | Markdown:
    """K_rel minus K_compl in every way it is measured: interval, margin, verdict.

    ``judged`` are the rows of :data:`RELEVANCE`; where none could be judged, the reason.
    """
    if not judged["n"].any():
        return Markdown(str(judged["note"].iloc[0]))
    rows = pd.DataFrame(
        {
            "lead": judged["id"].map(_LEADS),
            "value (95 % interval)": [_interval(row) for row in judged.to_dict("records")],
            "margin": judged["margin"],
            "p": judged["p_value"],
            "verdict": judged["verdict"],
        }
    )
    caption = "Is relevant knowledge learned first?"
    return table(rows, 3, {"lead": "K_rel minus K_compl"}, caption)


def groups_table(groups: pd.DataFrame) -> Styler:
    """When half of each group is known, and the knee of its circuits.

    ``groups`` comes from :func:`kc_utils.analysis.acquisition.groups_and_knees`.
    """
    rows = groups[["kind", "band", "n_people", "known"]].assign(
        half=[_until(row) for row in groups.to_dict("records")],
        knee=groups["knee"],
        circuits=groups["n_knees"].astype(str) + " of " + groups["n_circuits"].astype(str),
    )
    names = {
        "n_people": "people",
        "known": "known at the end (share)",
        "half": "half are known by epoch",
        "knee": "knee (epoch, median)",
        "circuits": "circuits with a knee",
    }
    digits = {"known": 2, "knee": 1}
    return table(rows, digits, names, "Time to knowledge and the circuits of the same people")


def circuit_follows(judged: pd.Series, groups: pd.DataFrame) -> Markdown:
    """Whether groups that are known later have circuits with a later knee.

    ``judged`` is the row ``knee-follows`` of the ledger over seeds, ``groups`` as in
    :func:`groups_table`.
    """
    if not judged["n_seeds"]:
        return Markdown(str(judged["note"]))
    both = groups[np.isfinite(groups["half"])].dropna(subset="knee")
    before = int((both["knee"] < both["half"]).sum())
    return say(
        "Over {n} seeds, the rank correlation of the knee with the mean time to knowledge is "
        "**{r:.2f}**: *{verdict}*. In {before} of {of} groups the circuits reach their knee before "
        "half of the people are known.",
        n=judged["n_seeds"],
        r=Interval(*(float(judged[f"effect{end}"]) for end in ("", "_low", "_high"))),
        verdict=judged["verdict"],
        before=before,
        of=len(both),
    )


def _interval(row: dict[str, Any]) -> str:
    if not row["n"]:
        return "not measured"
    found = Interval(*(float(row[name]) for name in ("value", "low", "high")))
    return sentence("{found:+.3f}", found=found)


def _until(row: dict[str, Any]) -> str:
    ends = [row["half"], row["half_low"], row["half_high"]]
    at, low, high = (f"{end:.1f}" if np.isfinite(end) else "never" for end in ends)
    return at if at == low == high else f"{at} ({low} to {high})"
