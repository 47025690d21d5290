"""The ledger in words: every verdict has its own, and they follow the numbers."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from ledger_rows import judged, ledgers, main_ledgers

from kc_utils.analysis.stats.intervals import Interval
from kc_utils.book.evidence_words import (
    by_claimant,
    disagreements,
    false_discoveries,
    main_claims,
    open_claims,
    open_sentence,
    seeds_differ,
    seeds_sentence,
    shuffled_sentences,
)
from kc_utils.book.ledger_words import (
    between_profiles,
    changing_shift,
    counts,
    evidence_table,
    ledger_table,
    narrowest,
    profiles_sentence,
    reason,
    seeds_of,
    strategy_verdict,
    verdict_counts,
    without_controls,
)
from kc_utils.study.claims.verdicts import (
    HOLDS,
    NO_EFFECT,
    NOT_MEASURED,
    OPEN,
    OPPOSITE,
    SMALLER,
    VERDICTS,
    verdict,
)
from kc_utils.study.ledger import CLAIMS

GAPS = {
    HOLDS: (0.4, 0.3, 0.5), SMALLER: (0.08, 0.04, 0.12), NO_EFFECT: (0.01, -0.02, 0.04),
    OPPOSITE: (-0.4, -0.5, -0.3), OPEN: (0.1, -0.2, 0.4), NOT_MEASURED: (math.nan,) * 3,
}  # fmt: skip


def in_run(said: str, direction: str = "above", **words) -> dict:
    """A row of one run's ledger with this verdict."""
    mean, low, high = GAPS[said]
    assert verdict(Interval(mean, low, high), direction="above", margin=0.1) == said
    row = {
        "id": said, "claim": f"Claim {said}", "claimed_by": "the paper", "paper": "0.2",
        "quantity": "share", "value": mean, "low": low, "high": high, "control": "none",
        "control_value": 0.0, "control_low": 0.0, "control_high": 0.0, "difference": mean,
        "difference_low": low, "difference_high": high, "direction": direction, "margin": 0.1,
        "margin_reason": "A tenth.", "verdict": said, "note": "", "notebook": "06_topology",
        "n": 3, "units": "cells", "exploratory": False,
    }  # fmt: skip
    return row | words


RUN = pd.DataFrame([in_run(said) for said in VERDICTS])


def test_all_verdicts_are_counted() -> None:
    said = counts(RUN)
    assert said.startswith("Of 6 claims **1** holds, **1** is real but smaller")
    assert said.count("**1**") == 6 and said.endswith("**1** could not be measured.")
    only = pd.concat([RUN[RUN["verdict"] == OPEN]] * 2)
    assert counts(only) == "Of 2 claims **2** are open."


def test_reasons_name_the_part_of_the_rule_that_decided() -> None:
    said = {name: reason(in_run(name)) for name in VERDICTS}
    assert said[HOLDS] == "The whole difference (0.3 to 0.5) is beyond 0.1."
    assert "beyond 0, but not all of it beyond 0.1" in said[SMALLER]
    assert "smaller than 0.1 on either side" in said[NO_EFFECT]
    assert said[OPPOSITE].endswith("on the other side of 0.") and "both answers" in said[OPEN]
    assert reason(in_run(NOT_MEASURED, note="Not measured: why.")) == "Not measured: why."
    few = in_run(OPEN) | {"difference_low": math.nan, "difference_high": math.nan}
    assert reason(few) == "Too few units for an interval."


@pytest.mark.parametrize("said", [v for v in VERDICTS if v != NOT_MEASURED])
@pytest.mark.parametrize("direction", ["above", "below", "equal"])
def test_the_shift_that_changes_a_verdict_does_and_a_smaller_one_does_not(said, direction) -> None:
    mean, low, high = GAPS[said]
    own = verdict(Interval(mean, low, high), direction=direction, margin=0.1)
    shift, other = changing_shift(in_run(said, direction, verdict=own))
    assert other and other != own
    for share, expected in ((1.0, other), (0.98, own)):
        moved = Interval(*(number + share * shift for number in (mean, low, high)))
        assert verdict(moved, direction=direction, margin=0.1) == expected


