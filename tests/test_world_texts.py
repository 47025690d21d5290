"""What is written about the people: biographies and base texts."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kc_utils import world
from kc_utils.config import ATTRIBUTES, WorldConfig
from kc_utils.errors import KcError

SMALL = WorldConfig(n_people=300, share_known=1 / 3)
TRAINED = {name: split.trained for name, split in world.split_all(0.2, 0).items()}
HELD_OUT = {name: split.held_out for name, split in world.split_all(0.2, 0).items()}
STARTS = [f"{name}_start" for name in ATTRIBUTES]


def offsets_are_right(people: pd.DataFrame, biographies: pd.DataFrame) -> bool:
    rows = biographies.merge(people[["person_id", *ATTRIBUTES]], on="person_id")
    return len(rows) == len(biographies) and all(
        text[start : start + len(value)] == value and text[start - 1] == " "
        for name in ATTRIBUTES
        for text, start, value in zip(rows["text"], rows[f"{name}_start"], rows[name], strict=True)
    )


def sentences(text: str) -> list[str]:
    return [part if part.endswith(".") else part + "." for part in re.split(r"(?<=\.) ", text)]


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    return world.make_people(SMALL, 3)


@pytest.fixture(scope="module")
def biographies(people: pd.DataFrame) -> pd.DataFrame:
    return world.make_biographies(people, TRAINED, 3)


def test_biographies_keep_the_contract(people: pd.DataFrame, biographies: pd.DataFrame) -> None:
    assert biographies.columns.tolist() == ["person_id", "exposure", "text", *STARTS]
    assert all(biographies[c].dtype == np.int32 for c in ["person_id", "exposure", *STARTS])
    counts = biographies.groupby("person_id").size()
    assert counts.tolist() == people["frequency"].tolist()
    assert (biographies.groupby("person_id")["exposure"].max() == counts - 1).all()


def test_values_stand_where_the_table_says(people: pd.DataFrame, biographies: pd.DataFrame) -> None:
    assert offsets_are_right(people, biographies)
    shifted = biographies.assign(city_start=biographies["city_start"] + 1)
    assert not offsets_are_right(people, shifted)
    assert not offsets_are_right(world.conflicting(people, 0), biographies)


def test_each_exposure_is_another_biography(biographies: pd.DataFrame) -> None:
    assert biographies["text"].is_unique
    words = biographies["text"].map(lambda text: tuple(sorted(sentences(text))))
    repeated = pd.DataFrame({"person": biographies["person_id"], "words": words}).duplicated()
    assert not repeated.any()  # not just the same sentences in another order


def test_sentences_come_in_every_order(biographies: pd.DataFrame) -> None:
    orders = {tuple(row) for row in biographies[STARTS].to_numpy().argsort(axis=1).tolist()}
    assert len(orders) > 100


def test_a_biography_is_one_sentence_per_attribute_from_the_templates(
    people: pd.DataFrame, biographies: pd.DataFrame
) -> None:
    person = people.loc[people["frequency"].idxmax()]
    own = biographies.loc[biographies["person_id"] == person["person_id"], "text"]
    possible = {
        name: {
            text.replace("{name}", person["name"]).replace("{value}", person[name])
            for text in TRAINED[name]
        }
        for name in ATTRIBUTES
    }
    for text in own:
        parts = set(sentences(text))
        assert len(parts) == len(ATTRIBUTES)
        assert all(len(parts & possible[name]) == 1 for name in ATTRIBUTES)


@given(
    st.integers(0, 2**31),
    st.lists(st.integers(1, 46), min_size=5, max_size=5),
    st.lists(st.integers(1, 60), min_size=1, max_size=6),
)
@settings(max_examples=25, deadline=None)
def test_any_templates_and_frequencies_give_right_and_different_texts(
    seed: int, sizes: list[int], frequency: list[int]
) -> None:
    people = world.make_new_people(len(frequency), (), seed, 2.5)
    people["frequency"] = np.array(frequency, dtype=np.int32)
    few = {name: world.load_templates(name)[:n] for name, n in zip(ATTRIBUTES, sizes, strict=True)}
    biographies = world.make_biographies(people, few, seed)
    assert offsets_are_right(people, biographies)
    assert biographies["text"].is_unique


def test_too_few_templates_are_refused() -> None:
    people = world.make_new_people(1, (), 0, 2.5)
    people["frequency"] = np.array([121], dtype=np.int32)
    one = {name: world.load_templates(name)[:1] for name in ATTRIBUTES}
    with pytest.raises(KcError, match="121 biographies"):
        world.make_biographies(people, one, 0)
    with pytest.raises(KcError, match="no template for city"):
        world.make_biographies(people, {**one, "city": ()}, 0)


def test_held_out_wordings_never_occur_in_training(
    people: pd.DataFrame, biographies: pd.DataFrame
) -> None:
    validation = world.make_validation(people, HELD_OUT, 3)
    assert len(validation) == len(people) and offsets_are_right(people, validation)
    seen = {line for text in biographies["text"] for line in sentences(text)}
    assert not any(line in seen for text in validation["text"] for line in sentences(text))
    trained = world.make_validation(people, TRAINED, 3)
    assert any(line in seen for text in trained["text"] for line in sentences(text))
    assert not set(trained["text"]) & set(biographies["text"])


@pytest.mark.parametrize("relations", ["mixed", "other", "same"])
def test_base_texts_speak_of_what_is_asked(relations: str) -> None:
    names = world.make_known_names(40, 0)
    people = world.make_people(WorldConfig(n_people=30), 0, names)
    corpus = world.make_base_corpus(names, people, relations=relations, texts_per_person=6, seed=0)
    facts = world.known_facts(names, people, 0).set_index("name")
    assert corpus.columns.tolist() == ["text", "name", "person_id"]
    assert len(corpus) == 240 and corpus["person_id"].dtype == np.int32
    kinds = world.base_relations(relations)
    possible = {
        kind: {
            name: {
                text.replace("{name}", name).replace("{value}", facts.loc[name, kind])
                for text in (
                    world.load_relation(kind).templates
                    if kind in world.OTHER_RELATIONS
                    else world.load_base_templates(kind)
                )
            }
            for name in names
        }
        for kind in kinds
    }
    spoken = set()
    for text, name in zip(corpus["text"], corpus["name"], strict=True):
        found = [
            next(kind for kind in kinds if line in possible[kind][name]) for line in sentences(text)
        ]
        assert len(found) == len(set(found)) == 5  # no relation twice in a text
        spoken |= set(found)
    assert spoken == set(kinds)


def test_old_values_are_the_ones_of_the_people_table() -> None:
    names = world.make_known_names(40, 0)
    people = world.make_people(WorldConfig(n_people=30), 0, names)
    facts = world.known_facts(names, people, 0)
    known = people[people["kind"] == "K_rel"].set_index("person_id")
    inside = facts[facts["person_id"] >= 0].set_index("person_id").loc[known.index]
    assert len(known) == 10 and (facts["person_id"] == -1).sum() == 30
    assert (inside["name"] == known["name"]).all()
    for name in ATTRIBUTES:
        assert (inside[name] == known[f"old_{name}"]).all()
        assert (facts[name] != "").all()


def test_base_texts_without_old_values_are_refused() -> None:
    names = world.make_known_names(40, 0)
    people = world.make_people(WorldConfig(n_people=30), 0, names, old_values=False)
    with pytest.raises(KcError, match="has none"):
        world.make_base_corpus(names, people, relations="mixed", seed=0)
    other = world.make_base_corpus(names, people, relations="other", texts_per_person=1, seed=0)
    assert len(other) == 40


def test_more_sentences_than_relations() -> None:
    corpus = world.make_base_corpus(
        ["Ann Bo Cy"], relations="other", texts_per_person=3, sentences_per_text=12, seed=0
    )
    assert [len(sentences(text)) for text in corpus["text"]] == [12, 12, 12]


def test_known_queries_ask_for_what_the_corpus_says() -> None:
    names = world.make_known_names(5, 0)
    corpus = world.make_base_corpus(names, relations="mixed", texts_per_person=60, seed=4)
    queries = world.known_queries(names, relations="mixed", seed=4)
    assert queries.columns.tolist() == ["name", "relation", "prompt", "answer"]
    assert len(queries) == 50
    said = " ".join(corpus["text"])
    stated = [
        f"{prompt} {answer}." in said
        for prompt, answer in zip(queries["prompt"], queries["answer"], strict=True)
    ]
    assert np.mean(stated) > 0.9
    wrong = queries["answer"].sample(frac=1, random_state=0)
    false = [
        f"{prompt} {answer}." in said
        for prompt, answer in zip(queries["prompt"], wrong, strict=True)
    ]
    assert np.mean(false) < 0.3
