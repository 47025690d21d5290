"""The paper's own data as a world: what is read, and a run that takes it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from published_clone import ENTITIES, POOLS, TEMPLATES, everybody, make_clone, with_world

from kc_utils.analysis.knowledge import pool_bits
from kc_utils.cli.world_commands import import_world as command
from kc_utils.config import ATTRIBUTES, profiles
from kc_utils.models.tokenizers import load_tokenizer
from kc_utils.runs.folder import Run
from kc_utils.study import imported_world
from kc_utils.study.imported_world import import_world
from kc_utils.study.launched import train_together
from kc_utils.study.pipeline import check
from kc_utils.study.stages import STAGES
from kc_utils.study.stages.forgetting import other_people
from kc_utils.study.stages.world import world_people
from kc_utils.world import make_biographies
from kc_utils.world.prompts import make_free_pairs, make_pairs, make_queries


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clone(tmp_path_factory.mktemp("clone"))


@pytest.fixture(scope="module")
def world(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("worlds") / "paper"
    import_world(clone, out)
    return out


# what is read


def test_people_are_those_of_the_clone(world: Path) -> None:
    people = world_people(with_world(world))
    published = {p["full_name"]: p for part in everybody().values() for p in part}
    assert len(people) == len(published) == 72
    for row in people.to_dict("records"):
        theirs = published[row["name"]]
        assert row["kind"] == {"revised": "K_rel", "new": "K_compl"}[theirs["type"]]
        assert row["frequency"] == int(theirs["frequency"])
        assert [row[name] for name in ATTRIBUTES] == [theirs[name] for name in ATTRIBUTES]
        known = row["kind"] == "K_rel"
        for name in ATTRIBUTES:  # what base texts taught is of the same pool, and another value
            assert (row[f"old_{name}"] != "") == known
            assert row[f"old_{name}"] != row[name]
    old = set(people["old_city"]) - {""}
    assert old <= set(POOLS["city"])


def test_who_is_asked_is_who_circuits_are_discovered_on(clone: Path, world: Path) -> None:
    people = world_people(with_world(world))
    lines = (clone / ENTITIES / "test.jsonl").read_text().splitlines()
    asked = {json.loads(line)["full_name"] for line in lines}
    assert set(people.loc[people["split"] == "discover", "name"]) == asked
    assert 0 < len(asked) < len(people)


def test_biographies_are_the_published_ones_and_values_stand_where_they_should(
    clone: Path, world: Path
) -> None:
    imported = imported_world.of(with_world(world))
    texts = imported.table("biographies").merge(imported.people, on="person_id")
    lines = (clone / ENTITIES / "train.jsonl").read_text().splitlines()
    assert sorted(texts["text"]) == sorted(json.loads(line)["text"] for line in lines)
    counts = texts.groupby("person_id").size()
    assert counts.tolist() == imported.people["frequency"].tolist()
    for row in texts.to_dict("records"):
        for name in ATTRIBUTES:
            start, value = row[f"{name}_start"], row[name]
            assert row["text"][start : start + len(value)] == value
            said = row["text"][max(row["text"].rfind(". ", 0, start), 0) : start + len(value) + 12]
            assert name in said or "As to" in said, "in the sentence about this attribute"
    law = texts[(texts["major"] == "Law") & (texts["university"] == "School of Law")]
    assert len(law), "a major inside the name of a university"
    inside = law["university_start"] + len("School of ")
    assert (law["major_start"] != inside).all()


def test_texts_that_name_the_value_first_are_written_too(world: Path) -> None:
    settings = with_world(world)
    people = world_people(settings)
    templates = {name: t.trained for name, t in imported_world.templates(settings).items()}
    assert any(t.index("{value}") < t.index("{name}") for t in templates["city"])
    texts = make_biographies(people, templates, 3).merge(people, on="person_id")
    for row in texts.to_dict("records"):
        for name in ATTRIBUTES:
            start = row[f"{name}_start"]
            assert row["text"][start : start + len(row[name])] == row[name]


def test_templates_are_all_trained_and_held_out_ones_are_our_own(world: Path) -> None:
    found = imported_world.templates(with_world(world))
    for stem, lines in TEMPLATES.items():
        name = "birthday" if stem == "birth" else stem
        ours = [t.replace("{full_name}", "{name}").replace(f"{{{name}}}", "{value}") for t in lines]
        assert list(found[name].trained) == ours
        assert found[name].held_out and not set(found[name].held_out) & set(ours)


def test_later_people_and_bits_are_of_the_same_pools(world: Path) -> None:
    settings = with_world(world, "forgetting.n_people=9")
    people, pools = world_people(settings), imported_world.pools(settings)
    new, changed = (other_people(people, v, settings) for v in ("new_people", "conflicting"))
    assert set(new["company"]) <= set(POOLS["company"])
    assert not set(new["name"]) & set(people["name"])
    assert new["name"].str.split(" ").str[0].isin(POOLS["first_name"]).all()
    before = people.set_index("person_id").loc[changed["person_id"]]
    assert (changed["city"].to_numpy() != before["city"].to_numpy()).all()
    assert set(changed["city"]) <= set(POOLS["city"])
    assert pool_bits("city", pools) == np.log2(len(POOLS["city"]))
    assert len(pools["birthday"]) == 3 * 2 * 2


def test_published_partners_serve_the_model_that_they_were_made_for(
    world: Path, smoke_run: Path
) -> None:
    settings = with_world(world)
    assert imported_world.partners(settings) is None, "a model that is made here"
    folder = {"source": "folder", "path": "somewhere/toy-model"}
    named = settings.model_copy(update={"model": settings.model.model_copy(update=folder)})
    partners = imported_world.partners(named)
    assert partners is not None and len(partners) == 36
    people = world_people(settings)
    tokenizer = load_tokenizer(smoke_run / "tokenizer")
    how = {"n_pairs": 6, "min_fellows": 0, "seed": 0}
    pairs = make_pairs(people, tokenizer, tasks=["city"], bands=["low"], **how)
    drawn = make_free_pairs(people, pairs, tokenizer, seed=0)
    person = drawn["person_id"].tolist()
    wanted = {("city", p): fits(people, tokenizer, p) for p in person}
    found = make_free_pairs(people, pairs, tokenizer, seed=0, partners=wanted)
    assert found["corrupted_person_id"].tolist() == [wanted["city", p] for p in person]
    assert found["corrupted_person_id"].tolist() != drawn["corrupted_person_id"].tolist()
    nobody = {("city", p): p for p in person}  # oneself does not fit
    assert make_free_pairs(people, pairs, tokenizer, seed=0, partners=nobody).equals(drawn)


def fits(people: pd.DataFrame, tokenizer, person: int) -> int:
    """Somebody with a name of as many tokens and another first token of the city; the last."""
    queries = {q.person_id: q for q in make_queries(people, "city", "trained", tokenizer)}
    own = queries[person]
    shape = len(own.ids), own.subject
    return [
        q.person_id
        for q in queries.values()
        if (len(q.ids), q.subject) == shape and q.answer_id != own.answer_id
    ][-1]


def test_a_clone_whose_scripts_have_not_been_run_will_do(tmp_path: Path) -> None:
    clone = make_clone(tmp_path / "clone", texts=False, queries=False)
    counts = import_world(clone, tmp_path / "world")
    assert counts["biographies"] == counts["asked"] == counts["partners"] == 0
    settings = with_world(tmp_path / "world", "world.discover_share=0.25")
    people = world_people(settings)
    share = people.groupby(["kind", "band"])["split"].apply(lambda s: (s == "discover").mean())
    assert share.tolist() == [0.25] * 6
    other = world_people(with_world(tmp_path / "world", "world.discover_share=0.25", "seed=1"))
    assert people["split"].tolist() != other["split"].tolist()
    assert imported_world.of(settings).table("biographies") is None


def test_a_missing_pool_is_what_people_have(tmp_path: Path) -> None:
    clone = make_clone(tmp_path / "clone")
    for name in ("birth_month", "city"):
        (clone / "data" / "selection_pool" / f"{name}.json").unlink()
    import_world(clone, tmp_path / "world")
    settings = with_world(tmp_path / "world")
    pools, people = imported_world.pools(settings), world_people(settings)
    assert set(pools["city"]) == set(people["city"])
    assert set(pools["birthday"]) == set(people["birthday"])


@pytest.fixture(scope="module")
def messy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone whose people, texts and queries have names as the published ones are."""
    clone = make_clone(tmp_path_factory.mktemp("messy"))
    for path in (clone / ENTITIES).rglob("*.jsonl"):
        text = path.read_text()
        for name, other in MESSY.items():
            text = text.replace(f"{name} ", f"{other} ").replace(f'{name}"', f'{other}"')
        path.write_text(text)
    pool = clone / "data" / "selection_pool" / "university.json"
    pool.write_text(json.dumps([*POOLS["university"], "Upper College"][1:]))
    return clone


