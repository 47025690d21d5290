"""The ledger of a sweep: what a row holds, what is refused, and what one number changes."""

from __future__ import annotations

import json
import math

import pandas as pd
import pytest
from made_claims import copy_of_sweep
from typer.testing import CliRunner

from kc_utils import ROOT, STORED_SWEEP
from kc_utils.cli.app import app
from kc_utils.errors import KcError
from kc_utils.runs.dataset import SweepTables
from kc_utils.study.claims.claim import claims, parse
from kc_utils.study.claims.ledger import (
    entries,
    judge,
    ledger,
    measure,
    model_differences,
    numbers_of,
)
from kc_utils.study.claims.measures import MEASURES
from kc_utils.study.claims.rule import VERDICTS
from kc_utils.study.claims.tables import of_sweep

KEYS = {
    "id", "claim", "primary", "profile", "quantity", "unit", "effect", "interval", "n_seeds",
    "control", "control_effect", "margin", "gate", "verdict", "direction", "holm", "hangs_on",
    "claimed_by",
}  # fmt: skip
ENTRY = """
[[claim]]
id = "made"
claim = "Something is so"
topic = "phases"
notebook = "06_topology"
paper = "so"
quantity = "a"
unit = "%"
measure = "sooner"
control = "strangers"
gate = "none"
direction = "above"
margin = 1.0
reason = "It is made up."
"""


@pytest.fixture(scope="module")
def stored() -> SweepTables:
    return SweepTables.open(ROOT / STORED_SWEEP)


@pytest.fixture(scope="module")
def numbers(stored: SweepTables) -> pd.DataFrame:
    return numbers_of(stored)


@pytest.fixture(scope="module")
def rows(numbers: pd.DataFrame) -> pd.DataFrame:
    return judge(numbers)


def test_an_entry_has_every_key_and_one_of_six_verdicts(rows: pd.DataFrame) -> None:
    found = json.loads(json.dumps(entries(rows), allow_nan=False))
    assert all(set(entry) >= KEYS for entry in found)
    assert {entry["verdict"] for entry in found} <= set(VERDICTS) and len(VERDICTS) == 6
    assert {entry["direction"] for entry in found} == {"as claimed", "opposite", "none"}
    for entry in found:
        measured = entry["verdict"] != "not measured"
        assert (entry["interval"] is not None) == measured
        assert bool(entry["holm"]) == (measured and entry["primary"])
        assert measured or entry["note"], "a reason in a sentence"
        assert 0 <= entry["hangs_on"] <= entry["n_seeds"]


def test_every_claim_is_judged_in_every_model_primary_ones_first(rows: pd.DataFrame) -> None:
    n = len(claims())
    assert 6 <= sum(claim.primary for claim in claims()) <= 9
    for _, part in rows.groupby("profile"):
        assert len(part) == n and part["id"].is_unique
        assert part["primary"].is_monotonic_decreasing
    assert {claim.measure for claim in claims()} == set(MEASURES)


def test_where_a_circuit_under_zeros_is_at_the_floor_nothing_is_judged(rows) -> None:
    table = rows.set_index(["id", "profile"])
    for name in ("aligned-zero", "transfer-zero"):
        at_floor = table.loc[name].query("verdict == 'not measured'")
        assert len(at_floor) and at_floor["note"].str.contains("random circuits").all()
    assert (table.loc["elastic"]["verdict"] == "not measured").all()


def test_planned_seeds_are_judged_and_a_ninth_is_not(stored, numbers) -> None:
    counted = numbers.groupby("profile")["seed"].nunique()
    assert counted.to_dict() == stored.record["planned"]
    everyone = [(run.profile, run.seed) for run in of_sweep(stored, judged=False)]
    assert ("tiny", 8) in everyone and not any("shuffled" in name for name, _ in everyone)


def test_a_null_run_meets_the_gate_of_no_claim_about_learning(stored: SweepTables) -> None:
    nulls = [run.null for run in of_sweep(stored) if run.null is not None]
    assert nulls
    for claim in claims():
        if "learned" in claim.gates and claim.topic in ("acquisition", "phases"):
            numbers = pd.DataFrame([measure(run, claim) for run in nulls])
            assert (numbers["note"] != "").all(), claim.id


