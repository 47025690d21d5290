"""Claims about strangers, bits, exposures, roles and conflict hold only where they are true."""

from __future__ import annotations

import math

import claims_tables
import numpy as np
import pandas as pd
import pytest
from claims_tables import N_HEADS, N_LAYERS, TableRun
from evidence_tables import capacity, complete, make, unseen

from kc_utils.analysis.stats.frequency import fit_frequency, predict
from kc_utils.analysis.stats.resample import NotMeasured
from kc_utils.errors import KcError
from kc_utils.study.claims import acquisition, depth, elasticity, frequency, heads
from kc_utils.study.claims import unseen as strangers
from kc_utils.study.claims.claim import rows

CLAIMS = (*strangers.CLAIMS, *frequency.CLAIMS, *heads.CLAIMS, *elasticity.CLAIMS[3:])
NEVER_FALSE = [
    "mixture-nothing",
    "confident-together",
]  # equal, or nothing to compare, without effects


def judge(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return rows(TableRun(tables), CLAIMS).set_index("id")


@pytest.fixture(scope="module")
def true_world() -> dict[str, pd.DataFrame]:
    return make(1.0)


def test_every_claim_holds_where_it_is_true(true_world):
    said = judge(true_world)
    failed = said[said["verdict"] != "holds"]
    assert failed.empty, failed[["value", "low", "high", "control_value", "note"]].to_string()


def test_the_claims_of_the_paper_still_hold_beside_them():
    tables = complete(claims_tables.make(1.0))
    claims = [*acquisition.CLAIMS, *depth.CLAIMS, *elasticity.CLAIMS, *CLAIMS]
    said = rows(TableRun(tables), claims)
    failed = said[said["verdict"] != "holds"]
    assert failed.empty, failed[["id", "value", "low", "high", "control_value"]].to_string()


@pytest.mark.parametrize("effect", [0.0, -1.0])
def test_no_claim_of_a_difference_holds_where_it_is_false(effect):
    said = judge(make(effect)).drop("mixture-nothing")
    assert not (said["verdict"] == "holds").any(), said[said["verdict"] == "holds"]
    refuted = set(said[said["verdict"] == "does not hold"].index)
    assert {"confident-unseen", "capacity-reached", "capacity-bits", "mover-ratio-3",
            "relation-ratio-30", "replay-dose", "elastic-entropy"} <= refuted  # fmt: skip


def test_confidence_that_comes_long_after_the_facts_is_not_together():
    on_time, late = (
        strangers.together(TableRun({"unseen": unseen(1.0, late=late)})) for late in (0.0, 3.0)
    )
    assert abs(on_time.effect.mean) < 0.5
    assert late.effect.mean == pytest.approx(3.0, abs=0.7)
    assert late.effect.low > late.margin


def test_without_confidence_there_is_no_time_to_compare():
    with pytest.raises(NotMeasured, match="no attribute"):
        strangers.together(TableRun({"unseen": unseen(0.0)}))


def test_learning_which_values_exist_is_not_confidence():
    """Entropy falls from far above the guesser's to it: calibrated, not too sure."""
    table = unseen(0.0)
    first = table["step"] == 0
    table.loc[first, "entropy"] += 5.0
    found = strangers.too_sure(TableRun({"unseen": table}))
    assert found.effect.mean == pytest.approx(0.0, abs=0.05)


def test_half_way_is_found_between_checkpoints_and_after_the_last_dip():
    epoch = pd.Series([0.0, 1.0, 2.0, 3.0])
    assert strangers.half_way(epoch, pd.Series([0.0, 0.0, 1.0, 1.0]), 0.1) == 1.5
    assert strangers.half_way(epoch, pd.Series([0.0, 0.8, 0.0, 1.0]), 0.1) == 2.5
    assert strangers.half_way(epoch, pd.Series([1.0, 1.0, 1.0, 1.0]), 0.1) == 0.0
    assert math.isnan(strangers.half_way(epoch, pd.Series([0.0, 1.0, 1.0, 0.05]), 0.1))


def test_shares_of_bits_and_the_ceiling_of_two_bits_per_parameter():
    run = TableRun({"capacity": capacity(0.5)})
    found = strangers.bits_reached(run)
    assert found.effect.mean == pytest.approx(0.5) and found.control.mean == 0.0
    table = capacity(0.5)
    own = table[(table["step"] == 120) & (table["answers"] == "own")]
    world = float((own["n_people"] * own["pool_bits"]).sum())
    small, large = int(world / 10), int(10 * world)
    for n_parameters, most in ((small, 2.0), (large, world / large)):
        table = TableRun({"capacity": capacity(0.5, n_parameters)})
        found = strangers.bits_per_parameter(table)
        assert found.control.mean == pytest.approx(most)
        assert found.effect.mean == pytest.approx(0.5 * world / n_parameters)


def test_permuted_frequencies_give_no_gain(true_world):
    own = frequency.exposure_gain(TableRun(true_world))
    assert own.effect.mean == pytest.approx(0.12, abs=0.03)
    assert own.control.low < 0 < own.control.high < own.effect.low
    rng = np.random.default_rng(5)
    people = true_world["people"]
    dealt = people.assign(frequency=rng.permutation(people["frequency"]))
    found = frequency.exposure_gain(TableRun(true_world | {"people": dealt}))
    assert abs(found.effect.mean) < 0.04 and found.p_value > 0.05


def test_equal_exposures_are_not_compared_and_nothing_learned_is_not_either(true_world):
    people = true_world["people"].assign(frequency=2)
    with pytest.raises(NotMeasured, match="three different"):
        frequency.exposure_gain(TableRun(true_world | {"people": people}))
    wrong = true_world["first_token"].assign(correct=False)
    with pytest.raises(NotMeasured, match="nothing to compare"):
        frequency.exposure_gain(TableRun(true_world | {"first_token": wrong}))


def test_a_lead_that_comes_from_exposures_vanishes_at_equal_frequency():
    """K_rel people are written about more often, and nothing else differs."""
    rng = np.random.default_rng(0)
    who = pd.DataFrame({"person_id": range(400), "kind": ["K_rel"] * 200 + ["K_compl"] * 200})
    often = rng.random(400) < np.where(who["kind"] == "K_rel", 0.8, 0.2)
    who = who.assign(frequency=np.where(often, 6, 2), band="medium")
    answers = [who.assign(correct=rng.random(400) < 0.2 + 0.1 * who["frequency"]) for _ in range(8)]
    table = pd.concat(answers).drop(columns="frequency").assign(step=9, wording="trained")
    run = TableRun({"first_token": table, "people": who})
    raw = table.groupby("kind")["correct"].mean()
    assert raw["K_rel"] - raw["K_compl"] > 0.15
    found = frequency.relevance_at_equal_frequency(run)
    assert abs(found.effect.mean) < 0.03


def counts(chance, rows: int = 4000, per_frequency: int = 3) -> pd.DataFrame:
    """Binomial counts of several sources at each frequency."""
    rng = np.random.default_rng(1)
    levels = np.repeat(np.arange(1, 9), per_frequency)
    right = rng.binomial(rows, chance(levels.astype(float)))
    return pd.DataFrame({"frequency": levels, "n_right": right, "n_rows": rows})


@pytest.mark.parametrize(
    ("name", "chance"),
    [
        ("none", lambda f: np.full_like(f, 0.3)),
        ("logarithm", lambda f: 0.1 + 0.25 * np.log2(f)),
        ("power", lambda f: 1 - 0.9 * f**-0.8),
        ("logistic", lambda f: 1 / (1 + np.exp(4 - 2.5 * np.log2(f)))),
    ],
)
def test_the_curve_that_made_the_counts_fits_best(name, chance):
    fits = fit_frequency(counts(chance))
    best = fits.iloc[0]
    if name == "none":  # the others contain it, so it only has to be as good
        assert fits.loc[fits["model"] == "none", "qaic"].iloc[0] < best["qaic"] + 4
        assert abs(best["gain"]) < 0.02
        return
    assert best["model"] == name and best["weight"] > 0.9
    at = np.array([1.0, 3.0, 8.0])
    assert predict(best, at) == pytest.approx(chance(at), abs=0.02)
    assert fits["weight"].sum() == pytest.approx(1.0)


def test_answers_that_stick_together_count_for_less():
    """The same counts with people who are right or wrong as a whole are overdispersed."""
    steady = counts(lambda f: np.full_like(f, 0.5))
    rng = np.random.default_rng(2)
    wild = steady.assign(n_right=(rng.beta(2, 2, len(steady)) * 4000).astype(int))
    assert fit_frequency(steady)["overdispersion"].iloc[0] < 3
    fits = fit_frequency(wild)
    assert fits["overdispersion"].iloc[0] > 100
    assert fits.loc[fits["model"] == "none", "weight"].iloc[0] > 0.1


def test_curves_need_three_frequencies_and_their_columns():
    table = counts(lambda f: np.full_like(f, 0.5))
    with pytest.raises(KcError, match="2 frequencies"):
        fit_frequency(table[table["frequency"] < 3])
    with pytest.raises(KcError, match="'n_right'"):
        fit_frequency(table.drop(columns="n_right"))


def head_table(movers_at: list[set[int]]) -> TableRun:
    """A circuit of all heads whose movers at each checkpoint are given by their numbers."""
    frames = []
    for step, movers in enumerate(movers_at):
        for cell in range(5):
            number = np.arange(N_LAYERS * N_HEADS)
            ratio = np.where(np.isin(number, list(movers)), 50.0, 1.0)
            frame = pd.DataFrame({"layer": number // N_HEADS, "head": number % N_HEADS})
            role = np.where(ratio > 10, "mover", "mixture")
            at = {"task": "city", "kind": "K_rel", "band": str(cell), "step": step, "epoch": step}
            frames.append(frame.assign(ratio=ratio, role=role, in_circuit=True, **at))
    return TableRun({"head_roles": pd.concat(frames, ignore_index=True)})


def test_heads_that_keep_their_roles_change_no_more_than_their_number_asks():
    steady = head_table([{1, 2, 3, 4}] * 5)
    assert heads.heads_change(steady).effect.mean == heads.heads_change(steady).control.mean == 1.0
    growing = head_table([{1, 2, 3, 4}] * 3 + [{1, 2, 3, 4, 5, 6, 7, 8}] * 2)
    found = heads.heads_change(growing)
    assert found.effect.mean == pytest.approx(found.control.mean) and found.effect.mean < 1
    assert heads.heads_stay(steady).control.mean < 0.3


def test_heads_that_swap_all_the_time_are_no_better_than_dealt_out():
    rng = np.random.default_rng(0)
    swapping = head_table([set(rng.permutation(24)[:6].tolist()) for _ in range(20)])
    change, stay = heads.heads_change(swapping), heads.heads_stay(swapping)
    assert change.control.mean == 1.0 and change.effect.mean < 0.4
    assert stay.effect.mean == pytest.approx(stay.control.mean, abs=0.1)
    with pytest.raises(NotMeasured, match="no circuit has a mover head"):
        heads.heads_stay(head_table([set()] * 4))


def test_the_threshold_decides_what_a_mover_is():
    run = head_table([{1}, {1, 2, 3, 4}, {1, 2, 3, 4}])  # ratio 50
    assert heads.threshold_change(run, "mover", 30.0).effect.mean == pytest.approx(3 / 24)
    assert heads.threshold_change(run, "mover", 80.0).effect.mean == 0.0


def test_conflict_that_erases_as_much_as_other_people_do_does_not_hold(true_world):
    table = true_world["forgetting_people"]
    other = table[table["variant"] == "new_people"]
    same = pd.concat([other, other.assign(variant="conflicting")], ignore_index=True)
    run = TableRun({"forgetting_people": same})
    said = rows(run, [c for c in CLAIMS if c.id == "conflict-forgets"]).iloc[0]
    assert said["verdict"] != "holds" and said["value"] == said["control_value"]
    alone = TableRun({"forgetting_people": other})
    with pytest.raises(NotMeasured, match="'conflicting' was not run"):
        elasticity.conflict_forgets(alone)


def test_the_dose_needs_three_ratios(true_world):
    table = true_world["forgetting_people"]
    two = table[table["ratio"].isin([0.0, 1.0])]
    with pytest.raises(NotMeasured, match="three replay ratios"):
        elasticity.replay_dose(TableRun({"forgetting_people": two}))
