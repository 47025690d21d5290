"""Pairs of prompts: equal lengths, different answers, and people who are never shared."""

from __future__ import annotations

import pandas as pd
import pytest

from kc_utils.config import profiles
from kc_utils.errors import KcError
from kc_utils.models.tokenizers import train_bpe
from kc_utils.study.stages.world import known_names, world_people
from kc_utils.world import make_base_corpus, query_prompt
from kc_utils.world.prompts import make_pairs, make_queries

SETTINGS = profiles.load("smoke")
CELL = ["task", "kind", "band", "split", "wording"]


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    return world_people(SETTINGS)


@pytest.fixture(scope="module")
def tokenizer(people):
    names = known_names(SETTINGS)
    corpus = make_base_corpus(names, people, texts_per_person=2, seed=0)
    return train_bpe([*corpus["text"], *people["name"], *people["city"]], 900)


@pytest.fixture(scope="module")
def pairs(people, tokenizer) -> pd.DataFrame:
    return make_pairs(
        people, tokenizer, tasks=["city", "company"], n_pairs=10, min_fellows=0, seed=0
    )


def test_a_pair_has_one_length_two_people_and_two_answers(pairs) -> None:
    same_length = pairs["clean_ids"].map(len) == pairs["corrupted_ids"].map(len)
    assert same_length.all()
    assert (pairs["person_id"] != pairs["corrupted_person_id"]).all()
    assert (pairs["right_id"] != pairs["wrong_id"]).all()


def test_ids_are_what_the_tokenizer_gives_and_the_answer_follows(pairs, tokenizer) -> None:
    for row in pairs.sample(40, random_state=0).itertuples():
        assert list(row.clean_ids) == tokenizer(row.clean).input_ids
        whole = tokenizer(f"{row.clean} {row.right}").input_ids
        assert whole[len(row.clean_ids)] == row.right_id


def test_subject_span_decodes_to_the_name(pairs, people, tokenizer) -> None:
    names = people.set_index("person_id")["name"]
    for row in pairs.sample(40, random_state=1).itertuples():
        span = row.clean_ids[row.subject_start : row.subject_stop]
        assert tokenizer.decode(span).strip() == names[row.person_id]


def test_discovery_and_evaluation_share_nobody(pairs) -> None:
    def who(split: str) -> set:
        part = pairs[pairs["split"] == split]
        return set(part["person_id"]) | set(part["corrupted_person_id"])

    assert not who("discover") & who("evaluate")


def test_held_out_wording_is_another_text(pairs) -> None:
    assert query_prompt("city", "trained") != query_prompt("city", "held_out")
    trained = set(pairs.loc[pairs["wording"] == "trained", "clean"])
    assert not trained & set(pairs.loc[pairs["wording"] == "held_out", "clean"])


def test_no_pair_twice_and_no_more_than_asked(pairs) -> None:
    assert not pairs.duplicated([*CELL, "person_id", "corrupted_person_id"]).any()
    assert pairs.groupby(CELL).size().max() <= 10


def test_same_seed_same_pairs_other_seed_other_pairs(people, tokenizer, pairs) -> None:
    def again(seed: int) -> pd.DataFrame:
        return make_pairs(
            people, tokenizer, tasks=["city", "company"], n_pairs=10, min_fellows=0, seed=seed
        )

    pd.testing.assert_frame_equal(again(0), pairs)
    assert again(1)["clean"].tolist() != pairs["clean"].tolist()


def test_too_few_fellows_is_an_empty_band(people, tokenizer) -> None:
    with pytest.raises(KcError, match=r"empty.*circuit\.min_fellows"):
        make_pairs(people, tokenizer, tasks=["city"], n_pairs=10, min_fellows=500, seed=0)


def test_few_fellows_are_dropped(people, tokenizer) -> None:
    queries = make_queries(people.query("kind == 'K_rel'"), "city", "trained", tokenizer)
    lengths = pd.Series([q.subject for q in queries]).value_counts()
    assert lengths.min() < lengths.max(), "the control needs rare and common lengths"