def test_the_closest_calls_come_first() -> None:
    close = narrowest(RUN, 4)
    assert len(close) == 4 and close["half-widths"].is_monotonic_increasing
    assert changing_shift(in_run(NOT_MEASURED)) == pytest.approx((math.nan, ""), nan_ok=True)


def test_the_table_of_a_run_says_who_claims_what_and_wraps() -> None:
    html = ledger_table(RUN.assign(exploratory=[True] + [False] * 5)).to_html()
    assert "white-space: normal" in html and html.count("(exploratory)") == 1
    assert html.count("the paper; published: 0.2") == 6


LEDGER = judged(
    ledgers([0.5, 0.6, 0.7], claimed_by="the paper"),
    ledgers([0.0, 0.01, -0.01], id="b", claimed_by="this book", claim="Claim b"),
    ledgers([0.5, 0.6, 0.7], profile="tiny-shuffled"),
    ledgers([0.0, 0.01, -0.01], id="b", profile="tiny-shuffled"),
)
REAL = without_controls(LEDGER)


def test_the_ledger_over_seeds_is_counted_by_profile_and_by_who_claims() -> None:
    assert set(REAL["profile"]) == {"tiny"}
    both = verdict_counts(REAL)
    assert both.loc[0, ["claims", HOLDS, NO_EFFECT]].tolist() == [2, 1, 1]
    who = by_claimant(REAL).set_index("claimed by")
    assert who.loc["the paper", HOLDS] == 1 and who.loc["this book", NO_EFFECT] == 1
    assert who["claims"].tolist() == [1, 1]


def test_the_table_over_seeds_has_margin_and_shuffled_runs() -> None:
    html = evidence_table(REAL).to_html()
    assert "0.6" in html and "0.1: It is made up." in html and "answers shuffled" in html


def test_false_discoveries_are_counted_for_both_kinds() -> None:
    found = false_discoveries(REAL.assign(q_for=[0.01, 0.9], q_against=[0.9, 0.2]))
    assert found["verdicts"].tolist() == [1, 1] and found["left"].tolist() == [1, 0]


def test_what_holds_without_anything_to_learn_is_named() -> None:
    said = shuffled_sentences(LEDGER)
    assert (
        "**In 3 runs of models built like GPT-2**, trained on shuffled answers, the verdict" in said
    )
    assert "**1** of 2 claims (50%)" in said
    assert "Of the 1 that hold in the real runs, 1 holds here too" in said and "equal" not in said
    assert said.endswith("nothing about knowledge of people: *A*.")
    assert "Of these 1 say that two things are equal" in shuffled_sentences(
        LEDGER.assign(direction="equal")
    )
    clean = LEDGER[~((LEDGER["profile"] == "tiny-shuffled") & (LEDGER["id"] == "a"))]
    clean = clean.assign(shuffled_verdict=NO_EFFECT)
    assert "None of the claims that hold in the real runs (1)" in shuffled_sentences(clean)


def test_what_shuffled_runs_could_not_judge_or_show_as_well_is_counted() -> None:
    real = LEDGER.assign(shuffled_verdict=NOT_MEASURED)
    assert "1 of the 1 could not be judged where nothing was learned" in shuffled_sentences(real)
    near = LEDGER.assign(shuffled_verdict=OPEN, shuffled=LEDGER["difference"] * 0.4)
    said = "For 1 more of the 1, runs with nothing to learn show over a third of the effect: *A*"
    assert said in shuffled_sentences(near)
    far = near.assign(shuffled=near["difference"] * 0.3)
    equal = near.assign(direction="equal")
    assert all("a third" not in shuffled_sentences(table) for table in (far, equal))


def test_too_few_runs_say_so() -> None:
    few = judged(ledgers([0.5, 0.6]), ledgers([0.5], profile="tiny-shuffled"))
    assert shuffled_sentences(few).startswith(
        "Of models built like GPT-2 there is 1 run with shuffled answers"
    )
    assert "2 of `tiny`. Fewer than 3 decide nothing" in seeds_sentence(few)
    assert seeds_sentence(LEDGER) == ""


