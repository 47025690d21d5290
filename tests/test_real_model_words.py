"""What the chapter on the real model says of tables, also of few seeds and of none that agree."""

import math

import pandas as pd
import pytest

from kc_utils.book import real_model_words as words
from kc_utils.study.claims.verdicts import HOLDS, OPEN, OPPOSITE

NAN = math.nan


def row(name, profile, difference, verdict=OPEN, direction="above", low=NAN, high=NAN):
    return {
        "id": name, "profile": profile, "claim": f"Claim {name}", "difference": difference,
        "difference_low": low, "difference_high": high, "margin": 0.1, "verdict": verdict,
        "direction": direction, "n_seeds": 4 if profile == "made" else 1, "n_shuffled": 0,
    }  # fmt: skip


@pytest.fixture
def ledger():
    pairs = [
        row("a", "made", 0.5, HOLDS, low=0.3, high=0.7), row("a", "real", 0.2),
        row("b", "made", 0.5, HOLDS, low=0.3, high=0.7),
        row("b", "real", -0.4, OPPOSITE, low=-0.5, high=-0.3),
        row("c", "made", 0.5), row("c", "real", 0.04),
        row("d", "made", 0.5, direction="equal"), row("d", "real", -0.5, direction="equal"),
        row("e", "made", 0.5), row("e", "real", NAN),
    ]  # fmt: skip
    return pd.DataFrame(pairs)


def test_claims_stand_side_by_side_where_both_models_measure_them(ledger):
    table = words.side_by_side(ledger, "made", "real")
    assert table["claim"].tolist() == ["Claim a", "Claim b", "Claim c", "Claim d"]
    assert table["sign"].tolist() == ["same", "opposite", "", ""]
    assert table["made"].tolist()[0] == "+0.5 (0.3 to 0.7)" and table["real"].tolist()[0] == "+0.2"
    said = words.agreement(ledger, "made", "real")
    assert "measure 4 claims" in said and "same in **1**" in said and "opposite in **1**" in said
    assert "*Claim b*" in said and "*Claim a*" not in said
    assert "Of them, 1 are decided in both models, 0 with the same verdict" in said


def test_nothing_in_common_is_said(ledger):
    alone = ledger[ledger["profile"] == "made"]
    assert words.agreement(alone, "made", "real") == "The two models measure no claim in common."


def test_one_seed_is_called_a_first_measurement_and_four_are_not(ledger):
    hits = pd.DataFrame(
        {"split": ["discover", "discover", "evaluate"], "n_people": [8, 13, 9]}
    ).assign(circuit="own", task="city")
    one, four = (words.limits(ledger, hits, name).splitlines() for name in ("real", "made"))
    assert "1 seed, and no run with shuffled answers; fewer than 3" in one[0]
    assert four[0] == "- The real model has 4 seeds, and no run with shuffled answers."
    assert "1 relation (city), each on 8 to 13 people, and judged on 9 others" in one[1]


def test_ends_are_those_of_each_seed(ledger):
    rows = [
        (seed, kind, band, epoch, value)
        for seed, last in ((0, 6), (1, 5.5))
        for kind, value in (("K_rel", 0.9), ("K_strange", 0.5))
        for band in ("all", "low")
        for epoch, value in ((0, 0.0), (last, value))
    ]
    table = pd.DataFrame(rows, columns=["seed", "kind", "band", "epoch", "value"])
    said = words.ends(table)
    assert "(2 seeds)" in said and "**0.90** for K_rel, **0.50** for K_strange" in said
    assert "low band it is 0.70" in said


def test_names_that_should_fail_stand_beside_the_real_ones():
    checks = ["own facts", "others' facts", "made-up names"]
    controls = pd.DataFrame({"check": checks, "n_names": 600, "known": [0.28, 0.011, 0.0]})
    said = words.known(controls, pd.DataFrame({"n_people": [60, 60]}))
    assert "Of 600 real people the model knows **28%**" in said
    assert "1.1% of others' facts, 0.0% of made-up names" in said and "draws 60 of" in said


def test_sizes_are_one_number_or_a_range():
    one = pd.DataFrame({"n": [2010, 2010], "share": [0.0163, 0.0163]})
    assert words.sizes(one) == "2,010 (1.6%)"
    two = pd.DataFrame({"n": [1500, 2010], "share": [0.0122, 0.0163]})
    assert words.sizes(two) == "1,500 to 2,010 (1.2% to 1.6%)"


def test_people_are_known_sooner_or_later():
    times = pd.DataFrame({
        "kind": ["K_rel", "K_rel", "K_compl"],
        "epoch": [2.0, 3.0, 6.0],
        "known": [True, True, False],
    })  # fmt: skip
    said = words.sooner(times)
    assert "**2.50** (K_rel), **6.00** (K_compl)" in said and "1 of 3 people are not known" in said
    assert "None of 2 people" in words.sooner(times[times["known"]])


def test_a_question_says_where_its_heads_look():
    row = pd.Series({"clean": "Mo Rin lives in", "right": "Oslo", "wrong": "Lima", "known": False})
    edges = pd.DataFrame({"share": [0.25, 0.125]})
    links = pd.DataFrame({
        "node": ["a1.h0", "a2.h1"], "source": [0, 1], "destination": [1, 3], "share": [0.9, 0.2],
    })  # fmt: skip
    said = words.question(row, edges, links, ["Mo", "Rin", "lives", "in"])
    assert "The 2 edges carry 38%" in said and "`a1.h0` from `Rin` to `Mo` (90%)" in said
    assert "a2.h1" not in said and "does not answer both" in said


def test_kinds_are_compared_within_a_seed():
    """A seed that learns later in all kinds widens no interval of a lead."""
    rows = [
        (seed, kind, seed + later)
        for seed in (2.0, 5.0, 9.0)
        for kind, later in (("K_rel", 0.0), ("K_compl", 0.5), ("K_strange", -0.25 + 0.01 * seed))
    ]
    times = pd.DataFrame(rows, columns=["seed", "kind", "epoch"])
    said = words.lead(times)
    assert "of K_compl by **0.50 (0.50 to 0.50)** epochs and of K_strange by **-0.20" in said
    assert "over 3 seeds" in said
    alone = words.lead(times[times["seed"] == 2])
    assert "K_compl by **0.50** epochs" in alone and "(1 seed)" in alone
