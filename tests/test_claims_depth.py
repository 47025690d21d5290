"""Claims about layers and head roles hold where they are true, and follow the decided knee."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from claims_tables import N_HEADS, N_LAYERS, TableRun, make

from kc_utils.analysis.stats.resample import NotMeasured
from kc_utils.study.claims import depth, heads
from kc_utils.study.claims.claim import rows
from kc_utils.study.claims.heads import kappa, mover_layer

CLAIMS = (*depth.CLAIMS, *heads.CLAIMS)


def judge(tables: dict[str, pd.DataFrame], *ids: str) -> pd.DataFrame:
    chosen = [c for c in CLAIMS if not ids or c.id in ids]
    return rows(TableRun(tables), chosen).set_index("id")


@pytest.fixture(scope="module")
def true_world() -> dict[str, pd.DataFrame]:
    return make(1.0)


def test_every_claim_holds_where_it_is_true(true_world):
    said = judge(true_world)
    failed = said[said["verdict"] != "holds"]
    assert failed.empty, failed[["difference", "difference_low", "difference_high", "note"]]


def test_none_holds_where_nothing_changes():
    said = judge(make(0.0))
    assert set(said["verdict"]) <= {"no effect", "open", "not measured"}
    still = ["activation-deep", "mover-published", "relation-published", "answer-moves-down",
             "roles-agree"]  # fmt: skip
    assert (said.loc[still, "verdict"] == "no effect").all()


def test_the_other_way_round_is_the_opposite():
    said = judge(make(-1.0))["verdict"]
    turned = ["deep-first", "shallow-later", "activation-deep", "rank-falls", "mover-published",
              "relation-published", "mover-answer", "relation-answer", "roles-agree"]  # fmt: skip
    assert (said[turned] == "opposite").all(), said


@pytest.mark.parametrize(
    ("onset", "knee", "part", "expected"),
    [
        (2.0, 5.0, "formation", [2, 3, 4, 5]),
        (math.nan, 3.0, "formation", [0, 1, 2, 3]),
        (2.2, 2.8, "formation", [2, 3]),  # none is inside: the nearest on either side
        (2.0, 2.8, "formation", [1, 2, 3]),  # one is inside
        (math.nan, 0.4, "formation", [0, 1]),
        (2.0, 5.0, "optimisation", [5, 6]),
        (2.0, 6.0, "optimisation", [5, 6]),
    ],
)
def test_checkpoints_of_a_phase(onset, knee, part, expected):
    assert np.flatnonzero(depth.phase(np.arange(7.0), onset, knee, part)).tolist() == expected


def test_the_shift_is_in_shares_of_depth_and_follows_the_knee(true_world):
    """Edges go down by 5/6 of a layer from epoch 2 to 7, and back up afterwards."""
    run = TableRun(true_world)
    found = depth.drift(run, "formation")
    assert found.effect.mean == pytest.approx(5 / 6 / N_LAYERS, abs=0.01)
    assert found.n == 12 and "12 of 12 circuits have a decided knee of entropy, 12" in found.note
    late = true_world["shift"].assign(knee=12.0)  # formation now holds both ways
    moved = depth.drift(TableRun(true_world | {"shift": late}), "formation")
    assert moved.effect.mean < 0.5 * found.effect.mean


def test_cells_without_a_knee_are_left_out_and_most_cells_need_one(true_world):
    table = true_world["shift"].copy()
    table.loc[table["kind"] == "K_rel", "knee"] = np.nan
    centres = true_world["centre_of_mass"].copy()
    centres.loc[centres["kind"] == "K_rel", "source"] = 99.0  # would show if it counted
    half = true_world | {"shift": table, "centre_of_mass": centres}
    assert judge(half, "deep-first").loc["deep-first", ["n", "verdict"]].tolist() == [6, "holds"]
    table.loc[(table["task"] == "city") & (table["band"] == "low"), "knee"] = np.nan
    said = judge(true_world | {"shift": table}, "deep-first", "shallow-later")
    assert (said["verdict"] == "not measured").all()
    assert said["note"].str.contains("5 of 12 circuits have a decided knee").all()


def test_edges_that_move_as_random_circuits_do_are_no_effect(true_world):
    centres = true_world["centre_of_mass"]
    same = centres.assign(random_source=centres["source"])
    same = same.assign(random_low=same["source"] - 0.02, random_high=same["source"] + 0.02)
    said = judge(true_world | {"centre_of_mass": same}, "deep-first", "shallow-later")
    assert (said["verdict"] == "no effect").all()


def test_deep_and_shallow_halves_are_the_published_ones(true_world):
    table = true_world["activation_ratio"]
    found = depth.deeper_half(TableRun(true_world)).effect
    assert found.mean == pytest.approx(0.2 / 0.2)  # deep +0.1, shallow -0.1, over the share kept
    last, middle = table["layer"] == N_LAYERS - 1, table["layer"] == 2
    other = table.assign(kept=table["kept"].where(~(last | middle), table["possible"]))
    ignored = depth.deeper_half(TableRun(true_world | {"activation_ratio": other})).effect
    assert ignored.mean == pytest.approx(found.mean)
    from_input = (table["layer"] < 0) & (table["step"] == table["step"].max())
    more = table.assign(kept=table["kept"].where(~from_input, table["possible"]))
    raised = depth.deeper_half(TableRun(true_world | {"activation_ratio": more})).effect
    assert raised.mean < found.mean - 0.3  # edges from the input are layer 0's


def test_a_random_circuit_has_no_deep_and_shallow(true_world):
    table = true_world["activation_ratio"]
    even = table.assign(kept=table["expected"] * table["possible"])
    found = depth.deeper_half(TableRun(true_world | {"activation_ratio": even})).effect
    assert found.mean == pytest.approx(0.0)
    one = true_world | {"graph": true_world["graph"].assign(n_layers=2)}
    with pytest.raises(NotMeasured, match="too few layers"):
        depth.deeper_half(TableRun(one))


def test_the_answers_depth_is_a_share_of_the_layers(true_world):
    found = depth.answer_depth(TableRun(true_world))
    assert found.effect.mean == pytest.approx(-3 / N_LAYERS, abs=0.1) and found.p_value < 0.01


@pytest.mark.parametrize(
    ("table", "query", "claims"),
    [
        ("shift", "quantity == 'entropy'", ["deep-first", "shallow-later"]),
        ("centre_of_mass", "step == 60", ["deep-first", "shallow-later"]),
        ("activation_ratio", "step == 0", ["activation-deep"]),
        ("logit_lens", "step == 0", ["rank-falls", "answer-moves-down"]),
        ("role_shares_published", "role == 'mover'", ["relation-published"]),
        ("role_shares", "step == 120", ["mover-answer", "relation-answer"]),
        ("head_roles", "step == 120", ["movers-stay"]),
    ],
)
def test_missing_data_leave_a_row_with_the_reason(true_world, table, query, claims):
    found = judge(true_world | {table: true_world[table].query(query)}, *claims)
    assert (found.loc[claims, "verdict"] == "not measured").all()
    assert found["note"].str.startswith("Not measured: ").all()


def test_movers_that_grow_everywhere_do_not_grow_in_the_circuit(true_world):
    shares = true_world["role_shares"]
    said = judge(true_world | {"role_shares": shares.assign(expected=shares["value"])},
                 "mover-answer", "relation-answer", "mover-published")  # fmt: skip
    assert (said["verdict"] == ["holds", "no effect", "no effect"]).all()
    assert "a circuit holds 100% of the model's heads" in said.loc["mover-answer", "note"]


def test_kappa_counts_agreement_beyond_chance():
    one = pd.Series(["mover", "mover", "mixture", "mixture"])
    assert kappa(one, one) == 1.0
    assert kappa(one, one[::-1].reset_index(drop=True)) == -1.0
    assert kappa(one, pd.Series(["mover", "mixture"] * 2)) == 0.0
    assert math.isnan(kappa(one[:2], one[:2]))
    # Textbook case: 20 and 15 of 50 agree, shares 0.5 and 0.6 of the first name.
    first = pd.Series(["a"] * 25 + ["b"] * 25)
    second = pd.Series(["a"] * 20 + ["b"] * 5 + ["a"] * 10 + ["b"] * 15)
    assert kappa(first, second) == pytest.approx(0.4)


def test_published_roles_dealt_out_at_random_do_not_agree(true_world):
    rng = np.random.default_rng(3)
    table = true_world["head_roles"]
    dealt = table.assign(published_role=rng.permutation(table["role"]))
    said = judge(true_world | {"head_roles": dealt}, "roles-agree").loc["roles-agree"]
    assert said["verdict"] == "no effect" and abs(said["value"]) < 0.2
    alike = TableRun({"head_roles": table.assign(role="mover", published_role="mover")})
    with pytest.raises(NotMeasured, match="different roles"):
        heads.agreement(alike)
    outside = table.assign(in_circuit=table["head"] > 0)  # only heads of the circuit count
    outside.loc[~outside["in_circuit"], "published_role"] = "none of these"
    assert judge(true_world | {"head_roles": outside}, "roles-agree")["value"].iloc[0] > 0.7


def head_table(movers_at: list[set[int]]) -> TableRun:
    """A circuit of all heads whose movers at each checkpoint are given by their numbers."""
    frames = []
    for step, movers in enumerate(movers_at):
        for cell in range(5):
            number = np.arange(N_LAYERS * N_HEADS)
            role = np.where(np.isin(number, list(movers)), "mover", "mixture")
            frame = pd.DataFrame({"layer": number // N_HEADS, "head": number % N_HEADS})
            at = {"task": "city", "kind": "K_rel", "band": str(cell), "step": step, "epoch": step}
            frames.append(frame.assign(role=role, in_circuit=True, **at))
    return TableRun({"head_roles": pd.concat(frames, ignore_index=True)})


def test_heads_that_keep_their_roles_stay_and_heads_that_swap_do_not():
    steady = heads.heads_stay(head_table([{1, 2, 3, 4}] * 5))
    assert steady.effect.mean == 1.0 and steady.control.mean < 0.3
    rng = np.random.default_rng(0)
    swapping = head_table([set(rng.permutation(24)[:6].tolist()) for _ in range(20)])
    found = heads.heads_stay(swapping)
    assert found.effect.mean == pytest.approx(found.control.mean, abs=0.1)
    with pytest.raises(NotMeasured, match="no circuit has a mover head"):
        heads.heads_stay(head_table([set()] * 4))


def test_mean_layer_of_movers_and_checkpoints_without_any():
    at = {"task": "city", "kind": "K_rel", "band": "low"}
    counts = [(0, 0, 1), (0, 2, 3), (10, 0, 0), (10, 2, 0)]
    table = pd.DataFrame(counts, columns=["step", "layer", "count"]).assign(**at)
    found = mover_layer(table.assign(epoch=table["step"] / 10))
    assert found["value"].tolist() == [1.5] and found["step"].tolist() == [0]
