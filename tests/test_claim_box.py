"""The box at the top of a chapter: its words follow the ledger, and it stands behind the claim."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ledger_rows import judged, ledgers, main_ledgers

from kc_utils import ROOT, STORED_SWEEP
from kc_utils.book.build import clean_notebook
from kc_utils.book.claim_box import CHAPTERS, LEDGER, REAL, box, with_box
from kc_utils.book.ledger_words import counts, without_controls
from kc_utils.book.verdict_marks import MEANS, interval, marked
from kc_utils.runs.dataset import SweepTables
from kc_utils.study.claims.verdicts import HOLDS, NO_EFFECT, NOT_MEASURED, OPPOSITE, SMALLER
from kc_utils.study.ledger import CLAIMS, EXPERIMENT_CLAIMS
from kc_utils.study.sweep_ledger import ledger_of

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
CHAPTER = "05_performance"
CLAIM = next(claim for claim in CLAIMS if claim.id == CHAPTERS[CHAPTER][0])
PAGE = "# A title\n\n**The claim.** It is so.\n\nAnd more."


def test_every_claim_is_in_the_ledger_and_its_chapter_exists_and_opens_with_a_claim() -> None:
    known = {claim.id for claim in (*CLAIMS, *EXPERIMENT_CLAIMS)}
    for chapter, ids in CHAPTERS.items():
        first = json.loads((NOTEBOOKS / f"{chapter}.ipynb").read_text("utf-8"))["cells"][0]
        assert "".join(first["source"]).split("\n\n")[1].startswith("**The claim.**"), chapter
        assert ids and set(ids) <= known, chapter


@pytest.mark.parametrize(
    ("effect", "verdict"), [(3, HOLDS), (0.5, SMALLER), (0, NO_EFFECT), (-3, OPPOSITE)]
)
def test_the_verdict_is_that_of_the_ledger(effect: float, verdict: str) -> None:
    said = box(CHAPTER, judged(main_ledgers(effect)))
    assert said.count(f"`{verdict} ({MEANS[verdict]})`]{{.verdict") == len(CHAPTERS[CHAPTER])
    assert "models built like GPT-2" in said.splitlines()[0]
    assert f"**{CLAIM.claim}.**" in said and f"*The paper:* {CLAIM.paper}." in said


def test_two_profiles_are_named_on_lines_of_their_own() -> None:
    both = judged(main_ledgers(3), main_ledgers(-3, profile="tiny-llama"))
    lines = box(CHAPTER, both).splitlines()
    at = next(i for i, line in enumerate(lines) if CLAIM.claim in line)
    assert "built like GPT-2: [{abbr}`holds (" in lines[at + 1]
    assert "built like Llama: [{abbr}`opposite (" in lines[at + 2]


def test_what_was_not_measured_shows_its_reason_and_no_number() -> None:
    ledger = judged(main_ledgers(3))
    unknown = ledger["id"].eq(CLAIM.id)
    ledger.loc[unknown, ["difference", "difference_low", "difference_high"]] = float("nan")
    ledger.loc[unknown, "verdict"] = NOT_MEASURED
    ledger.loc[unknown, "note"] = "Not measured: nobody was asked."
    line = box(CHAPTER, ledger).partition(CLAIM.claim)[2].splitlines()[1]
    said = f"{NOT_MEASURED} ({MEANS[NOT_MEASURED]})"
    mark = f"[{{abbr}}`{said}`]{{.verdict .verdict-not-measured}}"
    assert line.strip("\\") == f"{mark} Nobody was asked."


def test_a_control_that_is_not_zero_is_told_beside_the_effect() -> None:
    words = {"id": CLAIM.id, "quantity": "share", "claim": CLAIM.claim, "margin": 0.3}
    effects = [0.18, 0.17, 0.19]
    said = box(CHAPTER, judged(ledgers(effects, 0.43, control="as published", **words)))
    assert "Share: 0.18; as published: 0.43; difference -0.25 (95 %: -0.27" in said
    named = box(CHAPTER, judged(ledgers(effects, 0.43, control="published, 0.43", **words)))
    assert "Share: 0.18; published, 0.43; difference -0.25" in named
    none = box(CHAPTER, judged(ledgers(effects, control="no difference", **words)))
    assert "Share: +0.18 (95 %: 0.16 to 0.20; 3 seeds)" in none and "difference" not in none


def test_rounding_puts_no_end_on_the_margin() -> None:
    row = {"d": 0.25, "d_low": 0.2, "d_high": 0.303, "n": 4, "margin": 0.3}
    assert interval(row, "d", "n") == "+0.25 (95 %: 0.20 to 0.303; 4 seeds)"
    assert interval(row | {"margin": 0.4}, "d", "n") == "+0.25 (95 %: 0.20 to 0.30; 4 seeds)"


def test_a_pointer_on_a_verdict_reads_what_it_means() -> None:
    assert all(not set("()`") & set(words) for words in MEANS.values())  # they end the role
    assert "beyond the margin" in marked(HOLDS) and "equal" in marked(HOLDS, "equal")
    assert marked(SMALLER, "equal") == marked(SMALLER)


def test_the_box_stands_behind_the_first_paragraph_and_only_in_its_chapters() -> None:
    ledger = judged(main_ledgers(3))
    source = with_box(CHAPTER, ledger, PAGE)
    before, after = source.split(box(CHAPTER, ledger))
    assert before == "# A title\n\n**The claim.** It is so.\n\n" and after == "\n\nAnd more."
    assert with_box("01_data_synthesis", ledger, PAGE) == PAGE
    assert with_box(CHAPTER, None, PAGE) == PAGE
    cell = {"cell_type": "markdown", "metadata": {}, "source": [PAGE]}
    page = clean_notebook(
        json.dumps({"cells": [cell], "metadata": {}}), {}, lambda text: text + " End."
    )
    assert json.loads(page)["cells"][0]["source"] == f"{PAGE} End."


def test_claims_that_no_run_judged_are_left_out() -> None:
    ledger = judged(main_ledgers(3))
    assert with_box("13_relevance", ledger, PAGE) == PAGE  # a sweep without experiments
    fewer = box(CHAPTER, ledger[ledger["id"] != CLAIM.id])
    assert CLAIM.claim not in fewer and fewer.count("`holds (") == len(CHAPTERS[CHAPTER]) - 1


def test_too_few_seeds_are_told_in_the_chapter_of_the_real_model_only() -> None:
    real = main_ledgers(-3, seeds=1, profile="smollm2")
    ledger = judged(main_ledgers(3), real)
    elsewhere = box("05_performance", ledger)
    assert "SmolLM2" not in elsewhere and "in models built like GPT-2" in elsewhere
    own = box(REAL, ledger)
    assert "1 run of SmolLM2-135M: [{abbr}`open (" in own
    assert "4 models built like GPT-2: [{abbr}`holds (" in own
    only = box("05_performance", judged(real))
    assert "1 run of SmolLM2-135M" in only


def test_a_chapter_that_rests_on_one_seed_says_so_before_its_claims() -> None:
    """An experiment of one seed stands in a sweep of four; "4 models" beside it would be wrong."""
    words = {"quantity": "share", "notebook": "15_strategies"}
    ids = CHAPTERS["15_strategies"]
    frames = [ledgers([0.5], id=name, claim=name, **words) for name in ids]
    said = box("15_strategies", judged(main_ledgers(3), *frames))
    first = said.split("\n\n")[1]
    assert first.startswith("**All of this rests on one seed so far.**")
    assert said.count("1 model built like GPT-2: ") == len(ids) and "4 models" not in said
    more = [ledgers([0.5] * 3, id=ids[0], claim=ids[0], **words), *frames[1:]]
    mixed = box("15_strategies", judged(main_ledgers(3), *more))
    assert f"**{len(ids) - 1} of these claims rest on one seed so far.**" in mixed
    assert "3 models built like GPT-2: " in mixed
    enough = [ledgers([0.5] * 3, id=name, claim=name, **words) for name in ids]
    assert "so far" not in box("15_strategies", judged(main_ledgers(3), *enough))


def test_words_of_stored_ledgers_are_today_s() -> None:
    ledger = ledger_of(SweepTables.open(ROOT / STORED_SWEEP))
    assert not ledger["paper"].str.contains("people of discovery").any()
    assert ledger["paper"].str.contains("on the discovery people").sum() >= 2


def test_the_chapter_of_all_claims_opens_with_what_became_of_them() -> None:
    real, shuffled = main_ledgers(3), main_ledgers(0, profile="tiny-shuffled")
    ledger = without_controls(judged(real, shuffled))
    said = with_box(LEDGER, ledger, PAGE)
    assert said.index("What we find") > said.index("It is so")
    n = len(ledger)
    assert f"**4 models built like GPT-2.** {counts(ledger)}" in said
    equal = int(ledger["direction"].eq("equal").sum())
    assert "4 models built like GPT-2 were trained on shuffled answers." in said
    assert f"Of the {n} claims that can be judged there, only **{equal}** holds (*" in said
    assert f"(*{ledger.loc[ledger['direction'].eq('equal'), 'claim'].iloc[0]}*)" in said
    assert "../book/index.md" in said
    assert "Nothing to learn" not in with_box(LEDGER, judged(real), PAGE)
    assert with_box(LEDGER, None, PAGE) == PAGE


def test_a_chapter_without_a_claim_opens_with_what_its_stored_tables_say() -> None:
    said = {"02_training": ["It rises."]}
    page = with_box("02_training", judged(main_ledgers(3)), PAGE, said)
    assert ":::{admonition} What we find\n:class: kc-claims\n\nIt rises.\n:::" in page
    assert with_box("02_training", None, PAGE, said) == page
    assert with_box(CHAPTER, judged(main_ledgers(3)), PAGE, {CHAPTER: ["Else."]}) == with_box(
        CHAPTER, judged(main_ledgers(3)), PAGE
    )