def test_open_claims_say_what_more_seeds_would_decide_and_nothing_else_is_counted() -> None:
    table = judged(
        ledgers([0.5, 0.6, 0.7]),  # decided
        ledgers([0.1, 0.2], id="few"),
        ledgers([0.05, 0.1, 0.15], id="border", direction="equal"),
        ledgers([0.3, 0.02, 0.5, 0.1], id="near"),
        ledgers([0.3, 0.02, 0.5, 0.1], id="near", profile="tiny-shuffled"),
    )
    found = open_claims(table)
    assert found["would take"].tolist() == ["6", "more than 100"]
    assert found["seeds"].tolist() == [4, 3]
    said = open_sentence(table)
    assert "8 seeds would decide 1 of the 2 verdicts that are open; 1 lies on a border" in said
    assert "would decide 0 of the 2" in open_sentence(table, seeds=5)
    assert "No claim is open" in open_sentence(REAL) and open_claims(REAL).empty


def test_claims_that_hold_in_some_seeds_only() -> None:
    rows = ledgers([0.5, 0.6, 0.7]).assign(verdict=[HOLDS, OPEN, HOLDS])
    assert disagreements(judged(rows))["seeds_for"].tolist() == [2]
    assert disagreements(judged(rows.assign(verdict=HOLDS))).empty
    said = seeds_differ(judged(rows, rows.assign(profile="tiny-llama")))
    assert "Of 2 verdicts (one for each claim and profile" in said and "**2** would" in said
    assert seeds_differ(judged(rows.assign(verdict=HOLDS))) == "Single seeds agree on every claim."


def test_profiles_agree_contradict_or_leave_open() -> None:
    verdicts = {
        "a": (HOLDS, HOLDS), "b": (OPEN, OPEN), "c": (HOLDS, OPEN), "d": (OPPOSITE, HOLDS),
        "e": (NO_EFFECT, HOLDS), "f": (SMALLER, HOLDS), "g": (NOT_MEASURED, HOLDS),
        "only": (HOLDS, None),
    }  # fmt: skip
    rows = [
        {"id": name, "claim": f"Claim {name}", "profile": profile, "verdict": said}
        for name, both in verdicts.items()
        for profile, said in zip(("tiny", "llama"), both, strict=True)
        if said
    ]
    table = between_profiles(pd.DataFrame(rows))
    assert list(table.columns) == ["claim", "tiny", "llama", "profiles"]
    assert dict(table["profiles"]) == {
        "a": "agree", "b": "agree", "c": "one leaves it open", "d": "contradict each other",
        "e": "contradict each other", "f": "differ in size", "g": "one leaves it open",
    }  # fmt: skip
    said = profiles_sentence(table)
    assert "7 claims" in said and "**2** get the same" in said and "contradictory for **2**" in said
    assert "verdict (1 of them open in all)" in said and "differs in size for **1**" in said
    alone = pd.DataFrame(rows).query("profile == 'tiny'")
    assert "cannot be compared yet" in profiles_sentence(between_profiles(alone))


def test_the_runs_of_a_data_set_are_counted_by_profile() -> None:
    runs = pd.DataFrame({"profile": ["tiny", "tiny", "tiny", "llama"], "seed": [0, 0, 1, 0]})
    assert seeds_of(runs) == "**2** seeds of `tiny` and **1** seed of `llama` (0)"


def test_a_strategy_helps_fails_or_stays_open() -> None:
    ids = ["strategy-phase-efficiency", "strategy-phase-forgetting"]
    both = pd.Series([HOLDS, HOLDS], index=ids)
    assert strategy_verdict(both, "phase") == "it learns sooner and forgets less"
    mixed = strategy_verdict(both.replace({HOLDS: NO_EFFECT}).drop(ids[1]), "phase")
    assert "**it is not shown to help**" in mixed
    assert "whether it learns sooner: no effect" in mixed
    assert "forgets" not in mixed  # no claim was made


def test_the_main_claims_stand_in_a_row_each_with_every_settled_profile() -> None:
    both = judged(main_ledgers(3), main_ledgers(0, seeds=2, profile="smollm2"))
    html = main_claims(both).to_html()
    main = [claim for claim in CLAIMS if claim.main]
    assert html.count("<tr>") == len(main) + 1 and "SmolLM2" not in html
    assert "GPT-2-like" in html and "holds: +0.30 (" in html
