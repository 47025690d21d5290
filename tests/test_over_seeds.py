"""The ledger over seeds: what decides, what does not, and what no number of seeds may decide."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats

from kc_utils.book.ledger_words import (
    between_profiles,
    disagreements,
    evidence_table,
    profiles_sentence,
    seeds_of,
    strategy_verdict,
    swapped_ledgers,
    verdict_counts,
)
from kc_utils.errors import KcError
from kc_utils.plots.claims import evidence_forest, in_margins
from kc_utils.study.claims.entries import entries
from kc_utils.study.claims.over_seeds import UNDECIDED, over_seeds


def ledgers(values, control=0.0, *, direction="above", margin=0.1, at_most=None, **more):
    """Ledgers of runs that judge one claim: a row per seed."""
    values = np.asarray(values, dtype=float)
    most = values if at_most is None else np.asarray(at_most, dtype=float)
    control = np.broadcast_to(np.asarray(control, dtype=float), values.shape)
    words = {
        "profile": "tiny", "id": "a", "topic": "phases", "claim": "A", "paper": "B",
        "quantity": "c", "control": "d", "test": "e", "direction": direction, "margin": margin,
        "verdict": "undecided", "note": "", "notebook": "06_topology",
    }  # fmt: skip
    rows = pd.DataFrame({"seed": range(len(values)), "value": values, "control_value": control})
    return rows.assign(at_most=most, **(words | more))


def judged(*args, **kwargs) -> pd.Series:
    return over_seeds(ledgers(*args, **kwargs)).iloc[0]


def test_an_effect_beyond_its_control_in_all_seeds_holds() -> None:
    row = judged([0.5, 0.6, 0.55, 0.5, 0.62], 0.1)
    assert row["verdict"] == "holds"
    assert row["n_seeds"] == 5
    assert row["p_value"] < 0.01


def test_the_interval_is_the_t_interval_of_the_paired_difference() -> None:
    values, control = np.array([0.5, 0.2, 0.4]), np.array([0.1, 0.1, 0.3])
    row = judged(values, control)
    gaps = values - control
    low, high = scipy_stats.t.interval(0.95, 2, gaps.mean(), scipy_stats.sem(gaps))
    assert np.allclose(row[["difference_low", "difference_high"]].to_numpy(float), [low, high])


def test_pairing_matters() -> None:
    # Seeds that differ widely, each a little above its own control: unpaired this is lost.
    control = np.array([0.1, 0.9, 0.4, 0.6, 0.2])
    assert judged(control + 0.2, control)["verdict"] == "holds"
    assert judged(control + 0.2, np.roll(control, 1))["verdict"] == "undecided"


def test_noise_is_undecided_and_a_small_effect_does_not_hold() -> None:
    assert judged([0.5, -0.6, 0.4, -0.2, 0.1])["verdict"] == "undecided"
    assert judged([0.01, 0.0, 0.02, -0.01, 0.01])["verdict"] == "does not hold"


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_decide_nothing(seeds: int) -> None:
    row = judged([5.0] * seeds)
    assert row["verdict"] == "undecided"
    assert math.isnan(row["difference_low"])
    assert math.isnan(row["p_value"])


def test_false_claims_rarely_hold() -> None:
    rng = np.random.default_rng(3)
    draws = rng.normal(size=(400, 5))
    held = [judged(d, margin=0.01)["verdict"] == "holds" for d in draws]
    assert np.mean(held) < 0.06  # one side of a 95 % interval


def test_equality_needs_the_whole_interval_inside_the_margin() -> None:
    near, wide, far = [0.01, -0.01, 0.0, 0.02], [0.2, -0.2, 0.1, -0.1], [0.5, 0.52, 0.49, 0.51]
    found = [judged(v, direction="equal")["verdict"] for v in (near, wide, far)]
    assert found == ["holds", "undecided", "does not hold"]
    assert judged(near, direction="equal")["p_value"] < 0.05


def test_below_is_above_turned_round() -> None:
    assert judged([-0.5, -0.6, -0.4], direction="below")["verdict"] == "holds"
    assert judged([0.5, 0.6, 0.4], direction="below")["verdict"] == "does not hold"


def test_what_is_undecided_inside_runs_refutes_nothing() -> None:
    values = [0.0, 0.1, 0.0, 0.05]
    assert judged(values, margin=0.5)["verdict"] == "does not hold"
    row = judged(values, margin=0.5, at_most=[1.0, 0.9, 1.0, 1.0])
    assert row["verdict"] == "undecided"
    assert row["difference_high"] == 1  # a share ends there
    assert UNDECIDED in row["note"] and UNDECIDED not in judged(values, margin=0.5)["note"]


def test_seeds_that_could_not_measure_are_counted_and_explained() -> None:
    rows = ledgers([0.5, 0.55, 0.5, np.nan])
    rows.loc[3, "note"] = "Cannot be judged: nothing was learned."
    row = over_seeds(rows).iloc[0]
    assert row["n_seeds"] == 3
    assert row["verdict"] == "holds"
    assert row["note"] == "1 of 4 seeds: Cannot be judged: nothing was learned."


def test_profiles_are_judged_apart_and_in_order() -> None:
    one, two = ledgers([0.5] * 3), ledgers([0.0] * 3, profile="tiny-llama")
    table = over_seeds(pd.concat([one, two], ignore_index=True))
    assert list(table["profile"]) == ["tiny", "tiny-llama"]
    assert list(table["verdict"]) == ["holds", "does not hold"]


def test_q_values_are_no_smaller_than_p_values() -> None:
    rng = np.random.default_rng(0)
    frames = [ledgers(rng.normal(0.05 * i, 0.1, 5), id=f"claim-{i}") for i in range(8)]
    table = over_seeds(pd.concat(frames, ignore_index=True))
    assert (table["q_value"] >= table["p_value"] - 1e-12).all()


def test_mistakes_are_named() -> None:
    rows = ledgers([0.5, 0.6, 0.7])
    with pytest.raises(KcError, match="column 'direction'"):
        over_seeds(rows.drop(columns="direction"))
    with pytest.raises(KcError, match="Seed 0 of tiny judges 'a' twice"):
        over_seeds(pd.concat([rows, rows.head(1)], ignore_index=True))


def test_entries_are_plain_json() -> None:
    table = over_seeds(pd.concat([ledgers([0.5, 0.6, 0.7]), ledgers([0.1], id="b")]))
    text = json.dumps(entries(table), allow_nan=False)
    first, second = json.loads(text)
    needed = {"id", "claim", "profile", "quantity", "effect", "interval", "n_seeds", "control",
              "control_effect", "test", "verdict", "figure"}  # fmt: skip
    assert needed <= set(first)
    assert first["interval"][0] < first["effect"] < first["interval"][1]
    assert second["interval"] is None
    assert second["verdict"] == "undecided"


def test_swapping_effect_and_control_leaves_hardly_any_claim() -> None:
    rng = np.random.default_rng(5)
    frames = [ledgers(rng.normal(0.6, 0.05, 5), 0.1, id=f"claim-{i}") for i in range(10)]
    rows = pd.concat(frames, ignore_index=True)
    assert (over_seeds(rows)["verdict"] == "holds").all()
    tried = swapped_ledgers(rows, 10, seed=0)
    assert tried["judged"].eq(10).all()
    assert tried["holds"].mean() < 1.0


def test_the_forest_counts_in_margins_of_the_claimed_direction() -> None:
    below = judged([-0.5, -0.6, -0.4], direction="below", margin=0.1).to_dict()
    mean, low, high = in_margins(below)
    assert mean == pytest.approx(5.0)
    assert low < mean < high
    table = over_seeds(pd.concat([ledgers([0.5] * 3), ledgers([np.nan] * 3, id="b")]))
    assert evidence_forest(table).axes


def test_words_for_readers() -> None:
    table = over_seeds(pd.concat([ledgers([0.5, 0.6, 0.7]), ledgers([0.0] * 3, id="b")]))
    counts = verdict_counts(table)
    assert counts.loc[0, ["claims", "holds", "does not hold"]].tolist() == [2, 1, 1]
    assert "0.6" in evidence_table(table).to_html()
    assert disagreements(table).empty


def test_profiles_agree_contradict_or_leave_open() -> None:
    verdicts = {
        "a": ("holds", "holds"), "b": ("undecided", "undecided"), "c": ("holds", "undecided"),
        "d": ("does not hold", "holds"), "only": ("holds", None),
    }  # fmt: skip
    rows = [
        {"id": name, "claim": f"Claim {name}", "profile": profile, "verdict": verdict}
        for name, both in verdicts.items()
        for profile, verdict in zip(("tiny", "llama"), both, strict=True)
        if verdict
    ]
    table = between_profiles(pd.DataFrame(rows))
    assert list(table.columns) == ["claim", "tiny", "llama", "profiles"]
    assert dict(table["profiles"]) == {
        "a": "agree", "b": "agree", "c": "one leaves it open", "d": "contradict each other",
    }  # fmt: skip
    said = profiles_sentence(table)
    assert (
        "4 claims" in said and "**2** get the same" in said and "**1** are decided in opp" in said
    )
    alone = pd.DataFrame(rows).query("profile == 'tiny'")
    assert "nothing can be compared" in profiles_sentence(between_profiles(alone))


def test_the_runs_of_a_data_set_are_counted_by_profile() -> None:
    runs = pd.DataFrame({"profile": ["tiny", "tiny", "tiny", "llama"], "seed": [0, 0, 1, 0]})
    assert seeds_of(runs) == "**2** seeds of `tiny` and **1** seed of `llama`"


def test_a_strategy_helps_fails_or_stays_open() -> None:
    ids = ["strategy-phase-efficiency", "strategy-phase-forgetting"]
    both = pd.Series(["holds", "holds"], index=ids)
    assert strategy_verdict(both, "phase") == "it learns sooner and forgets less"
    mixed = strategy_verdict(both.replace({"holds": "does not hold"}).drop(ids[1]), "phase")
    assert "**it is not shown to help**" in mixed
    assert "no gain that would matter: learns sooner" in mixed and "undecided: forgets" in mixed
    assert "undecided: learns sooner and forgets less" in strategy_verdict(both, "circuit")
