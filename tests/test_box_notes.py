"""What stands behind the claims of a chapter's box, from tables of a sweep."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from ledger_rows import judged, main_ledgers

from kc_utils import STORED_SWEEP
from kc_utils.book import box_notes
from kc_utils.book.claim_box import CHAPTERS, box
from kc_utils.book.ledger_words import without_controls
from kc_utils.runs.dataset import SweepTables
from kc_utils.study.claims.verdicts import HOLDS, NO_EFFECT, OPEN
from kc_utils.study.sweep_ledger import ledger_of

ROOT = Path(__file__).resolve().parent.parent


def test_hits_are_told_at_a_small_and_at_a_large_size() -> None:
    rows = [
        (profile, share, "own", ablation, hit + 0.5 * (ablation == "corrupted"))
        for profile, few, many in (("a", 0.02, 0.4), ("b", 0.06, 0.5))
        for share, hit in ((0.02, few), (0.2, many), (1.0, 1.0))
        for ablation in ("zero", "corrupted")
    ]
    sizes = pd.DataFrame(rows, columns=["profile", "share", "circuit", "ablation", "hit"])
    chosen = pd.DataFrame({"profile": ["a", "b"], "share": [0.013, 0.03], "chosen": True})
    said = box_notes.of_size(sizes, chosen)
    assert "They keep 1.3% to 3.0% of the edges" in said
    assert "0.02 to 0.06 at 2% of the edges and 0.40 to 0.50 at 20%" in said
    assert box_notes.of_size(sizes[sizes["share"] == 1.0], chosen) == ""


def test_runs_in_which_the_shift_was_seen_are_counted() -> None:
    rows = [("phase", 100, True), ("phase", 140, False), ("phase random", 50, False)]
    summary = pd.DataFrame(rows, columns=["strategy", "switch_step", "detected"])
    said = box_notes.of_the_switch(summary)
    assert "in 1 of 2 runs and replay began at a fixed step" in said
    assert "step 120 on average, and at 50" in said
    assert "fixed step" not in box_notes.of_the_switch(summary.assign(detected=True))
    assert box_notes.of_the_switch(summary.iloc[:2]) == ""


@pytest.mark.parametrize(
    ("parts", "person", "said"),
    [
        (HOLDS, NO_EFFECT, "already gives a lead; knowing the person adds nothing to it."),
        (NO_EFFECT, HOLDS, "gives no lead; knowing the person adds to it."),
        (OPEN, OPEN, "gives a lead is open; whether knowing the person adds to it is open."),
    ],
)
def test_name_and_person_are_told_together(parts: str, person: str, said: str) -> None:
    ledger = pd.DataFrame({"id": ["relevance-tokens", "relevance-known"]})
    assert box_notes.of_parts_and_person(ledger.assign(verdict=[parts, person])).endswith(said)
    assert box_notes.of_parts_and_person(ledger.iloc[:1].assign(verdict=parts)) == ""


def test_the_stored_sweep_has_a_note_for_six_chapters_that_have_a_box() -> None:
    sweep = SweepTables.open(ROOT / STORED_SWEEP)
    found = box_notes.notes(sweep, without_controls(ledger_of(sweep)))
    assert set(found) <= set(CHAPTERS) and len(found) == 6
    assert all(text.endswith(".") and "nan" not in text for text in found.values())


def test_a_note_follows_the_claims_and_precedes_the_way_to_the_ledger() -> None:
    ledger = judged(main_ledgers(3))
    text = box("05_performance", ledger, "So it is.")
    assert text.index("The paper") < text.index("So it is.") < text.index("the ledger](")
    assert box("05_performance", ledger) == text.replace("So it is.\n\n", "")


def test_an_effect_that_is_there_without_knowledge_says_so() -> None:
    def found(without: float) -> str:
        controls = main_ledgers(without, profile="tiny-shuffled")
        controls["value"] += 0.3 * (controls["seed"] % 2) - 0.15  # no verdict of "holds" there
        return box("05_performance", without_controls(judged(main_ledgers(3), controls)))

    assert "may have nothing to do with facts" in found(1.2)
    assert "nothing to do with facts" not in found(0.1)
