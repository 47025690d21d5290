"""What the front page says was found: an answer in a few sentences, cards, controls, one figure.

Nothing here knows how a claim came out. Every sentence has a wording for each verdict, and the
tables of the stored sweep decide which one is printed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from kc_utils.book import front_figure
from kc_utils.book.evidence_words import seeds_sentence, shuffled_sentences
from kc_utils.book.ledger_words import without_controls
from kc_utils.book.verdict_marks import bar, first_up, interval, marked, models, short
from kc_utils.runs.dataset import PROVENANCE, SweepTables
from kc_utils.study.claims.entries import ledger_of
from kc_utils.study.claims.verdicts import HOLDS, NO_EFFECT, NOT_MEASURED, OPEN, OPPOSITE, SMALLER


@dataclass(frozen=True)
class Answer:
    """A claim of the ledger as part of the book's answer: a clause for each verdict.

    ``number`` says what the difference of effect and control is a number of.
    """

    id: str
    question: str
    holds: str
    smaller: str
    none: str
    opposite: str
    number: str

    def clause(self, verdict: str) -> str:
        """What was found, without the full stop."""
        said = {HOLDS: self.holds, SMALLER: self.smaller, NO_EFFECT: self.none,
                OPPOSITE: self.opposite, OPEN: f"it is open whether {self.question}",
                NOT_MEASURED: f"it could not be measured whether {self.question}"}  # fmt: skip
        return said[verdict]


ANSWERS = (
    Answer(
        "relevant-progress",
        "new facts about people whom the model already knew are learned sooner than new facts "
        "about strangers",
        "new facts about people whom the model already knew are learned sooner than new facts "
        "about strangers",
        "new facts about people whom the model already knew are learned sooner, but by less than "
        "would matter",
        "new facts about people whom the model already knew are learned no sooner than new facts "
        "about strangers",
        "new facts about strangers are learned sooner than new facts about people whom the model "
        "already knew",
        "lead in accuracy",
    ),
    Answer(
        "knee-entropy",
        "circuits form fast and then turn to slow refinement at a clear bend",
        "circuits form fast and then turn to slow refinement at a clear bend",
        "more circuits turn from fast forming to slow refinement than their controls do, but fewer "
        "than would matter",
        "circuits turn from fast forming to slow refinement no more often than their controls do",
        "circuits turn from fast forming to slow refinement more rarely than their controls do",
        "share of circuits with the bend, beyond the control's",
    ),
    Answer(
        "deep-first",
        "a circuit that forms moves to deeper layers",
        "while circuits form, they move to deeper layers",
        "while circuits form, they move to deeper layers, but by less than would matter",
        "while circuits form, they do not move to deeper layers",
        "while circuits form, they move to shallower layers, not to deeper ones",
        "shift in shares of the depth",
    ),
    Answer(
        "faithful",
        "circuits do better than random parts of the network of the same size",
        "a circuit gives back far more of the model's answer about people it was not found on "
        "than a random part of the network of the same size",
        "a circuit gives back more of the model's answer than a random part of the network of the "
        "same size, but by less than would matter",
        "a circuit gives back no more of the model's answer than a random part of the network of "
        "the same size",
        "a circuit gives back less of the model's answer than a random part of the network of the "
        "same size",
        "share restored, beyond the random part's",
    ),
    Answer(
        "circuit-returns",
        "a circuit that training on other texts has changed comes back when a tenth of the old "
        "texts is read again",
        "a circuit that training on other texts has changed comes back when a tenth of the old "
        "texts is read again",
        "a circuit that training on other texts has changed comes back when a tenth of the old "
        "texts is read again, but by less than would matter",
        "a circuit that training on other texts has changed does not come back when a tenth of "
        "the old texts is read again",
        "a circuit that training on other texts has changed moves further away, even when a tenth "
        "of the old texts is read again",
        "overlap of edges regained, beyond the drift of further training",
    ),
)


def pages(folder: Path) -> dict[str, str]:
    """File name -> MyST text, or SVG for the figure; nothing without the tables of a sweep."""
    if not (folder / PROVENANCE).is_file():
        return {}
    sweep = SweepTables.open(folder)
    ledger = without_controls(ledger_of(sweep))
    return {
        "findings.md": findings(ledger),
        "cards.md": cards(ledger),
        "controls.md": shuffled_sentences(ledger) + "\n",
    } | front_figure.pages(sweep)


def findings(ledger: pd.DataFrame) -> str:
    """The answer: which models were trained, whether that is enough, and a sentence per claim."""
    few = seeds_sentence(ledger)
    found = [f"- {said}" for answer in ANSWERS if (said := sentence(answer, ledger))]
    return "\n\n".join(filter(None, [trained(ledger), few, "\n".join(found)])) + "\n"


def trained(ledger: pd.DataFrame) -> str:
    """Which models the answer is about."""
    seeds = ledger.groupby("profile", sort=False)["n_seeds"].max()
    said = " and ".join(f"{models(n, name)} (`{name}`)" for name, n in seeds.items())
    return f"Trained from scratch, each from another random start: {said}."


def sentence(answer: Answer, ledger: pd.DataFrame) -> str:
    """What the ledger says of one claim: a clause for all profiles, or one for each verdict."""
    rows = ledger[ledger["id"] == answer.id].to_dict("records")
    said: dict[str, list[str]] = {}
    for row in rows:
        said.setdefault(_clause(answer, row), []).append(f"`{row['profile']}`")
    parts = [f"in {' and '.join(names)}, {clause}" for clause, names in said.items()]
    if len(parts) == 1:
        parts = list(said)
    text = "; ".join(parts)
    measured = [r for r in rows if math.isfinite(r["difference"])]
    numbers = [f"{short(r['difference'], '+')} in `{r['profile']}`" for r in measured]
    told = f" ({answer.number}: {', '.join(numbers)})" if numbers else ""
    return f"{first_up(text)}{told}." if rows else ""


def _clause(answer: Answer, row: dict[str, Any]) -> str:
    """A finding that runs with nothing to learn show as well is not told without them."""
    also = row["verdict"] == HOLDS == row["shuffled_verdict"]
    return answer.clause(row["verdict"]) + also * "; the same shows where nothing could be learned"


def cards(ledger: pd.DataFrame) -> str:
    """A card per main claim: who claims it, then verdict and numbers for each profile."""
    main = ledger[ledger["main"].astype(bool)]
    text = ["::::{grid} 1 1 2 2", ":gutter: 3", ""]
    for _, rows in main.groupby("id", sort=False):
        first = rows.iloc[0]
        text += [f":::{{grid-item-card}} {first['claim']}"]
        text += [f"Claimed by {first['claimed_by']}. Published: {first['paper']}.", ""]
        text += ["\n\n".join(_verdict(row) for row in rows.to_dict("records")), ""]
        chapter = int(str(first["notebook"]).partition("_")[0])
        text += [f"[See chapter {chapter}](../notebooks/{first['notebook']}.ipynb)", ":::", ""]
    return "\n".join([*text, "::::", ""])


def _verdict(row: dict[str, Any]) -> str:
    head = f"`{row['profile']}`: {marked(row['verdict'])}"
    return f"{head}\n\n[{numbers(row)}]{{.numbers}}"


def numbers(row: dict[str, Any]) -> str:
    """Effect, control, difference with its interval and seeds, margin, and the shuffled runs."""
    if math.isnan(row["difference"]):
        return f"{row['note']}".strip() or "Not measured."
    told = (
        f"{first_up(row['quantity'])}: {short(row['effect'])}; control ({row['control']}): "
        f"{short(row['control_effect'])}. Difference {interval(row, 'difference', 'n_seeds')}; "
        f"margin {bar(row)}."
    )
    if math.isnan(row["shuffled"]):
        return told
    return f"{told} With shuffled answers {interval(row, 'shuffled', 'n_shuffled')}."
