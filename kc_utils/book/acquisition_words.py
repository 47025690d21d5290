"""Which knowledge comes first, for readers: what was known before, time to knowledge."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from IPython.display import Markdown
from pandas.io.formats.style import Styler

from kc_utils.book.sentences import say
from kc_utils.plots.tables import table
from kc_utils.study.stages.knowledge import NEEDED, NEEDED_PER_PERSON


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


def _until(row: dict[str, Any]) -> str:
    ends = [row["half"], row["half_low"], row["half_high"]]
    at, low, high = (f"{end:.1f}" if np.isfinite(end) else "never" for end in ends)
    return at if at == low == high else f"{at} ({low} to {high})"
