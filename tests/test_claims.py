"""The ledger says all three verdicts, and shuffled labels never make a claim hold."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from claims_tables import BANDS, KINDS, TableRun, make
from hypothesis import given, settings
from hypothesis import strategies as st

from kc_utils import plots
from kc_utils.analysis.stats.intervals import Interval, permutation_test
from kc_utils.analysis.stats.resample import NotMeasured, contrast, over_cells, ratio, swapped
from kc_utils.book.ledger_words import (
    changing_shift,
    counts,
    ledger_table,
    measured,
    narrowest,
    reason,
)
from kc_utils.errors import KcError
from kc_utils.study.claims.acquisition import placebo, relevance
from kc_utils.study.claims.claim import COLUMNS, point, rows, verdict
from kc_utils.study.ledger import CLAIMS, ledger

NULL = Interval(0.0, -0.02, 0.02)
EQUAL = [c.id for c in CLAIMS if c.direction == "equal"]


def judge(tables: dict[str, pd.DataFrame], *ids: str) -> pd.DataFrame:
    """The rows of a few claims, by id."""
    return rows(TableRun(tables), [c for c in CLAIMS if c.id in ids]).set_index("id")


@pytest.fixture(scope="module")
def true_world() -> pd.DataFrame:
    return ledger(TableRun(make(1.0))).set_index("id")


@pytest.fixture(scope="module")
def null_world() -> pd.DataFrame:
    return ledger(TableRun(make(0.0))).set_index("id")


@pytest.mark.parametrize(
    ("effect", "direction", "expected"),
    [
        (Interval(0.2, 0.1, 0.3), "above", "holds"),
        (Interval(0.2, 0.1, 0.3), "below", "does not hold"),
        (Interval(-0.2, -0.3, -0.1), "below", "holds"),
        (Interval(-0.2, -0.3, -0.1), "above", "does not hold"),
        (Interval(0.01, -0.01, 0.03), "above", "does not hold"),  # too small to matter
        (Interval(0.2, 0.01, 0.4), "above", "undecided"),  # touches the control
        (Interval(0.0, -0.4, 0.4), "above", "undecided"),  # wide: nothing is ruled out
        (Interval(0.04, 0.03, 0.06), "above", "undecided"),  # beyond the control, below the margin
        (Interval(0.01, -0.02, 0.03), "equal", "holds"),
        (Interval(0.2, 0.1, 0.3), "equal", "does not hold"),
        (Interval(-0.2, -0.3, -0.1), "equal", "does not hold"),
        (Interval(0.04, -0.02, 0.1), "equal", "undecided"),
        (Interval(0.0, math.nan, math.nan), "above", "undecided"),
        (Interval(0.0, math.nan, math.nan), "equal", "undecided"),
    ],
)
def test_the_rule(effect, direction, expected):
    assert verdict(effect, NULL, direction=direction, margin=0.05) == expected


def test_a_large_p_value_stops_a_claim_but_does_not_refute_it():
    effect = Interval(0.2, 0.1, 0.3)
    said = [verdict(effect, NULL, direction="above", margin=0.05, p_value=p) for p in (0.01, 0.05)]
    assert said == ["holds", "undecided"]


def test_a_missing_control_and_a_bad_margin_or_direction():
    effect = Interval(0.2, 0.1, 0.3)
    missing = Interval(math.nan, math.nan, math.nan)
    assert verdict(effect, missing, direction="above", margin=0.05) == "undecided"
    with pytest.raises(KcError, match="margin=0"):
        verdict(effect, NULL, direction="above", margin=0.0)


@settings(max_examples=80, deadline=None)
@given(*[st.floats(-1, 1)] * 6, st.floats(0.01, 0.5), st.floats(-5, 5))
def test_direction_and_origin_do_not_matter_and_the_control_itself_never_holds(
    a, b, c, d, e, f, margin, shift
):
    def interval(values, sign=1.0, by=0.0):
        low, mean, high = sorted(sign * v + by for v in values)
        return Interval(mean, low, high)

    def say(sign, direction, by=0.0):
        effect, control = interval((a, b, c), sign, by), interval((d, e, f), sign, by)
        return verdict(effect, control, direction=direction, margin=margin)

    said = say(1, "above")
    assert said == say(-1, "below")
    assert say(1, "equal") == say(-1, "equal")
    if said == "holds":
        assert say(1, "below") == "does not hold"
    control = interval((d, e, f))
    assert verdict(control, control, direction="above", margin=margin) != "holds"


def test_every_claim_holds_where_the_paper_is_right(true_world):
    assert list(true_world.index) == [c.id for c in CLAIMS]
    failed = true_world[true_world["verdict"] != "holds"]
    assert failed.empty, failed[["value", "low", "high", "control_low", "control_high", "note"]]


def test_no_claim_of_a_difference_holds_without_effects(null_world):
    assert not (null_world.drop(EQUAL)["verdict"] == "holds").any()
    refuted = null_world[null_world["verdict"] == "does not hold"].index
    assert {"phase-shift", "entropy-falls", "mover-all", "edges-stabilise"} <= set(refuted)


def test_claims_do_not_hold_where_the_opposite_is_true():
    said = ledger(TableRun(make(-1.0))).set_index("id")["verdict"]
    assert (said.drop(EQUAL) != "holds").all()
    assert {"relevant-trained", "deep-first", "edges-stabilise", "faithful"} <= set(
        said[said == "does not hold"].index
    )


def test_few_people_leave_claims_about_people_undecided():
    found = ledger(TableRun(make(0.5, people=5))).set_index("id")
    assert {"relevant-trained", "in-sample"} <= set(found[found["verdict"] == "undecided"].index)


def test_shuffled_type_labels_never_make_relevance_hold():
    tables = make(1.0)
    table = tables["first_token"]
    people = table.drop_duplicates("person_id").set_index("person_id")[["kind", "band"]]
    rng = np.random.default_rng(3)
    for _ in range(20):
        kinds = people.groupby("band")["kind"].transform(lambda k: rng.permutation(k.to_numpy()))
        shuffled = table.assign(kind=table["person_id"].map(kinds))
        found = relevance(TableRun(tables | {"first_token": shuffled}), "trained")
        said = verdict(
            found.effect, found.control, direction="above", margin=0.01, p_value=found.p_value
        )
        assert said != "holds"


def test_placebo_judges_shuffled_labels():
    found = placebo(TableRun(make(1.0)), n=10)
    assert len(found) == 10 and "holds" not in set(found["verdict"])
    assert found["value"].abs().max() < 0.08 and found["value"].nunique() > 1


def test_bands_of_unequal_size_do_not_pass_for_relevance():
    """K_rel people are in the high band more often, and inside bands nothing differs."""
    rng = np.random.default_rng(4)
    size = {("K_rel", "high"): 90, ("K_rel", "low"): 20, ("K_compl", "high"): 20,
            ("K_compl", "low"): 90}  # fmt: skip
    rows = [(k, b, rng.random(20).mean() + 0.4 * (b == "high")) for (k, b), n in size.items()
            for _ in range(n)]  # fmt: skip
    people = pd.DataFrame(rows, columns=["kind", "band", "value"])
    first = people["kind"] == "K_rel"
    assert people[first]["value"].mean() - people[~first]["value"].mean() > 0.2
    effect, control, p_value = contrast(people, first, ["band"], n=300, seed=0)
    assert abs(effect.mean) < 0.05 and effect.low < control.high and p_value > 0.05


def test_contrast_with_one_stratum_is_the_plain_permutation_test():
    rng = np.random.default_rng(5)
    people = pd.DataFrame({"value": rng.normal(size=60), "kind": ["K_rel", "K_compl"] * 30})
    people.loc[people["kind"] == "K_rel", "value"] += 0.4
    first = people["kind"] == "K_rel"
    effect, control, p_value = contrast(people, first, [], n=4000, seed=0)
    other = permutation_test(people["value"], first, alternative="greater", n=4000, seed=1)
    assert effect.mean == pytest.approx(other.difference)
    assert control.low == pytest.approx(other.null_low, abs=0.04)
    assert p_value == pytest.approx(other.p_value, abs=0.02)


def test_swapping_counts_every_assignment_of_signs():
    control, p_value = swapped([0.2, 0.3, 0.1], n=100, seed=0)
    assert p_value == 1 / 8 and control.mean == 0 and 0.1 < control.high == -control.low < 0.2
    assert swapped(np.full(12, 0.2), n=500, seed=0)[1] < 0.01
    assert swapped([0.3, -0.3], n=10, seed=0)[1] > 0.5


def test_few_cells_have_no_interval_and_repeated_cells_are_one():
    assert math.isnan(over_cells([1.0, 2.0, 3.0], n=50, seed=0).low)
    four = over_cells([1.0, 2.0, 3.0, math.nan, 4.0], n=50, seed=0)
    assert 1 <= four.low < four.mean == 2.5
    assert math.isnan(over_cells(np.arange(6.0), groups=[0, 0, 1, 1, 2, 2], n=50, seed=0).low)
    with pytest.raises(NotMeasured):
        over_cells([math.nan], n=50, seed=0)


def test_ratio_is_of_sums_and_covers_the_truth():
    rng = np.random.default_rng(6)
    below = rng.uniform(1, 3, 200)
    parts = pd.DataFrame({"above": 0.8 * below + 0.2 * rng.normal(size=200), "below": below})
    found, _ = ratio(parts, pd.Series(np.repeat(np.arange(100), 2)), n=300, seed=0)
    assert found.mean == pytest.approx(parts["above"].sum() / parts["below"].sum())
    assert found.low < 0.8 < found.high
    with pytest.raises(NotMeasured):
        ratio(parts.assign(below=0.0), pd.Series(np.arange(200)), n=10, seed=0)


def test_one_band_one_task_is_undecided_and_says_why():
    found = ledger(TableRun(make(1.0, bands=("high",), tasks=("city",)))).set_index("id")
    for name in ("frequent-circuit", "transfer-native", "phase-shift", "mover-all"):
        assert found.loc[name, "verdict"] == "undecided", name
    assert "low" in found.loc["frequent-accuracy", "note"]
    assert "one band" in found.loc["transfer-random", "note"]
    assert found.loc["relevant-trained", "verdict"] == "holds"


@pytest.mark.parametrize(
    ("table", "query", "claims"),
    [
        ("phase_shift", "quantity == 'none'", ["phase-shift", "phase-accuracy"]),
        ("topology", "step == 0", ["edges-stabilise", "nodes-steadier", "entropy-falls"]),
        ("forgetting_people", "variant == 'conflicting'", ["forgetting", "replay-returns"]),
        ("forgetting", "ratio > 0", ["circuit-bends"]),
        ("circuit_pairs", "circuit == 'own'", ["faithful"]),
        ("first_token", "kind == 'K_rel'", ["relevant-trained", "relevant-held-out"]),
        ("logit_lens", "step == 0", ["rank-falls", "onset-falls"]),
        ("centre_of_mass", "step >= 70", ["deep-first"]),
    ],
)
def test_missing_data_leave_a_row_with_the_reason(table, query, claims):
    tables = make(1.0)
    found = judge(tables | {table: tables[table].query(query)}, *claims)
    assert len(found) == len(claims)
    assert (found.loc[claims, "verdict"] == "undecided").all()
    assert found.loc[claims, "note"].str.startswith("Cannot be judged: ").all()
    assert found.loc[claims, "value"].isna().all()


def test_a_model_that_learned_nothing_makes_nothing_equal():
    tables = make(1.0)
    for name in ("circuit_pairs", "transfer_pairs"):
        tables[name]["rank"] = 99
    tables["forgetting_people"]["correct"] = 0.0
    found = judge(tables, "in-sample", "transfer-native", "forgetting")
    assert len(found) == 3 and (found["verdict"] == "undecided").all()
    assert found.loc["forgetting", "note"].startswith("Cannot be judged: accuracy")


@pytest.mark.parametrize(
    ("decision", "expected"), [("undecided", "undecided"), ("no bend", "does not hold")]
)
def test_undecided_fits_are_not_counted_as_absent_bends(decision, expected):
    tables = make(1.0)
    tables["phase_shift"]["decision"] = decision
    assert judge(tables, "phase-shift")["verdict"].tolist() == [expected]


def test_table_is_complete_reproducible_and_can_be_judged_again(true_world):
    table = true_world.reset_index()
    assert list(table.columns) == list(COLUMNS) and table["id"].is_unique
    pd.testing.assert_frame_equal(table, ledger(TableRun(make(1.0))))
    for row in table.to_dict("records"):
        effect = Interval(row["value"], row["low"], row["high"])
        control = Interval(row["control_value"], row["control_low"], row["control_high"])
        how = {name: row[name] for name in ("direction", "margin", "p_value")}
        assert verdict(effect, control, **how) == row["verdict"]
    assert point(1.0) == Interval(1.0, 1.0, 1.0)


def test_words_fit_the_figure(true_world):
    table = true_world.reset_index()
    assert table["claim"].str.len().max() <= 74
    assert table["quantity"].str.len().max() <= 40
    assert table["control"].str.len().max() <= 31
    words = ("claim", "paper", "quantity", "control", "test", "notebook", "topic", "units")
    assert (table[list(words)].map(len) > 0).all().all()
    texts = {t.get_text() for t in plots.claims_table(table).texts}
    assert not any("..." in text for text in texts)


def test_the_shift_that_changes_a_verdict_does_and_a_smaller_one_does_not(true_world, null_world):
    table = pd.concat([true_world, null_world]).dropna(subset=["low", "control_low"])
    for row in table.to_dict("records"):
        shift, said = changing_shift(row)
        assert said and said != row["verdict"]
        for share, expected in ((1.0, said), (0.98, row["verdict"])):
            moved = Interval(*(row[n] + share * shift for n in ("value", "low", "high")))
            control = Interval(*(row[f"control_{n}"] for n in ("value", "low", "high")))
            how = {name: row[name] for name in ("direction", "margin", "p_value")}
            assert verdict(moved, control, **how) == expected
    close = narrowest(table, 5)
    assert len(close) == 5 and close["half-widths"].is_monotonic_increasing


def test_reader_tables_say_what_was_found_and_wrap(true_world, null_world):
    html = ledger_table(true_world.reset_index()).to_html()
    assert "white-space: normal" in html and "Beyond the control." in html
    assert html.count("<tr>") == len(CLAIMS) + 1
    assert f"Of {len(CLAIMS)} claims **{len(CLAIMS)}** hold, **0** do not" in counts(true_world)
    missing = judge(make(1.0, bands=("high",)), "frequent-accuracy").to_dict("records")[0]
    assert measured(missing).endswith("not measured") and "no people of band low" in reason(missing)
    assert math.isnan(changing_shift(missing)[0])
    refuted = null_world.loc["mover-all"].to_dict()
    assert reason(refuted).startswith("An effect of 0.03 or more is ruled out.")


def test_kinds_and_bands_of_the_made_world():
    table = make(1.0)["first_token"]
    assert set(table["kind"]) == set(KINDS) and set(table["band"]) == set(BANDS)
