"""Kinds of relevance: who is known to which degree, the experiment at smoke size, its figures."""

from __future__ import annotations

import hashlib
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kc_utils import plots
from kc_utils.config import ATTRIBUTES, profiles
from kc_utils.errors import KcError
from kc_utils.runs.folder import Run
from kc_utils.runs.stage import Workspace
from kc_utils.study.experiments.relevance import stage
from kc_utils.study.experiments.relevance.four_kinds import (
    TAUGHT,
    make_relevance_people,
    relevance_corpus,
    relevance_queries,
    words,
)
from kc_utils.world import known_queries, make_base_corpus

pytestmark = pytest.mark.slow

SEEDS = st.integers(0, 2**31)
PEOPLE = st.integers(15, 60)
WORLD = settings(max_examples=8, deadline=None)


def named(people: pd.DataFrame, *kinds: str) -> pd.Series:
    return people.loc[people["kind_of_relevance"].isin(kinds), "name"]


def corpus_of(people: pd.DataFrame, seed: int) -> pd.DataFrame:
    return relevance_corpus(people, texts_per_person=3, sentences_per_text=5, seed=seed)


@given(seed=SEEDS, n=PEOPLE)
@WORLD
def test_no_word_of_an_unknown_name_is_in_a_base_text(seed: int, n: int) -> None:
    people = make_relevance_people(n, 2.5, seed)
    said = words(corpus_of(people, seed)["text"])
    assert not words(named(people, "unknown")) & said
    assert words(named(people, "same")) <= said  # the control: these would be found


@given(seed=SEEDS, n=PEOPLE)
@WORLD
def test_tokens_people_are_known_by_their_parts_only(seed: int, n: int) -> None:
    people = make_relevance_people(n, 2.5, seed)
    text = "\n".join(corpus_of(people, seed)["text"])
    tokens = named(people, "tokens")
    assert words(tokens) <= words([text])
    assert not [name for name in tokens if name in text]
    assert all(name in text for name in named(people, "same", "other"))


@given(seed=SEEDS, n=PEOPLE)
@WORLD
def test_kinds_differ_in_nothing_but_what_is_known(seed: int, n: int) -> None:
    people = make_relevance_people(n, 2.5, seed)
    by_pair = people.pivot(index="pair", columns="kind_of_relevance", values="frequency")
    assert by_pair.shape == (n, 4)
    assert (by_pair.nunique(axis=1) == 1).all()
    assert people["name"].is_unique
    parts = people["name"].str.split()
    assert parts.explode().value_counts().max() <= 3
    assert all(len(set(a) & set(b)) <= 1 for a, b in combinations(parts, 2))


@given(seed=SEEDS)
@WORLD
def test_same_people_alone_have_old_values_which_base_texts_tell(seed: int) -> None:
    people = make_relevance_people(15, 2.5, seed)
    same = people["kind_of_relevance"] == "same"
    for name in ATTRIBUTES:
        assert (people.loc[same, f"old_{name}"] != people.loc[same, name]).all()
        assert (people.loc[~same, f"old_{name}"] == "").all()
    asked = relevance_queries(people, seed)
    told = corpus_of(people, seed).groupby("name")["text"].agg(" ".join)
    ours = asked[asked["relation"].isin(ATTRIBUTES)]
    assert set(ours["name"]) == set(people.loc[same, "name"])
    by_name = people.set_index("name")
    for row in asked.itertuples():
        assert row.answer in told[row.name] or row.relation in ATTRIBUTES
    for row in ours.itertuples():
        assert row.answer == by_name.loc[row.name, f"old_{row.relation}"]


def orders(corpus: pd.DataFrame, queries: pd.DataFrame) -> np.ndarray:
    """In which order the five relations come in each text; int [texts, 5]."""
    answers = queries.groupby("name", sort=False)["answer"].agg(list)
    places = [
        [text.find(f" {answer}") for answer in answers[name]]
        for text, name in zip(corpus["text"], corpus["name"], strict=True)
    ]
    return np.argsort(places, axis=1)


def test_the_two_kinds_of_base_texts_are_independent() -> None:
    people = make_relevance_people(40, 2.5, 0)
    found = orders(corpus_of(people, 0), relevance_queries(people, 0))
    one, two = np.split(found[:, 0], 2)
    assert (one == two).mean() < 0.35
    shared = []  # the control: with one seed for both, relations come in the same order
    for kind in TAUGHT:
        part = people[people["kind_of_relevance"] == kind]
        who = {"names": part["name"].tolist(), "people": part, "relations": kind, "seed": 0}
        shared.append(orders(make_base_corpus(**who), known_queries(**who))[:, 0])
    assert (shared[0] == shared[1]).mean() > 0.9


