"""The ledger as a whole, and the resampling that its claims share."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import shift_tables
from claims_tables import TableRun, make

from kc_utils import plots
from kc_utils.analysis.stats.intervals import Interval, permutation_test
from kc_utils.analysis.stats.resample import NotMeasured, contrast, over_cells, ratio, swapped
from kc_utils.study.claims.claim import BOOK, COLUMNS, ELSEWHERE, PAPER
from kc_utils.study.claims.margins import margins
from kc_utils.study.claims.verdicts import NOT_MEASURED, VERDICTS, verdict
from kc_utils.study.ledger import CLAIMS, EXPERIMENT_CLAIMS, ledger

pytestmark = pytest.mark.slow

EVERY = (*CLAIMS, *EXPERIMENT_CLAIMS)


def world() -> TableRun:
    """A run with all tables: circuits as claimed, people who are known, knees where they belong."""
    tables = make(1.0) | shift_tables.make(1.0)
    read = tables["first_token"].query("wording == 'trained'")
    read = read.assign(wording="read", epoch=read["step"] / 10)
    return TableRun(tables | {"first_token_read": read})


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return ledger(world())


def test_every_claim_has_one_margin_with_a_reason_and_every_margin_a_claim():
    ids = [claim.id for claim in EVERY]
    assert len(ids) == len(set(ids)) and set(ids) == set(margins())
    assert all(len(m.reason) < 110 and m.reason.endswith(".") for m in margins().values())


def test_it_is_clear_who_claims_what_and_what_to_read_first():
    assert {claim.claimed_by for claim in EVERY} == {PAPER, ELSEWHERE, BOOK}
    main = [claim for claim in CLAIMS if claim.main]
    assert 10 <= len(main) <= 15
    assert not any(claim.exploratory for claim in EVERY)


def test_the_table_is_complete_reproducible_and_can_be_judged_again(table):
    assert list(table.columns) == list(COLUMNS)
    assert table["id"].tolist() == [claim.id for claim in CLAIMS]
    pd.testing.assert_frame_equal(table, ledger(world()))
    assert set(table["verdict"]) <= set(VERDICTS)
    for row in table.to_dict("records"):
        gap = Interval(row["difference"], row["difference_low"], row["difference_high"])
        again = verdict(gap, direction=row["direction"], margin=row["margin"])
        assert again == row["verdict"], row["id"]


def test_what_is_not_measured_says_why(table):
    silent = table[(table["verdict"] == NOT_MEASURED) & table["value"].isna()]
    assert silent["note"].str.startswith("Not measured: ").all()


def test_words_fit_the_figure(table):
    assert table["claim"].str.len().max() <= 74
    assert table["quantity"].str.len().max() <= 40
    assert table["control"].str.len().max() <= 31
    words = ("claim", "paper", "quantity", "control", "test", "notebook", "topic")
    assert (table[list(words)].map(len) > 0).all().all()
    texts = {t.get_text() for t in plots.claims_table(table).texts}
    assert not any("..." in text for text in texts)


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
