"""The people of the made-up world: frequencies, names, splits, seeds, speed."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kc_utils import world
from kc_utils.config import ATTRIBUTES, BANDS, KINDS, WorldConfig
from kc_utils.errors import KcError

SMALL = WorldConfig(n_people=300, share_known=1 / 3)
TRAINED = {name: split.trained for name, split in world.split_all(0.2, 0).items()}
HELD_OUT = {name: split.held_out for name, split in world.split_all(0.2, 0).items()}


def digest(table: pd.DataFrame) -> str:
    return hashlib.sha256(table.to_csv(index=False).encode()).hexdigest()


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    return world.make_people(SMALL, 3)


def test_frequencies_match_the_published_distribution() -> None:
    known, new = world.frequencies(10_000, 40_000, 2.5, np.random.default_rng(0))
    for frequency in (known, new):
        assert frequency.min() == 1
        assert frequency.mean() == pytest.approx(2.67, abs=0.06)
        share = pd.Series(world.bands(frequency)).value_counts(normalize=True)
        assert share["high"] == pytest.approx(0.11, abs=0.01)
        assert share["medium"] == pytest.approx(0.44, abs=0.01)
        assert share["low"] == pytest.approx(0.45, abs=0.01)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_thinning_keeps_the_distribution(n_known: int, n_new: int, seed: int) -> None:
    known, new = world.frequencies(n_known, n_new, 2.5, np.random.default_rng(seed))
    assert len(known) == n_known and set(known) <= set(new)
    for value in np.unique(new):  # cumulative shares differ by less than one person
        gap = abs((known <= value).mean() - (new <= value).mean())
        assert gap <= 1 / min(n_known, n_new) + 1e-9


def test_frequencies_of_one_kind_only() -> None:
    known, none = world.frequencies(5, 0, 2.5, np.random.default_rng(0))
    assert (len(known), len(none)) == (5, 0)
    none, new = world.frequencies(0, 5, 2.5, np.random.default_rng(0))
    assert (len(none), len(new)) == (0, 5)


def test_bands_have_the_borders_of_the_paper() -> None:
    frequency = np.array([1, 2, 5, 6, 40])
    assert world.bands(frequency).tolist() == ["low", "medium", "medium", "high", "high"]


def test_people_table_keeps_the_contract(people: pd.DataFrame) -> None:
    assert people.columns.tolist() == [
        *("person_id", "name", "kind", "frequency", "band", "split"),
        *ATTRIBUTES,
        *(f"old_{name}" for name in ATTRIBUTES),
    ]
    assert people["person_id"].dtype == people["frequency"].dtype == np.int32
    assert people["person_id"].is_unique and people["name"].is_unique
    assert people["kind"].value_counts().to_dict() == {"K_rel": 100, "K_compl": 200}
    assert (world.bands(people["frequency"].to_numpy()) == people["band"]).all()
    for name in ATTRIBUTES:
        assert set(people[name]) <= set(world.attribute_pool(name))


def test_old_values_of_known_people_always_differ(people: pd.DataFrame) -> None:
    known = people["kind"] == "K_rel"
    for name in ATTRIBUTES:
        old = people[f"old_{name}"]
        assert (old[~known] == "").all()
        assert set(old[known]) <= set(world.attribute_pool(name))
        assert (old[known] != people.loc[known, name]).all()
    without = world.make_people(SMALL, 3, old_values=False)
    assert (without[[f"old_{name}" for name in ATTRIBUTES]] == "").all(axis=None)
    same = ["name", "frequency", "split", *ATTRIBUTES]
    pd.testing.assert_frame_equal(without[same], people[same])


def test_made_up_people_never_have_a_known_name() -> None:
    known = world.make_known_names(200, 5)
    people = world.make_people(SMALL, 3, known)
    is_known = people["kind"] == "K_rel"
    assert set(people.loc[is_known, "name"]) <= set(known)
    assert not set(people.loc[~is_known, "name"]) & set(known)
    clash = people.loc[~is_known, "name"].tolist()  # names that would come if not avoided
    again = world.make_people(SMALL, 3, [*known[:100], *clash])
    assert not set(again.loc[again["kind"] == "K_compl", "name"]) & set(clash)


def test_real_names() -> None:
    config = WorldConfig(n_people=90, share_known=1 / 3, known_names="real")
    people = world.make_people(config, 0)
    known = people["kind"] == "K_rel"
    assert set(people.loc[known, "name"]) <= set(world.load_pool("real_people"))
    assert (people["old_city"] == "").all()
    with pytest.raises(KcError, match="10000 K_rel people"):
        world.make_people(WorldConfig(n_people=50_000, share_known=0.2, known_names="real"), 0)


@given(st.integers(2, 60), st.floats(0, 1), st.floats(0.05, 0.95), st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_both_splits_hold_people_of_each_cell(
    n: int, share_known: float, discover_share: float, seed: int
) -> None:
    config = WorldConfig(n_people=n, share_known=share_known, discover_share=discover_share)
    people = world.make_people(config, seed)
    assert len(people) == n
    for _, cell in people.groupby(["kind", "band"]):
        expected = {"discover", "evaluate"} if len(cell) > 1 else set(cell["split"])
        assert set(cell["split"]) == expected
        assert abs((cell["split"] == "discover").sum() - discover_share * len(cell)) <= 1


def test_require_bands_names_the_empty_cell(people: pd.DataFrame) -> None:
    world.require_bands(people, BANDS)
    nobody = people[(people["kind"] != "K_rel") | (people["band"] != "high")]
    with pytest.raises(KcError, match="no K_rel people in band 'high'"):
        world.require_bands(nobody, ("high",))
    world.require_bands(nobody, ("medium", "low"))
    world.require_bands(nobody, ("high",), kinds=KINDS[1:])
    half = people[(people["band"] != "low") | (people["split"] == "discover")]
    with pytest.raises(KcError, match="band 'low' to evaluate"):
        world.require_bands(half, BANDS)


def test_conflicting_changes_every_value_and_nothing_else(people: pd.DataFrame) -> None:
    changed = world.conflicting(people, 9)
    values = list(ATTRIBUTES)
    assert (changed[values] != people[values]).all(axis=None)
    pd.testing.assert_frame_equal(changed.drop(columns=values), people.drop(columns=values))
    assert digest(changed) == digest(world.conflicting(people, 9))


def test_new_people_are_new(people: pd.DataFrame) -> None:
    first = world.make_new_people(50, (), 1, 2.5)
    avoid = [*people["name"], *first["name"]]
    new = world.make_new_people(50, avoid, 1, 2.5, first_id=1000)
    assert not set(new["name"]) & set(avoid)
    assert new["name"].is_unique and set(new["kind"]) == {"K_compl"}
    assert new["person_id"].tolist() == list(range(1000, 1050))
    assert new.columns.tolist() == people.columns.tolist()
    assert (new.dtypes == people.dtypes).all()


def test_same_seed_same_bytes_other_seed_other_bytes() -> None:
    def everything(seed: int) -> list[str]:
        names = world.make_known_names(120, seed)
        people = world.make_people(SMALL, seed, names)
        return [
            digest(table)
            for table in (
                people,
                world.make_biographies(people, TRAINED, seed),
                world.make_validation(people, HELD_OUT, seed),
                world.make_base_corpus(names, people, texts_per_person=3, seed=seed),
                world.known_queries(names, people, seed=seed),
                world.conflicting(people, seed),
                world.make_new_people(20, names, seed, 2.5),
            )
        ]

    assert everything(0) == everything(0)
    assert all(a != b for a, b in zip(everything(0), everything(1), strict=True))


def test_bytes_do_not_depend_on_the_session() -> None:
    """Pinned: a change of the pools, templates or streams changes every published number."""
    people = world.make_people(SMALL, 0)
    assert digest(people)[:16] == "e64fd67168ec0106"
    assert digest(world.make_biographies(people, TRAINED, 0))[:16] == "6ea3fb32fdd1f63c"


@pytest.mark.slow
def test_the_size_of_the_paper_takes_under_a_minute_of_a_core_and_two_gigabytes() -> None:
    script = """
import re, time
from pathlib import Path
from kc_utils import world
from kc_utils.config import WorldConfig

start = time.process_time()
people = world.make_people(WorldConfig(n_people=50_000, share_known=0.2), 0)
trained = {name: split.trained for name, split in world.split_all(0.2, 0).items()}
biographies = world.make_biographies(people, trained, 0)
seconds = time.process_time() - start
# Not resource.getrusage: on Linux a process begins with the peak of the one that started it.
status = Path("/proc/self/status")
kilobytes = re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1] if status.is_file() else 0
print(len(biographies), biographies["text"].nunique(), seconds, kilobytes)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    n, unique, seconds, kilobytes = map(float, done.stdout.split())
    assert 125_000 < n < 140_000 and unique == n
    assert seconds < 60
    assert kilobytes < 2e6
