"""What a reader has to know beside the claims of a chapter's box, from the stored sweep."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd

from kc_utils.book.depth_words import moves_of, without_knowledge
from kc_utils.book.evidence_words import settled
from kc_utils.book.front_answers import of_names, of_steps
from kc_utils.book.sentences import sentence
from kc_utils.book.verdict_marks import GIVEN
from kc_utils.runs.dataset import SweepTables
from kc_utils.study.claims.verdicts import HOLDS, NO_EFFECT, OPPOSITE, SMALLER

#: Shares of the edges at which the effect of circuit size is told: small like ours, and large.
_SMALL, _LARGE = 0.02, 0.2
_PARTS = {
    HOLDS: "Knowing the parts of a name already gives a lead",
    SMALLER: "Knowing the parts of a name already gives a lead, perhaps a small one",
    NO_EFFECT: "Knowing only the parts of a name gives no lead",
    OPPOSITE: "Knowing only the parts of a name holds new facts back",
}
_PERSON = {
    HOLDS: "knowing the person adds to it",
    SMALLER: "knowing the person adds to it, perhaps little",
    NO_EFFECT: "knowing the person adds nothing to it",
    OPPOSITE: "knowing the person takes from it",
}


def notes(sweep: SweepTables, ledger: pd.DataFrame) -> dict[str, str]:
    """Chapter -> what its box ends with; a chapter whose tables are not stored has none.

    ``ledger``: :func:`kc_utils.study.sweep_ledger.ledger_of` without the control profiles.
    """
    told = settled(ledger)
    writers: dict[str, tuple[str, Callable[[pd.DataFrame], str]]] = {
        "08_forgetting": ("forgetting", of_steps),
        "15_strategies": ("strategies_summary", of_the_switch),
    }
    said = {
        chapter: write(_of(sweep.table(name), told))
        for chapter, (name, write) in writers.items()
        if sweep.has(name)
    }
    if sweep.has("sizes") and sweep.has("circuit_size"):
        tables = (_of(sweep.table(name), told) for name in ("sizes", "circuit_size"))
        said["04_circuit_evaluation"] = of_size(*tables)
    if sweep.has("time_to_knowledge"):
        given = told[told["profile"].isin(GIVEN)]
        said["09_real_model"] = of_names(_of(sweep.table("time_to_knowledge"), given))
    if all(map(sweep.has, ("shift", "control_curves"))):
        said["07_components"] = without_knowledge(moves_of(sweep, told))
    said["13_relevance"] = of_parts_and_person(ledger)
    return {chapter: text for chapter, text in said.items() if text}


def of_size(sizes: pd.DataFrame, chosen: pd.DataFrame) -> str:
    """What sizes of circuits mean for faithfulness, and for Hit@10 with zeros outside.

    ``sizes`` and ``chosen``: tables ``sizes`` and ``circuit_size``.
    """
    own = sizes.query("circuit == 'own' and ablation == 'zero'")
    hits = {
        share: own[np.isclose(own["share"], share)].groupby("profile")["hit"].mean()
        for share in (_SMALL, _LARGE)
    }
    kept = chosen[chosen["chosen"]].groupby("profile")["share"].mean()
    if kept.empty or any(part.empty for part in hits.values()):
        return ""
    return sentence(
        "Circuits were made just large enough to restore 0.85 on the people they were found on: "
        "the tests are other people and random circuits of that size. They keep {least:.1%} to "
        "{most:.1%} of the edges, the paper's a quarter. With zeros outside, Hit@10 depends on "
        "that: on people whom the circuit was not found on it is {small} at {at_small:.0%} of the "
        "edges and {large} at {at_large:.0%}. So comparisons with zeros outside are made near the "
        "floor here.",
        small=_range(hits[_SMALL]), large=_range(hits[_LARGE]), at_small=_SMALL, at_large=_LARGE,
        least=kept.min(), most=kept.max(),
    )  # fmt: skip


def of_the_switch(summary: pd.DataFrame) -> str:
    """In how many runs the phase shift was detected, and when replay began in the others.

    ``summary``: table ``strategies_summary``.
    """
    phase = summary[summary["strategy"] == "phase"]
    random = summary[summary["strategy"] == "phase random"]
    if phase.empty or random.empty:
        return ""
    found, n = int(phase["detected"].sum()), len(phase)
    rest = "" if found == n else " and replay began at a fixed step in the others"
    return sentence(
        "The phase shift was detected while training in {found} of {n} runs{rest}. Replay began at "
        "step {own:.0f} on average, and at {other:.0f} where the step was drawn at random, so the "
        "two differ in lateness as well.",
        found=found, n=n, rest=rest,
        own=phase["switch_step"].mean(), other=random["switch_step"].mean(),
    )  # fmt: skip


def of_parts_and_person(ledger: pd.DataFrame) -> str:
    """What the verdicts on knowing a name and on knowing its bearer say together, if both exist."""
    verdicts = ledger.drop_duplicates("id").set_index("id")["verdict"]
    parts, person = (verdicts.get(name) for name in ("relevance-tokens", "relevance-known"))
    if parts is None or person is None:
        return ""
    first = _PARTS.get(parts, "Whether knowing the parts of a name gives a lead is open")
    second = _PERSON.get(person, "whether knowing the person adds to it is open")
    return f"{first}; {second}."


def _of(table: pd.DataFrame, told: pd.DataFrame) -> pd.DataFrame:
    return table[table["profile"].isin(told["profile"])]


def _range(values: pd.Series) -> str:
    low, high = values.min(), values.max()
    return f"{low:.2f}" if math.isclose(low, high) else f"{low:.2f} to {high:.2f}"
