"""Claims about kinds of relevance: true, null and reversed worlds, and what is not judged."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from claims_tables import TableRun

from kc_utils.study.claims.claim import rows
from kc_utils.study.experiments.relevance.claims import CLAIMS, contrasts, dose, lead, slopes
from kc_utils.study.experiments.relevance.four_kinds import KINDS_OF_RELEVANCE


def fake(effect: float, known: float = 0.95, n: int = 60, seed: int = 0) -> TableRun:
    """Areas that rise by ``effect`` per level, with noise that pairs share and noise of people."""
    rng = np.random.default_rng([seed, 9])
    shared = rng.normal(0.5, 0.1, n)
    frames = [
        pd.DataFrame(
            {"kind_of_relevance": kind, "pair": np.arange(n), "wording": wording,
             "area": shared + effect * level + rng.normal(0, 0.03, n)}
        )
        for level, kind in enumerate(KINDS_OF_RELEVANCE)
        for wording in ("trained", "held_out")
    ]  # fmt: skip
    asked = pd.DataFrame(
        {"kind_of_relevance": ["other", "same"], "relation": ["pet", "city"],
         "accuracy": known, "chance": 0.05}
    )  # fmt: skip
    return TableRun({"relevance_people": pd.concat(frames), "relevance_known": asked})


@pytest.mark.parametrize(
    ("effect", "expected"), [(0.05, "holds"), (0.0, None), (-0.05, "opposite")]
)
def test_verdicts_of_true_null_and_reversed_worlds(effect: float, expected: str | None) -> None:
    table = rows(fake(effect), CLAIMS).set_index("id")
    assert list(table.index) == [c.id for c in CLAIMS]
    if expected is None:
        assert set(table["verdict"]) <= {"no effect", "open"}
        assert table.loc["relevance-dose", "verdict"] == "no effect"
    else:
        assert (table["verdict"] == expected).all()
    assert (table["control_value"] == 0).all()


def test_numbers_are_what_they_say() -> None:
    run = fake(0.05)
    assert dose(run).effect.mean == pytest.approx(0.05, abs=0.005)
    assert lead(run, "same").effect.mean == pytest.approx(0.15, abs=0.015)
    assert lead(run, "tokens").effect.mean == pytest.approx(0.05, abs=0.015)
    one_level = lead(run, "other", "tokens").effect.mean
    assert one_level == pytest.approx(0.05, abs=0.015)
    assert one_level == pytest.approx(
        lead(run, "other").effect.mean - lead(run, "tokens").effect.mean
    )
    assert slopes(np.array([[0, 1, 2, 3], [3, 2, 1, 0], [1, 1, 1, 1]])) == pytest.approx([1, -1, 0])


def test_contrasts_of_several_runs_are_those_of_each_run() -> None:
    runs = {seed: fake(0.05, seed=seed) for seed in range(3)}
    people = pd.concat([r.table("relevance_people").assign(seed=s) for s, r in runs.items()])
    found = contrasts(people.assign(profile="tiny")).set_index(["seed", "wording", "contrast"])
    assert len(found) == 3 * 2 * 4
    for seed, run in runs.items():
        for wording in ("trained", "held_out"):
            slope = dose(run, wording).effect.mean
            assert found.loc[(seed, wording, "per level"), "value"] == pytest.approx(slope)
            gap = lead(run, "other", wording=wording).effect.mean
            assert found.loc[(seed, wording, "other"), "value"] == pytest.approx(gap)


def test_pairing_removes_what_pairs_share() -> None:
    """The interval of a lead is that of the people's own noise, not of the shared frequencies."""
    found = lead(fake(0.05), "tokens").effect
    assert found.high - found.low < 4 * 1.96 * 0.03 * np.sqrt(2 / 60)


def test_kinds_shuffled_in_pairs_rarely_make_a_claim_hold() -> None:
    held = 0
    for seed in range(20):
        run = fake(0.05, seed=seed)
        people = run.tables["relevance_people"].reset_index(drop=True)
        rng = np.random.default_rng(seed)
        groups = people.groupby(["pair", "wording"])["area"]
        run.tables["relevance_people"] = people.assign(area=groups.transform(rng.permutation))
        held += (rows(run, CLAIMS)["verdict"] == "holds").sum()
    assert held <= 2


@pytest.mark.parametrize("known", [0.3, 0.89])
def test_people_who_are_not_known_are_not_judged(known: float) -> None:
    table = rows(fake(0.05, known=known), CLAIMS).set_index("id")
    assert table.loc["relevance-tokens", "verdict"] == "holds"  # nobody had to be taught
    others = table.drop(index="relevance-tokens")
    assert (others["verdict"] == "not measured").all()
    assert others["note"].str.contains("they are not known to it").all()


def test_nine_tenths_are_known_unless_the_commonest_answer_does_as_well() -> None:
    assert (rows(fake(0.05, known=0.9), CLAIMS)["verdict"] == "holds").all()
    run = fake(0.05, known=0.9)
    run.tables["relevance_known"]["chance"] = 0.95
    assert (rows(run, CLAIMS)["verdict"] == "not measured").sum() == 4


def test_each_kind_is_asked_for_itself() -> None:
    run = fake(0.05)
    asked = run.tables["relevance_known"]
    asked.loc[asked["kind_of_relevance"] == "same", "accuracy"] = 0.5
    said = rows(run, CLAIMS).set_index("id")["verdict"]
    assert (said[["relevance-other", "relevance-known"]] == "holds").all()
    assert (said[["relevance-same", "relevance-dose"]] == "not measured").all()


def test_nothing_learned_is_not_judged() -> None:
    run = fake(0.0)
    run.tables["relevance_people"]["area"] = 0.0
    assert rows(run, CLAIMS)["note"].str.contains("leaves nothing to compare").all()