def test_the_same_seed_gives_the_same_bytes() -> None:
    def digest(seed: int) -> str:
        people = make_relevance_people(20, 2.5, seed)
        return hashlib.sha256(
            (people.to_csv() + corpus_of(people, seed).to_csv()).encode()
        ).hexdigest()

    assert digest(4) == digest(4)
    assert digest(4) != digest(5)


@pytest.mark.parametrize("n", [3, 14, 181])
def test_impossible_numbers_of_people_are_one_sentence(n: int) -> None:
    with pytest.raises(KcError, match=rf"people_per_kind = {n} .*allowed are 15 to 180"):
        make_relevance_people(n, 2.5, 0)


@pytest.mark.parametrize("vocabulary", [600, 4096])
def test_no_kind_of_name_is_split_into_more_tokens(vocabulary: int) -> None:
    changes = ["relevance.people_per_kind=45", f"model.vocab_size={vocabulary}"]
    chosen = profiles.load("smoke", changes)
    texts = stage.make_texts(chosen)
    tokenizer = stage.make_tokenizer(texts, chosen)
    length = texts.people["name"].map(lambda name: len(tokenizer(f" {name}").input_ids))
    means = length.groupby(texts.people["kind_of_relevance"]).mean()
    assert means.max() - means.min() < 0.1 * means.mean()
    if vocabulary == 4096:
        assert (length == 3).all()


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The experiment at smoke size, without any other stage."""
    run = Run.create(tmp_path_factory.mktemp("relevance") / "run", profiles.load("smoke"))
    stage.compute(Workspace(run, "relevance", "key"))
    return run


def test_the_tables_of_the_experiment(done: Run) -> None:
    curves, people = done.table("relevance"), done.table("relevance_people")
    n = done.config.relevance.people_per_kind
    assert sorted(curves["epoch"].unique()) == [0, 1, 2]
    every = curves[curves["band"] == "all"]
    assert (every["n_people"] == n).all()
    assert len(every) == 3 * 4 * 2
    bands = curves[curves["band"] != "all"].groupby(["epoch", "kind_of_relevance", "wording"])
    assert (bands["n_people"].sum() == n).all()
    told = curves["kind_of_relevance"] == "same"
    assert curves.loc[told, "old_answer"].notna().all()
    assert curves.loc[~told, "old_answer"].isna().all()
    assert len(people) == 4 * n * 2
    later = every[every["epoch"] > 0].groupby(["kind_of_relevance", "wording"])["accuracy"].mean()
    area = people.groupby(["kind_of_relevance", "wording"])["area"].mean()
    assert np.allclose(area, later[area.index])
    assert sum(done.table_path(t).stat().st_size for t in ("relevance", "relevance_people")) < 3e4


def test_only_taught_people_are_asked_about(done: Run) -> None:
    known = done.table("relevance_known")
    assert known.groupby("kind_of_relevance")["relation"].nunique().to_dict() == {
        "other": 5,
        "same": 5,
    }
    assert known["accuracy"].between(0, 1).all()


def test_a_model_that_is_not_made_here_is_refused(done: Run) -> None:
    settings_ = profiles.load("smollm2-mini")
    run = Run(done.path, {"config": settings_.model_dump(mode="json"), "stages": {}})
    with pytest.raises(KcError, match=r"model.source = 'package'.*allowed is made"):
        stage.compute(Workspace(run, "relevance", "key"))


def sweep(table: pd.DataFrame, seeds: int, profiles_: tuple[str, ...] = ("tiny",)) -> pd.DataFrame:
    return pd.concat(
        [table.assign(profile=p, seed=s) for p in profiles_ for s in range(seeds)],
        ignore_index=True,
    )


@pytest.mark.parametrize(("seeds", "names"), [(1, ("tiny",)), (3, ("tiny", "tiny-llama"))])
def test_figures_of_one_and_of_several_runs(done: Run, seeds: int, names: tuple[str, ...]) -> None:
    curves = done.table("relevance").query("band == 'all'").drop(columns="band")
    several, people = (
        sweep(curves, seeds, names),
        sweep(done.table("relevance_people"), seeds, names),
    )
    for draw, table in (
        (plots.relevance_curves, several), (plots.relevance_areas, people),
        (plots.old_answers, several),
    ):  # fmt: skip
        figure = draw(table)
        assert len(figure.axes) == 2 * len(names)
        words_ = " ".join(text.get_text() for text in figure.legends[0].get_texts())
        assert ("over seeds" in words_) == (seeds > 1)


def test_the_same_areas_give_the_same_figure(done: Run) -> None:
    people = done.table("relevance_people").query("wording == 'trained'")
    first, second = (plots.svg_bytes(plots.relevance_areas(people)) for _ in range(2))
    assert first == second


def test_curves_of_several_bands_are_refused(done: Run) -> None:
    with pytest.raises(KcError, match="choose one value of step, band"):
        plots.relevance_curves(done.table("relevance"))