def _without(column: str):
    return lambda table: table.drop(columns=column)


@pytest.mark.parametrize(
    ("table", "column", "claim"),
    [("accuracy_read", "value", "sparse"), ("shift", "knee", "formation"),
     ("topology", "entropy_kept", "optimisation"), ("prior_knowledge", "accuracy", "sooner")],
)  # fmt: skip
def test_a_table_without_its_column_names_the_claim(table, column, claim, tmp_path) -> None:
    sweep = SweepTables.open(copy_of_sweep(tmp_path, table, _without(column)))
    with pytest.raises(KcError, match=f"'{claim}'.*{column}"):
        numbers_of(sweep)


def test_a_seed_that_a_table_lacks_is_missing_and_said_to_be(rows, tmp_path) -> None:
    def without_seed_3(table: pd.DataFrame) -> pd.DataFrame:
        return table[(table["profile"] != "tiny") | (table["seed"] != 3)]

    found = ledger(SweepTables.open(copy_of_sweep(tmp_path, "shift", without_seed_3)), "tiny")
    row = found.set_index("id").loc["formation"]
    assert row["n_seeds"] == 7 and "1 of 8" in row["note"]
    untouched = rows.query("id == 'sooner' and profile == 'tiny'").iloc[0]
    assert found.set_index("id").loc["sooner", "effect"] == untouched["effect"]


def test_one_changed_number_changes_the_effect_and_nothing_else(rows, tmp_path) -> None:
    def later(table: pd.DataFrame) -> pd.DataFrame:
        chosen = "profile == 'tiny' and seed == 3 and quantity == 'entropy_kept' and knee > 0"
        table.loc[table.query(chosen).index[0], "knee"] = math.nan
        return table

    found = ledger(SweepTables.open(copy_of_sweep(tmp_path, "shift", later)), "tiny")
    before = rows[rows["profile"] == "tiny"].set_index("id")["effect"]
    changed = before.compare(found.set_index("id")["effect"], align_axis=1).index
    assert "formation" in changed and not {"sooner", "sparse-random"} & set(changed)


@pytest.mark.parametrize(
    ("given", "instead", "named"),
    [("margin = 1.0", "margin = 0", "margin"), ('control = "strangers"', "", "control"),
     ('control = "strangers"', 'control = ""', "control"),
     ('reason = "It is made up."', "", "reason"), ('"above"', '"up"', "direction")],
)  # fmt: skip
def test_a_claim_without_margin_or_control_is_no_claim(given, instead, named) -> None:
    assert len(parse(ENTRY)) == 1
    with pytest.raises(KcError, match=f"{named}.*'made'"):
        parse(ENTRY.replace(given, instead))
    with pytest.raises(KcError, match="twice"):
        parse(ENTRY + ENTRY)


def test_models_are_compared_by_their_difference(numbers: pd.DataFrame) -> None:
    from scipy.stats import ttest_ind

    found = model_differences(numbers, "tiny-llama", "tiny").set_index("id")
    used = numbers[(numbers["note"] == "") & (numbers["id"] == "sooner")]
    sides = [used[used["profile"] == name]["effect"] for name in ("tiny-llama", "tiny")]
    low, high = ttest_ind(*sides, equal_var=False).confidence_interval()
    row = found.loc["sooner"]
    assert (row["low"], row["high"]) == pytest.approx((low, high))
    assert row["difference"] == pytest.approx(row["tiny-llama"] - row["tiny"])
    assert "elastic" not in found.index


def test_the_command_prints_what_the_ledger_says(rows: pd.DataFrame) -> None:
    asked = ["claims", "--json", "--main", "--profile", "tiny"]
    answer = CliRunner().invoke(app, asked)
    assert answer.exit_code == 0
    assert json.loads(answer.stdout) == entries(rows[rows["primary"] & (rows["profile"] == "tiny")])
