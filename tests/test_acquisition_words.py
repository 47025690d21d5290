"""What readers are told about relevance: nothing where known people are not known."""

import numpy as np
import pandas as pd
import pytest

from kc_utils.book import acquisition_words as words


def checked(accuracy: float) -> pd.DataFrame:
    return pd.DataFrame([{"n_people": 4, "n_questions": 40, "accuracy": accuracy, "chance": 0.12,
                          "known_share": 0.5, "passed": accuracy >= 0.9}])  # fmt: skip


PEOPLE = pd.DataFrame(
    {"person_id": range(4), "share": [1.0, 0.9, 0.4, 0.85], "known": [True, True, False, True]}
)


@pytest.mark.parametrize(
    ("accuracy", "expected", "absent"),
    [(0.97, "relevance can be judged", "nothing about relevance"),
     (0.4, "nothing about relevance is judged", "can be judged")],
)  # fmt: skip
def test_the_check_says_whether_relevance_can_be_judged(accuracy, expected, absent):
    said = words.prior_knowledge(checked(accuracy), PEOPLE).data
    assert expected in said and absent not in said
    assert f"**{accuracy:.2f}** of 40 questions" in said and "Of 4 people it knows **3**" in said
    assert "(at least 85% of what it is asked" in said
    assert "Nobody asked" in words.prior_knowledge(checked(1.0).iloc[:0], PEOPLE).data


def judged(n: int) -> pd.DataFrame:
    ids = [claim.id for claim in words.RELEVANCE]
    note = "" if n else "Not measured: the base model answers 0.40 of its facts on K_rel people."
    value = 0.1 if n else np.nan
    return pd.DataFrame({"id": ids, "value": value, "low": value - 0.05, "high": value + 0.05,
                         "margin": 0.02, "p_value": 0.01, "n": n, "units": "people", "note": note,
                         "verdict": "holds" if n else "not measured"})  # fmt: skip


def test_leads_are_a_table_or_the_reason_why_they_are_not_judged():
    assert len(words.RELEVANCE) == 4
    html = words.relevance_table(judged(60)).to_html()
    assert html.count("+0.100 (+0.050 to +0.150)") == 4 and "K_compl is at 0.3" in html
    assert "answers 0.40" in words.relevance_table(judged(0)).data
    partly = pd.concat([judged(60).iloc[:3], judged(0).iloc[3:]])
    assert words.relevance_table(partly).to_html().count("not measured") == 2


def groups(knee: float) -> pd.DataFrame:
    return pd.DataFrame({
        "kind": ["K_rel", "K_rel"], "band": ["high", "low"], "n_people": 20, "known": [1.0, 0.4],
        "half": [5.0, np.inf], "half_low": [5.0, 20.0], "half_high": [5.0, np.inf],
        "knee": [knee, np.nan], "n_knees": [3, 0], "n_circuits": 3,
    })  # fmt: skip


def test_groups_that_are_never_half_known_say_so():
    html = words.groups_table(groups(4.0)).to_html()
    assert "never (20.0 to never)" in html and "3 of 3" in html and "0 of 3" in html


def test_a_circuit_follows_or_it_cannot_be_said():
    row = pd.Series({"n_seeds": 3, "effect": 0.8, "effect_low": 0.5, "effect_high": 0.9,
                     "verdict": "holds", "note": ""})  # fmt: skip
    said = words.circuit_follows(row, groups(4.0)).data
    assert "**0.80 (0.50 to 0.90)**: *holds*" in said and "In 1 of 1 groups" in said
    assert "In 0 of 1 groups" in words.circuit_follows(row, groups(6.0)).data
    none = pd.Series({"n_seeds": 0, "note": "Not measured: too few checkpoints."})
    assert words.circuit_follows(none, groups(4.0)).data.startswith("Not measured")


def test_published_leads_name_the_model_that_has_none():
    said = words.published_leads({"gpt2": 0.22, "tinyllama": float("nan")}).data
    assert "0.22 (gpt2)" in said and "none (tinyllama: not at 0.3 within the curve)" in said
