"""Claims about controls hold, fail and stay open where they should."""

from __future__ import annotations

import math

import controls_tables
import numpy as np
import pandas as pd
import pytest
from claims_tables import TableRun

from kc_utils.study.claims import consistency, depth_controls, phase_controls
from kc_utils.study.claims.claim import rows
from kc_utils.study.claims.depth import drift
from kc_utils.study.claims.depth_controls import mover_layer
from kc_utils.study.claims.phases import bend_exists
from kc_utils.study.ledger import CLAIMS

OWN = (*phase_controls.CLAIMS, *consistency.CLAIMS, *depth_controls.CLAIMS)
EQUAL = [c.id for c in OWN if c.direction == "equal"]
TASKS = ("city", "major")


def judge(tables: dict[str, pd.DataFrame], *ids: str) -> pd.DataFrame:
    """The rows of a few claims (all without ids), by id."""
    run = TableRun(tables, circuit={"tasks": list(TASKS)})
    return rows(run, [c for c in OWN if not ids or c.id in ids]).set_index("id")


@pytest.fixture(scope="module")
def true_world() -> pd.DataFrame:
    return judge(controls_tables.make(1.0))


@pytest.fixture(scope="module")
def null_world() -> pd.DataFrame:
    return judge(controls_tables.make(0.0))


def test_the_claims_are_in_the_ledger_once():
    ids = [c.id for c in CLAIMS]
    assert len(ids) == len(set(ids)) and {c.id for c in OWN} <= set(ids)


def test_every_claim_holds_where_controls_show_nothing(true_world):
    failed = true_world[true_world["verdict"] != "holds"]
    assert failed.empty, failed[["value", "low", "high", "control_low", "control_high", "note"]]


def test_none_holds_where_the_run_is_like_its_controls(null_world):
    assert not (null_world.drop(EQUAL)["verdict"] == "holds").any()
    refuted = null_world.index[null_world["verdict"] == "does not hold"]
    sure = {"phase-labels", "consistency-edges", "deep-first-labels", "mover-depth"}
    assert sure <= set(refuted)


def test_none_holds_where_the_opposite_is_true():
    said = judge(controls_tables.make(-1.0))["verdict"]
    assert (said.drop(EQUAL) != "holds").all()
    assert (said[["consistency-edges", "deep-first-untrained"]] == "does not hold").all()
    assert (said[EQUAL] == "undecided").all()  # nothing bends


@pytest.mark.parametrize(
    ("moved", "held", "lost"),
    [
        ("edge_jaccard", [], ["phase-jaccard", "phase-jaccard-accuracy"]),
        ("accuracy", ["phase-jaccard"], ["phase-jaccard-accuracy"]),
        ("entropy", ["phase-jaccard-accuracy"], ["phase-jaccard"]),
    ],
)
def test_bends_at_other_epochs_do_not_coincide(moved, held, lost):
    tables = controls_tables.make(1.0)
    bends = tables["phase_shift"]
    bends.loc[bends["quantity"] == moved, "breakpoint_epoch"] += 3
    said = judge(tables, *EQUAL)["verdict"]
    assert (said[held] == "holds").all() and (said[lost] == "does not hold").all()


def test_a_control_that_does_the_same_stops_the_claim():
    """The run's own curves in the place of the control's: nothing is left of the effect."""
    tables = controls_tables.make(1.0)
    centres = tables["centre_of_mass"].query("task == 'city'")
    own = tables["topology"].query("task == 'city'").merge(
        centres[["step", "task", "kind", "band", "source"]]
    )  # fmt: skip
    names = controls_tables.CONTROLS
    tables["control_curves"] = pd.concat([own.assign(control=name) for name in names])
    ids = ("phase-labels", "phase-untrained", "phase-scores", "deep-first-labels",
           "shallow-later-untrained")  # fmt: skip
    found = judge(tables, *ids)
    assert (found["verdict"] != "holds").all()
    assert (found.loc[["deep-first-labels"], "verdict"] == "does not hold").all()
    np.testing.assert_allclose(found["value"], found["control_value"])


def test_effects_are_those_of_the_claims_without_controls():
    """With one task, the share of bends and the drift are the ledger's own."""
    run = TableRun(controls_tables.make(1.0, tasks=("city",)), circuit={"tasks": ["city"]})
    assert phase_controls.bend_beside(run, "random").effect == bend_exists(run).effect
    for part in ("formation", "rest"):
        beside = depth_controls.drift_beside(run, part, "untrained")
        assert beside.effect == drift(run, part).effect


