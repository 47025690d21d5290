"""What readers are told about onset and knee, of made-up tables with a known answer."""

import numpy as np
import pandas as pd
import pytest

from kc_utils.book import shift_words as words

CELLS = [("city", kind, band) for kind in ("K_rel", "K_compl") for band in ("high", "low")]
QUANTITIES = ("entropy", "entropy_kept", "edge_jaccard", "accuracy")


def shift(**knees: float) -> pd.DataFrame:
    """Every cell has the given knees, two epochs after the onset; NaN where none is given."""
    rows = []
    for quantity in QUANTITIES:
        knee = knees.get(quantity, np.nan)
        verdict = "onset and knee" if np.isfinite(knee) else "undecided"
        ends = {"onset": knee - 2, "onset_low": knee - 3, "onset_high": knee - 1,
                "knee": knee, "knee_low": knee - 0.5, "knee_high": knee + 0.5}  # fmt: skip
        rows += [
            dict(zip(words.CELL, cell, strict=True), quantity=quantity, verdict=verdict,
                 sharp=bool(np.isfinite(knee)), **ends)
            for cell in CELLS
        ]  # fmt: skip
    return pd.DataFrame(rows)


READ = pd.DataFrame(
    [(kind, band, epoch, 0.05 * epoch * (1 if band == "high" else 0.5))
     for _, kind, band in CELLS for epoch in range(17)],
    columns=["kind", "band", "epoch", "value"],
)  # fmt: skip


def topology() -> pd.DataFrame:
    frame = pd.DataFrame([(*cell, epoch) for cell in CELLS for epoch in (0.0, 8.0, 16.0)],
                         columns=[*words.CELL, "epoch"])  # fmt: skip
    return frame.assign(normalised_entropy_kept=0.9 - frame["epoch"] / 80,
                        normalised_entropy=0.8 - frame["epoch"] / 40)  # fmt: skip


def test_the_sentence_says_when_formation_begins_and_ends_and_what_is_known_then():
    table = shift(entropy_kept=7.0, edge_jaccard=6.0, accuracy=9.5)
    said = words.turning_points(table, READ).data
    assert "at epoch **7.0** of 16 (median of 4 cells" in said
    assert "at the onset, at epoch **5.0**" in said
    # 0.35 in the high band and half of it in the low one; 0.8 and 0.4 at the end.
    assert "stands at **0.26** at the knee and at 0.60 at the end" in said
    assert "edge similarity lies -1.0 epochs" in said and "accuracy lies +2.5 epochs" in said


def test_nothing_is_said_about_bends_that_are_not_decided():
    assert "No cell has a decided knee" in words.turning_points(shift(accuracy=5.0), READ).data
    alone = shift(entropy_kept=7.0)
    alone["onset"] = np.nan
    said = words.turning_points(alone, READ).data
    assert "no onset is decided" in said and "No cell has a knee of accuracy" in said


def test_kept_and_all_edges_are_compared_and_the_difference_is_named():
    said = words.kept_and_all(topology(), shift(entropy_kept=7.0, entropy=8.5)).data
    assert "from 0.90 to **0.70** over kept edges and from 0.80 to **0.40** over all" in said
    assert "4 of 4 cells have a knee over kept edges and 4 over all" in said
    assert "1.5 epochs apart" in said
    said = words.kept_and_all(topology(), shift(entropy_kept=7.0)).data
    assert "4 of 4 cells have a knee over kept edges and 0 over all, 0 have both." in said


def test_tables_hold_intervals_of_decided_bends_and_dashes_elsewhere():
    html = words.bends_table(shift(entropy_kept=7.0), "Bends").to_html()
    assert html.count("7.0 (6.5 to 7.5)") == 4 and html.count("5.0 (4.0 to 6.0)") == 4
    counts = words.verdict_table(shift(entropy_kept=7.0)).data.set_index("quantity")
    assert counts.loc["entropy kept", "onset and knee"] == 4
    assert counts.loc["accuracy", "undecided"] == 4


def test_a_run_with_too_few_checkpoints_says_so_everywhere():
    empty = shift().iloc[:0]
    for said in (
        words.bends_table(empty, ""), words.verdict_table(empty),
        words.turning_points(empty, READ),
    ):  # fmt: skip
        assert "at least 10 checkpoints" in said.data
    assert "knee" not in words.kept_and_all(topology(), empty).data


@pytest.mark.parametrize(("value", "expected"), [(0.95, "All 2 criteria are met."),
                                                 (0.4, "1 of 2 criteria are not met")])  # fmt: skip
def test_criteria_are_those_that_ask_for_something(value, expected):
    regime = pd.DataFrame(
        {"quantity": ["final accuracy", "base", "knee"], "kind": "all", "band": "low",
         "value": [value, 0.99, 7.0], "needed": [0.8, 0.9, np.nan],
         "passed": ["yes" if value >= 0.8 else "no", "yes", ""]}
    )  # fmt: skip
    said = words.criteria_met(regime).data
    assert expected in said
