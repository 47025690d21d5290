"""Checks of a made-up world: each finds what was planted, and nothing where nothing is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from kc_utils.analysis.knowledge import chance_hit
from kc_utils.analysis.world import (
    blind_levels,
    broken_conditions,
    shared_values,
    written_templates,
)
from kc_utils.config import ATTRIBUTES
from kc_utils.errors import KcError


def people(n: int) -> pd.DataFrame:
    """``n`` people in two splits whose attributes were drawn independently."""
    rng = np.random.default_rng(3)
    table = {a: [f"{a}{i}" for i in rng.integers(5, size=n)] for a in ATTRIBUTES}
    split = ["discover" if i % 2 else "evaluate" for i in range(n)]
    return pd.DataFrame(
        {"person_id": range(n), "name": [f"N{i:03}" for i in range(n)], "split": split} | table
    )


def pairs(**changes: list) -> pd.DataFrame:
    """Two good pairs of one task, one in each split of :func:`people`."""
    columns = {
        "task": ["city"] * 2,
        "split": ["discover", "evaluate"],
        "person_id": [1, 2],
        "corrupted_person_id": [3, 4],
        "clean_ids": [[5, 6], [5, 6, 7]],
        "corrupted_ids": [[6, 5], [7, 6, 5]],
        "right_id": [10, 10],
        "wrong_id": [11, 12],
    }
    return pd.DataFrame(columns | changes)


def test_sentences_become_templates_again() -> None:
    somebody = people(1)
    row = somebody.iloc[0]
    text = f"{row['name']} lives in {row['city']}. At {row['company']} works {row['name']}."
    found = written_templates(pd.DataFrame({"person_id": [0], "text": [text]}), somebody)
    assert found == {"{name} lives in {value}", "At {value} works {name}"}


def test_good_pairs_break_no_condition() -> None:
    assert broken_conditions(pairs(), people(6))["pairs"].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("change", "condition"),
    [
        ({"corrupted_ids": [[6], [7, 6, 5]]}, "the prompts differ in length"),
        ({"corrupted_person_id": [1, 4]}, "the subject is paired with itself"),
        ({"wrong_id": [10, 12]}, "right and wrong share their first token"),
        ({"corrupted_person_id": [4, 4]}, "a person belongs to the other split"),
    ],
)
def test_a_broken_condition_is_counted(change, condition) -> None:
    broken = broken_conditions(pairs(**change), people(6)).set_index("condition broken")["pairs"]
    assert broken[condition] == 1 and broken.sum() == 1


def queries() -> pd.DataFrame:
    """Ten discover queries with the answers 1 (six times), 2 (three), 3; four evaluate ones."""
    split = ["discover"] * 10 + ["evaluate"] * 4
    right = [1] * 6 + [2] * 3 + [3] + [1, 1, 2, 4]
    ids = [[0] * (3 + i % 2) for i in range(14)]
    return pd.DataFrame({"task": "city", "split": split, "right_id": right, "clean_ids": ids})


def test_the_chance_of_hit_at_k_counts_on_other_people() -> None:
    assert chance_hit(queries(), 1) == pytest.approx(0.5)
    assert chance_hit(queries(), 2) == pytest.approx(0.75)
    assert chance_hit(queries(), 10) == pytest.approx(0.75)  # answer 4 was never found


def test_blind_levels_stand_in_one_row_per_task() -> None:
    both = pd.concat([queries(), queries().assign(task="company", right_id=1)])
    levels = blind_levels(both, 2, 100).set_index("task")
    assert levels["first tokens"].to_dict() == {"city": 4, "company": 1}
    assert levels.loc["city", "Hit@2, blind"] == pytest.approx(0.75)
    assert levels.loc["company", "Hit@1, blind"] == 1.0
    assert levels["Hit@2, uniform"].tolist() == [0.02, 0.02]
    assert levels["random pair: other length"].tolist() == pytest.approx([0.5, 0.5])
    assert levels.loc["company", "random pair: same first token"] == 1.0


def test_independent_attributes_are_shared_as_often_as_shuffled_ones() -> None:
    found = shared_values(people(120), "city", ["major", "company"], seed=0)
    assert found["other"].tolist() == ["major", "company"]
    assert found["rate"].between(0.1, 0.3).all() and (found["low"] < found["high"]).all()


def test_an_attribute_that_gives_another_away_is_seen() -> None:
    leaky = people(120)
    leaky["major"] = leaky["city"].str.replace("city", "major")
    (row,) = shared_values(leaky, "city", ["major"], seed=0).itertuples()
    assert row.rate == 1.0 > row.high


def test_people_who_share_nothing_cannot_be_compared() -> None:
    different = people(4).assign(major=["a", "b", "c", "d"])
    with pytest.raises(KcError, match="No two of 4 people share their major"):
        shared_values(different, "city", ["major"], seed=0)
