"""The generated parts of the front page: the answer, the main claims, the control, two figures."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from kc_utils.book import front_figure, front_panels
from kc_utils.book.depth_words import as_without_knowledge, moves_of, without_knowledge
from kc_utils.book.evidence_words import settled, shuffled_sentences
from kc_utils.book.front_answers import findings, of_names, of_steps
from kc_utils.book.ledger_words import without_controls
from kc_utils.book.verdict_marks import (
    NOTHING,
    called_shortly,
    chapter_link,
    first_up,
    interval,
    margin_of,
    marked,
)
from kc_utils.runs.dataset import PROVENANCE, SweepTables
from kc_utils.study.claims.claim import BOOK, ELSEWHERE, PAPER
from kc_utils.study.sweep_ledger import ledger_of

#: Main claims whose cards stand open: those of the findings, in their order, and two beside them.
SHOWN = (
    "faithful", "frequent-circuit", "relevant-progress", "knee-entropy", "knee-in-rise",
    "deep-first", "shallow-later", "circuit-returns",
)  # fmt: skip


def pages(folder: Path) -> dict[str, str]:
    """File name -> MyST text, or SVG for the figure; nothing without the tables of a sweep."""
    if not (folder / PROVENANCE).is_file():
        return {}
    sweep = SweepTables.open(folder)
    ledger = without_controls(ledger_of(sweep))
    told = settled(ledger)
    moves = moves_of(sweep, told)
    behind = _behind(sweep, told) | {"shallow-later": without_knowledge(moves)}
    alike = ["shallow-later"] if as_without_knowledge(moves) else []
    return (
        {
            "findings.md": findings(ledger, behind, alike),
            "cards.md": cards(told),
            "controls.md": shuffled_sentences(told) + "\n",
        }
        | front_figure.pages(sweep, told)
        | front_panels.pages(sweep, told)
    )


def _behind(sweep: SweepTables, told: pd.DataFrame) -> dict[str, str]:
    """What a reader has to know beside an answer: claim -> sentence."""
    words = {"relevant-progress": ("time_to_knowledge", of_names),
             "circuit-returns": ("forgetting", of_steps)}  # fmt: skip
    tables = {claim: sweep.table(name) for claim, (name, _) in words.items() if sweep.has(name)}
    return {
        claim: words[claim][1](table[table["profile"].isin(told["profile"])])
        for claim, table in tables.items()
    }


def cards(ledger: pd.DataFrame) -> str:
    """A card per main claim: verdict and difference for each profile, and what was published.

    Those of :data:`SHOWN` stand open, in that order; the others are behind a line that counts them.
    """
    main = ledger[ledger["main"].astype(bool)]
    of = {str(name): rows for name, rows in main.groupby("id", sort=False)}
    first = [of.pop(name) for name in SHOWN if name in of]
    text = _grid(first) if first else ""
    if of:
        n = "The other main claim" if len(of) == 1 else f"The other {len(of)} main claims"
        text += f"\n:::::{{dropdown}} {n}\n{_grid(of.values())}:::::\n"
    return text


def _grid(claims: Iterable[pd.DataFrame]) -> str:
    text = ["::::{grid} 1 1 2 2", ":gutter: 3", ""]
    for rows in claims:
        first = rows.iloc[0]
        named = rows["profile"].nunique() > 1
        text += [f":::{{grid-item-card}} {first['claim']}"]
        text += [f"[{_what(first.to_dict())}:]{{.numbers}}", ""]
        text += ["\n\n".join(_verdict(row, named) for row in rows.to_dict("records")), ""]
        by = {PAPER: "The paper", ELSEWHERE: "Elsewhere", BOOK: "This book asks; published"}
        told = f"{by[first['claimed_by']]}: {first['paper']} ({chapter_link(first['notebook'])})."
        text += [f"[{told}]{{.numbers}}", ":::", ""]
    return "\n".join([*text, "::::", ""])


def _what(row: dict[str, Any]) -> str:
    """What the numbers of a card are numbers of."""
    beside = "" if row["control"] in NOTHING else f", minus the control ({row['control']})"
    return f"{first_up(row['quantity'])}{beside}"


def _verdict(row: dict[str, Any], named: bool) -> str:
    head = f"{called_shortly(row['profile'])}: " * named + marked(row["verdict"], row["direction"])
    return f"{head} [{numbers(row)}]{{.numbers}}"


def numbers(row: dict[str, Any]) -> str:
    """Difference of effect and control with its interval and seeds, and that of the shuffled runs.

    Why there is none where the claim was not measured.
    """
    if math.isnan(row["difference"]):
        return f"{row['note']}".strip() or "Not measured."
    told = f"{interval(row, 'difference', 'n_seeds')}; {margin_of(row)}"
    if math.isnan(row["shuffled"]):
        return told
    return f"{told}. With nothing to learn {interval(row, 'shuffled', 'n_shuffled')}"
