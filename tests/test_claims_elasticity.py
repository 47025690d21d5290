"""Claims about going on with training: what is lost, what returns, and what a drift does."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from claims_tables import TableRun
from evidence_tables import make
from topic_tables import forgetting

from kc_utils.analysis.stats.resample import NotMeasured
from kc_utils.analysis.stats.seeds import t_interval
from kc_utils.study.claims import elasticity
from kc_utils.study.claims.claim import rows
from kc_utils.study.claims.margins import margin_of
from kc_utils.study.claims.verdicts import verdict

CLAIMS = elasticity.CLAIMS
#: One training run gives these one number, so that only seeds give an interval.
RETURNS = [c for c in CLAIMS if c.id in ("circuit-returns", "entropy-returns")]


def world(effect: float) -> dict[str, pd.DataFrame]:
    return make(effect) | {"forgetting": forgetting(effect)}


def judge(tables: dict[str, pd.DataFrame], *ids: str) -> pd.DataFrame:
    chosen = [c for c in CLAIMS if not ids or c.id in ids]
    return rows(TableRun(tables), chosen).set_index("id")


def over_seeds(effect: float, **changes) -> dict[str, str]:
    """Verdicts on what returns, from five runs."""
    found = {}
    for claim in RETURNS:
        gaps = []
        for seed in range(5):
            table = forgetting(effect, np.random.default_rng(seed)).assign(**changes)
            one = claim.measure(TableRun({"forgetting": table}))
            gaps.append(one.effect.mean - one.control.mean)
        margin = margin_of(claim.id).margin
        found[claim.id] = verdict(t_interval(gaps), direction=claim.direction, margin=margin)
    return found


def test_every_claim_holds_where_it_is_true():
    said = judge(world(1.0))
    failed = said.drop([c.id for c in RETURNS]).query("verdict != 'holds'")
    assert failed.empty, failed[["difference", "difference_low", "difference_high", "note"]]
    assert set(over_seeds(1.0).values()) == {"holds"}


def test_none_holds_where_nothing_changes():
    said = judge(world(0.0))
    assert set(said["verdict"]) <= {"no effect", "open", "not measured"}
    assert (said.loc[["circuit-bends", "elastic-entropy"], "verdict"] == "no effect").all()
    assert set(over_seeds(0.0).values()) == {"no effect"}


def test_the_other_way_round_is_the_opposite():
    said = judge(world(-1.0), "circuit-bends", "elastic-entropy")
    assert (said["verdict"] == "opposite").all()
    assert set(over_seeds(-1.0).values()) == {"opposite"}  # the drift returns, replay doesn't


def test_a_return_is_a_number_of_one_run_without_an_interval():
    """Moved by 0.8 at most and by 0.2 at the end: Jaccard 0.6 to 0.9, entropy 0.86 to 0.74."""
    said = judge(world(1.0), "circuit-returns", "entropy-returns")
    assert said["value"].tolist() == pytest.approx([0.3, -0.12], abs=0.02)
    assert said["control_value"].tolist() == pytest.approx([0.0, 0.0], abs=0.02)
    assert (said["verdict"] == "not measured").all()
    assert said["note"].str.contains("no interval of its own").all()


def test_a_drift_that_comes_back_as_well_is_no_return():
    table = forgetting(1.0)
    dip = table[(table["variant"] == "new_people") & (table["ratio"] == 0.1)]
    kept = table[table["variant"] != "drift"]
    same = pd.concat([kept, dip.assign(variant="drift", ratio=1.0)])
    said = judge(world(1.0) | {"forgetting": same}, "circuit-returns", "entropy-returns")
    assert said["difference"].tolist() == pytest.approx([0.0, 0.0])


def test_the_nearest_ratio_stands_for_a_tenth():
    tables = world(1.0)
    for name in ("forgetting", "forgetting_people"):
        other = tables[name].query("ratio in (0, 0.1, 0.4, 1)").replace({"ratio": {0.1: 0.15}})
        tables[name] = other
    said = judge(tables, "replay-returns", "circuit-returns")
    assert said["note"].str.startswith("Replay ratio 0.15, the nearest to 0.1.").all()


@pytest.mark.parametrize(
    ("table", "query", "claims"),
    [
        ("forgetting_people", "variant == 'conflicting'", ["forgetting", "replay-returns"]),
        ("forgetting_people", "variant == 'new_people'", ["conflict-forgets"]),
        ("forgetting_people", "ratio == 0", ["replay-returns"]),
        ("forgetting_people", "step == 0", ["forgetting", "replay-returns"]),
        ("forgetting", "ratio > 0", ["circuit-bends", "elastic-entropy"]),
        ("forgetting", "variant == 'drift'", ["circuit-bends", "elastic-entropy"]),
        ("forgetting", "ratio == 0", ["circuit-returns", "entropy-returns"]),
        ("forgetting", "variant != 'drift'", ["circuit-returns", "entropy-returns"]),
        ("forgetting", "step < 30", ["circuit-returns", "entropy-returns"]),
    ],
)
def test_missing_data_leave_a_row_with_the_reason(table, query, claims):
    tables = world(1.0)
    found = judge(tables | {table: tables[table].query(query)}, *claims)
    assert (found.loc[claims, "verdict"] == "not measured").all()
    assert found["note"].str.startswith("Not measured: ").all()


def test_what_was_not_known_cannot_be_forgotten():
    tables = world(1.0)
    tables["forgetting_people"] = tables["forgetting_people"].assign(correct=0.0)
    found = judge(tables, "forgetting", "replay-returns", "conflict-forgets")
    assert found["note"].str.startswith("Not measured: accuracy on old facts").all()


def test_conflict_that_erases_as_much_as_other_people_do_does_not_hold():
    table = world(1.0)["forgetting_people"]
    other = table[table["variant"] == "new_people"]
    same = pd.concat([other, other.assign(variant="conflicting")], ignore_index=True)
    said = judge({"forgetting_people": same}, "conflict-forgets").iloc[0]
    assert said["verdict"] in ("no effect", "open") and said["value"] == said["control_value"]
    with pytest.raises(NotMeasured, match="'conflicting' was not run"):
        elasticity.conflict_forgets(TableRun({"forgetting_people": other}))
