"""Claims about what circuits do: restored answers, other people, other bands, older edges."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from claims_tables import TableRun, make

from kc_utils.analysis.stats.resample import NotMeasured
from kc_utils.study.claims import function, restoring
from kc_utils.study.claims.claim import rows

EQUAL = [c.id for c in function.CLAIMS if c.direction == "equal"]


def judge(tables: dict[str, pd.DataFrame], *ids: str) -> pd.DataFrame:
    chosen = [c for c in function.CLAIMS if not ids or c.id in ids]
    return rows(TableRun(tables), chosen).set_index("id")


@pytest.fixture(scope="module")
def true_world() -> dict[str, pd.DataFrame]:
    return make(1.0, people=240)


def test_every_claim_holds_where_it_is_true(true_world):
    said = judge(true_world)
    failed = said[said["verdict"] != "holds"]
    assert failed.empty, failed[["difference", "difference_low", "difference_high", "note"]]


def test_no_difference_holds_where_there_is_none():
    said = judge(make(0.0, people=240))
    assert not (said.drop(EQUAL)["verdict"] == "holds").any()
    same = ["faithful", "sufficient-zero", "sufficient-mean", "greedy", "aligned-zero"]
    assert set(said.loc[same, "verdict"]) <= {"no effect", "open"}
    assert (said.loc[["in-sample", "transfer-native-zero"], "verdict"] == "not measured").all()
    assert "nothing to compare" in said.loc["in-sample", "note"]


def test_the_other_way_round_is_the_opposite():
    said = judge(make(-1.0, people=240))["verdict"]
    turned = ["faithful", "sufficient-zero", "sufficient-mean", "greedy", "aligned-zero",
              "aligned-corrupted", "transfer-random-corrupted", "in-sample-published"]  # fmt: skip
    assert (said[turned] == "opposite").all(), said


def test_faithfulness_and_sufficiency_start_from_different_floors(true_world):
    """Circuits reach 1.8, the model 3; corrupted runs start at -3 and empty circuits at -2."""
    run = TableRun(true_world)
    found = restoring.sufficient(run, "zero")
    assert found.effect.mean == pytest.approx(3.8 / 5, abs=0.01)
    assert found.control.mean == pytest.approx((-0.6 + 2) / 5, abs=0.01)
    low = true_world["size_curve"].assign(empty_logit_diff=-7.0)
    deeper = restoring.sufficient(TableRun(true_world | {"size_curve": low}), "zero")
    assert deeper.effect.mean == pytest.approx(8.8 / 10, abs=0.01)
    assert restoring.faithful(run).effect.mean > restoring.faithful(run).control.high


def test_a_model_that_is_no_better_than_nothing_has_nothing_to_restore(true_world):
    full = true_world["size_curve"].assign(empty_logit_diff=3.0)
    pairs = true_world["circuit_pairs"].assign(clean_logit_diff=-3.0)
    said = judge(true_world | {"size_curve": full, "circuit_pairs": pairs},
                 "faithful", "sufficient-zero", "sufficient-mean")  # fmt: skip
    assert (said["verdict"] == "not measured").all()
    assert said["note"].str.contains("nothing to restore").all()


def test_partners_that_matter_are_not_equal(true_world):
    ways = true_world["ways"].copy()
    ways.loc[ways["way"] == "partners from everybody", "faithfulness"] -= 0.2
    other = ways["ablation"] != "corrupted"
    ways.loc[other, "faithfulness"] = 0.0  # other ablations don't count
    said = judge(true_world | {"ways": ways}, "partners", "greedy")["verdict"]
    assert said["partners"] == "opposite" and said["greedy"] == "holds"
    flat = true_world["ways"].assign(faithfulness=0.2)
    assert (judge(true_world | {"ways": flat}, "partners")["verdict"] == "not measured").all()


def test_circuits_that_fit_their_own_people_only(true_world):
    pairs = true_world["circuit_pairs"].copy()
    own = (pairs["circuit"] == "own") & (pairs["ablation"] == "corrupted")
    pairs.loc[own & (pairs["split"] == "discover"), "rank"] = 1
    said = judge(true_world | {"circuit_pairs": pairs}, "in-sample")
    assert said["verdict"].tolist() == ["opposite"]


def test_the_published_hit_rate_is_that_of_discovery_people_with_zeros(true_world):
    pairs = true_world["circuit_pairs"].copy()
    own = pairs["circuit"] == "own"
    zero = own & (pairs["ablation"] == "zero") & (pairs["split"] == "discover")
    pairs["rank"] = np.where(zero, 1, np.where(own, 99, pairs["rank"]))
    found = function.as_published(TableRun(true_world | {"circuit_pairs": pairs}))
    assert found.effect.mean == 1.0 and found.control.mean == 0.0
    with pytest.raises(NotMeasured, match="no discover people"):
        function.as_published(TableRun(true_world | {"circuit_pairs": pairs[~zero]}))


def test_edges_of_after_that_are_not_enough(true_world):
    pairs = true_world["aligned_pairs"].copy()
    rng = np.random.default_rng(0)
    worse = (pairs["aligned"] == "After") & (rng.random(len(pairs)) < 0.3)
    pairs.loc[worse, "rank"] = 99
    said = judge(true_world | {"aligned_pairs": pairs}, "after-enough")
    assert said["verdict"].tolist() == ["opposite"]


def test_aligned_circuits_are_judged_where_there_is_a_knee(true_world):
    table = true_world["shift"].copy()
    table.loc[(table["kind"] == "K_rel") & (table["band"] == "low"), "knee"] = np.nan
    pairs = true_world["aligned_pairs"].copy()
    out = (pairs["kind"] == "K_rel") & (pairs["band"] == "low")
    pairs.loc[out, "rank"] = 99  # would show if it counted
    said = judge(true_world | {"shift": table, "aligned_pairs": pairs}, "aligned-zero")
    assert said["verdict"].tolist() == ["holds"]
    assert said["note"].iloc[0] == "10 of 12 circuits have a decided knee of entropy."
    none = true_world | {"shift": table.assign(knee=np.nan)}
    said = judge(none, "aligned-zero", "aligned-corrupted", "after-enough")
    assert (said["verdict"] == "not measured").all()
    assert said["note"].str.contains("0 of 12 circuits have a decided knee").all()


@pytest.mark.parametrize(
    ("table", "query", "claims"),
    [
        ("circuit_pairs", "circuit == 'own'", ["faithful"]),
        ("circuit_pairs", "split == 'evaluate'", ["in-sample", "in-sample-published"]),
        ("size_curve", "ablation == 'corrupted'", ["sufficient-zero", "sufficient-mean"]),
        ("transfer_pairs", "circuit == 'own'", ["sufficient-zero", "transfer-random-corrupted"]),
        ("transfer_pairs", "ablation == 'mean'", ["transfer-native-zero", "sufficient-zero"]),
        ("ways", "way == 'here'", ["greedy", "partners"]),
        ("aligned_pairs", "ablation == 'mean'", ["aligned-zero", "after-enough"]),
        ("shift", "quantity == 'accuracy'", ["aligned-zero", "aligned-corrupted"]),
    ],
)
def test_missing_data_leave_a_row_with_the_reason(true_world, table, query, claims):
    found = judge(true_world | {table: true_world[table].query(query)}, *claims)
    assert (found.loc[claims, "verdict"] == "not measured").all()
    assert found["note"].str.startswith("Not measured: ").all()


def test_a_model_that_learned_nothing_makes_nothing_equal(true_world):
    tables = dict(true_world)
    for name in ("circuit_pairs", "transfer_pairs", "aligned_pairs"):
        tables[name] = tables[name].assign(rank=99)
    assert (judge(tables, *[i for i in EQUAL if i != "partners"])["verdict"]
            == "not measured").all()  # fmt: skip


def test_one_band_has_no_other_circuit():
    said = judge(make(1.0, bands=("high",)), "transfer-random-corrupted")
    assert "one band" in said["note"].iloc[0]