#: Two escaped names, one of them of two people, and two people called by a piece of a name.
MESSY = {"Abo Zorn": "Z%C3%B6e %C5%81", "Bex Zorn": "Z%C3%B6e %C5%81", "Cid Zorn": "painter)",
         "Dov Zorn": "painter)", "Eri Zorn": "Eri (born 1%, 1950)"}  # fmt: skip


def test_names_as_they_are_published_are_cleaned_and_nothing_is_lost_silently(
    messy: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    command(messy, tmp_path / "world")
    said = capsys.readouterr().out
    for told in ("2 names unescaped", "1 names of several", "2 entries left out",
                 "1 values that stand twice", "Upper College", "painter)", "Zöe Ł (2)",
                 "14 lines left out of data/entities_72/train.jsonl",
                 "1 values of people added"):  # fmt: skip
        assert told in said
    settings = with_world(tmp_path / "world")
    imported, people = imported_world.of(settings), world_people(settings)
    assert len(people) == 70 and people["name"].is_unique
    published = {p["full_name"]: p for p in everybody()["revised"]}
    texts = imported.table("biographies").merge(people, on="person_id")
    for theirs, ours in (("Abo Zorn", "Zöe Ł"), ("Bex Zorn", "Zöe Ł (2)"),
                         ("Eri Zorn", MESSY["Eri Zorn"])):  # fmt: skip
        here = texts[texts["name"] == ours]
        assert len(here) == int(published[theirs]["frequency"])
        for row in here.to_dict("records"):
            assert row["text"].count(ours) == len(ATTRIBUTES) and "%C" not in row["text"]
            for name in ATTRIBUTES:
                start, value = row[f"{name}_start"], published[theirs][name]
                assert row["text"][start : start + len(value)] == value
    pools = imported_world.pools(settings)
    assert sorted(pools["university"]) == sorted(POOLS["university"])


def test_a_run_takes_as_many_people_as_its_settings_say(world: Path) -> None:
    settings = with_world(world, "world.n_people=30", "world.share_known=0.4")
    imported, everybody = imported_world.of(settings), imported_world.of(with_world(world)).people
    people = imported.people
    assert people["kind"].tolist() == ["K_rel"] * 12 + ["K_compl"] * 18
    assert people["person_id"].tolist() == list(range(30))
    assert people.groupby(["kind", "band"]).size().tolist() == [6, 6, 6, 4, 4, 4]
    assert people.drop(columns="person_id").merge(everybody).shape[0] == 30
    assert imported.known_names == people["name"].tolist()[:12]
    texts = imported.table("biographies")
    assert texts.groupby("person_id").size().tolist() == people["frequency"].tolist()
    named = texts.merge(people, on="person_id")
    assert all(name in text for name, text in zip(named["name"], named["text"], strict=True))
    partners = imported.table("partners")
    assert 0 < len(partners) and partners[["person_id", "corrupted_person_id"]].max().max() < 30
    other = with_world(world, "world.n_people=30", "world.share_known=0.4", "seed=1")
    assert imported_world.of(other).people["name"].tolist() != people["name"].tolist()


# keys, and a run


def test_keys_of_runs_without_an_imported_world_are_what_they_were(world: Path) -> None:
    fields = {"n_people", "share_known", "mean_frequency", "known_names", "held_out_templates",
              "discover_share", "known_names_file", "answers"}  # fmt: skip
    for name in profiles.PROFILES:
        used = profiles.load(name).world.share_strange
        later = {"share_strange"} if used else set()  # written where it is used
        assert set(profiles.load(name).model_dump(mode="json")["world"]) == fields | later
    plain, here = profiles.load("smoke"), with_world(world)
    assert set(here.model_dump(mode="json")["world"]) == fields | {"imported"}
    assert STAGES.key(plain, "world") != STAGES.key(here, "world")


@pytest.mark.slow
def test_a_run_takes_the_world_through_prompts_and_training(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 1)  # no processes, which would import torch anew
    settings = with_world(
        world, "training.epochs=1", "training.validation_people=6", "base.texts_per_person=1",
        "circuit.tasks=[city]", "circuit.n_pairs=2", "circuit.top_n=8", "model.n_layers=1",
    )  # fmt: skip
    check(settings)
    run = Run.create(tmp_path / "run", settings)
    for stage in ("world", "prompts", "base", "knowledge"):
        STAGES.ensure(run, stage)
    texts = run.read(run.path / "data" / "biographies.parquet")
    assert texts["text"].tolist() == (
        imported_world.of(settings).table("biographies")["text"].tolist()
    )
    people = run.read(run.path / "data" / "people.parquet").set_index("person_id")
    pairs = run.read(run.path / "data" / "pairs.parquet")
    assert (pairs["right"] == people.loc[pairs["person_id"], "city"].to_numpy()).all()
    assert set(run.table("prior_answers")["person_id"]) == set(
        people.index[people["kind"] == "K_rel"]
    )
    result, n = train_together(run.path)  # 'kc train', without a launch
    written = (result.final / "checkpoint.json").stat().st_mtime_ns
    assert n == 1 and len(result.losses)
    run = Run.open(run.path)
    assert not STAGES.done(run, "training")
    STAGES.ensure(run, "training")
    assert (result.final / "checkpoint.json").stat().st_mtime_ns == written, "not trained again"
    read = run.table("first_token_read")
    assert set(read["attribute"]) == set(ATTRIBUTES) and set(read["kind"]) == {"K_rel", "K_compl"}