def test_only_the_first_task_counts():
    tables = controls_tables.make(1.0)
    for name, column in (("topology", "edge_jaccard_previous"), ("centre_of_mass", "source")):
        other = tables[name]["task"] != TASKS[0]
        tables[name].loc[other, column] = 0.0
    ids = ("consistency-edges", "deep-first-labels")
    found, before = judge(tables, *ids), judge(controls_tables.make(1.0), *ids)
    pd.testing.assert_frame_equal(found, before)


def test_a_noise_floor_at_the_ceiling_leaves_consistency_open():
    tables = controls_tables.make(1.0)
    tables["noise_floor"]["node_jaccard"] = 0.99
    found = judge(tables, "consistency-nodes").loc["consistency-nodes"]
    assert found["verdict"] == "undecided" and "leaves no room" in found["note"]
    assert math.isnan(found["value"])


def test_a_wide_noise_floor_and_neighbours_that_differ_more():
    tables = controls_tables.make(1.0)
    tables["noise_floor"]["edge_jaccard"] = 0.95 - 0.02
    found = judge(tables, "consistency-edges").loc["consistency-edges"]
    assert found["verdict"] == "does not hold"


@pytest.mark.parametrize(
    ("table", "query", "claims"),
    [
        ("phase_shift", "quantity == 'accuracy'", ["phase-epoch", "phase-jaccard", "phase-labels"]),
        ("phase_shift", "quantity == 'entropy'", ["phase-jaccard", "phase-jaccard-accuracy"]),
        ("topology", "step <= 60", ["consistency-edges", "consistency-nodes"]),
        ("control_curves", "control == 'random'", ["phase-labels", "deep-first-untrained"]),
        ("control_curves", "step < 50", ["phase-labels", "phase-scores"]),
        ("mover_layers", "step == 0", ["mover-depth"]),
    ],
)
def test_missing_data_leave_a_row_with_the_reason(table, query, claims):
    tables = controls_tables.make(1.0)
    found = judge(tables | {table: tables[table].query(query)}, *claims)
    assert (found.loc[claims, "verdict"] == "undecided").all()
    assert found.loc[claims, "note"].str.startswith("Cannot be judged: ").all()


def test_a_bend_at_the_middle_is_not_early():
    tables = controls_tables.make(1.0)
    tables["phase_shift"]["breakpoint_epoch"] = 6.0
    found = judge(tables, "phase-epoch").loc["phase-epoch"]
    assert found["value"] == 0.5 and found["verdict"] == "does not hold"
    assert found["control_value"] == pytest.approx(0.5, abs=0.1)


def test_undecided_fits_widen_the_share_instead_of_deciding():
    tables = controls_tables.make(1.0)
    tables["phase_shift"]["decision"] = "undecided"
    found = judge(tables, "phase-labels").loc["phase-labels"]
    assert found["value"] == 0 and found["at_most"] == 1 and found["verdict"] == "undecided"


def test_mean_layer_of_movers_and_checkpoints_without_any():
    at = {"task": "city", "kind": "K_rel", "band": "low"}
    counts = [(0, 0, 1), (0, 2, 3), (10, 0, 0), (10, 2, 0)]
    table = pd.DataFrame(counts, columns=["step", "layer", "count"]).assign(**at)
    found = mover_layer(table.assign(epoch=table["step"] / 10))
    assert found["value"].tolist() == [1.5] and found["step"].tolist() == [0]


def test_movers_that_wander_have_no_trend():
    tables = controls_tables.make(1.0)
    rng = np.random.default_rng(3)
    counts = tables["mover_layers"]
    counts["count"] = rng.poisson(20, size=len(counts))
    found = judge(tables, "mover-depth").loc["mover-depth"]
    assert found["verdict"] != "holds" and abs(found["value"]) < 0.12


def test_the_ledger_is_reproducible(true_world):
    pd.testing.assert_frame_equal(true_world, judge(controls_tables.make(1.0)))


def test_words_fit_the_figure(true_world):
    table = true_world.reset_index()
    assert table["claim"].str.len().max() <= 74
    assert table["quantity"].str.len().max() <= 40
    assert table["control"].str.len().max() <= 31
    assert set(table["topic"]) == {"phases", "depth"}
