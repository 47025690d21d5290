"""Claims about onset and knee hold where the knees are, and nowhere else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import shift_tables
from claims_tables import TableRun

from kc_utils.study.claims import phases, shift
from kc_utils.study.claims.claim import rows

pytestmark = pytest.mark.slow

CLAIMS = (*shift.CLAIMS, *phases.CLAIMS)


def judge(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return rows(TableRun(tables), CLAIMS).set_index("id")


@pytest.fixture(scope="module")
def true_world() -> dict[str, pd.DataFrame]:
    return shift_tables.make(1.0)


def test_every_claim_holds_where_it_is_true(true_world):
    said = judge(true_world)
    failed = said[said["verdict"] != "holds"]
    assert failed.empty, failed[["difference", "difference_low", "difference_high", "note"]]


def test_without_knees_there_is_no_shift_and_nothing_is_said_about_its_time():
    said = judge(shift_tables.make(0.0))
    assert not (said["verdict"] == "holds").any()
    timed = ["knee-in-rise", "knee-jaccard", "knee-frequent", "knee-relevant", "knee-follows",
             "optimisation", "knee-sharp"]  # fmt: skip
    assert (said.loc[timed, "verdict"] == "not measured").all()
    assert said.loc["knee-frequent", "note"].startswith("Not measured: 0 of 12 circuits")
    assert said.loc["entropy-falls", "verdict"] == "no effect"


def test_the_other_way_round_is_the_opposite():
    said = judge(shift_tables.make(-1.0))["verdict"]
    opposite = ["knee-frequent", "knee-relevant", "entropy-falls", "optimisation"]
    assert (said[opposite] == "opposite").all(), said
    assert said["knee-follows"] == "holds"  # people are known as late as their circuits turn


def test_a_knee_that_shuffled_answers_have_as_well_says_nothing(true_world):
    curves = true_world["topology"].query("task == 'city'")
    entropy = 8 * curves["normalised_entropy_kept"]
    same = curves.assign(control="shuffled labels", entropy=entropy, entropy_kept=entropy)
    said = judge(true_world | {"control_curves": same})
    assert said.loc["knee-entropy", "control_value"] > 0.8
    assert said.loc["knee-entropy", "verdict"] in ("no effect", "open")


def test_a_base_model_that_does_not_know_stops_relevance_only(true_world):
    unknown = true_world["prior_knowledge"].assign(passed=False, accuracy=0.02)
    said = judge(true_world | {"prior_knowledge": unknown})
    assert said.loc["knee-relevant", "verdict"] == "not measured"
    assert "0.02" in said.loc["knee-relevant", "note"]
    assert said.loc["knee-frequent", "verdict"] == "holds"


def test_the_place_in_the_rise_is_the_share_of_the_last_accuracy(true_world):
    found = shift.in_rise(TableRun(true_world))
    assert found.effect.mean == pytest.approx(0.5, abs=0.06)
    late = true_world["shift"].assign(knee=23.0)
    said = judge(true_world | {"shift": late})
    assert said.loc["knee-in-rise", "verdict"] == "opposite"


def test_knees_far_from_each_other_are_not_together(true_world):
    table = true_world["shift"].copy()
    edges = table["quantity"] == "edge_jaccard"
    table.loc[edges, "knee"] = table.loc[edges, "knee"] + 5
    said = judge(true_world | {"shift": table})
    assert said.loc["knee-jaccard", "verdict"] == "opposite"


def test_people_who_are_known_at_any_time_are_not_followed(true_world):
    rng = np.random.default_rng(1)
    table = true_world["time_to_knowledge"]
    draw = dict.fromkeys(zip(table["kind"], table["band"], strict=True))
    times = dict(zip(draw, rng.permutation(np.linspace(4, 14, len(draw))), strict=True))
    keys = pd.Series(list(zip(table["kind"], table["band"], strict=True)))
    said = judge(true_world | {"time_to_knowledge": table.assign(epoch=keys.map(times))})
    assert said.loc["knee-follows", "verdict"] != "holds"


def test_too_few_checkpoints_have_no_knee(true_world):
    said = judge(true_world | {"shift": true_world["shift"].head(0)})
    assert said.loc["knee-entropy", "verdict"] == "not measured"
    assert "10 checkpoints" in said.loc["knee-entropy", "note"]
