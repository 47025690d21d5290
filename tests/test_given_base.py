"""Base models that are given: what the shipped ones know, who may use them, how they are stored."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import kc

from kc_utils.config import ATTRIBUTES, Config, profiles
from kc_utils.errors import KcError
from kc_utils.models.causal_lm import load_model
from kc_utils.runs.folder import Run
from kc_utils.study import given_base
from kc_utils.study.base_export import export_base
from kc_utils.study.pipeline import check
from kc_utils.study.stages import STAGES
from kc_utils.study.stages.knowledge import NEEDED, ask_facts, summary
from kc_utils.study.stages.world import taught, world_people
from kc_utils.sweep import plan
from kc_utils.sweep.export import overrides

GIVEN = ("tiny", "tiny-llama")
MOST_BYTES = 8_000_000


@pytest.mark.slow
@pytest.mark.parametrize("profile", GIVEN)
def test_a_shipped_model_knows_its_own_facts_and_nobody_elses(profile: str) -> None:
    settings = profiles.load(profile)
    assert settings.base.given == given_base.SHIPPED
    model, tokenizer = given_base.load(settings)
    facts = taught(settings, world_people(settings))
    assert len(facts) == settings.base.n_known
    asked = ask_facts(model, tokenizer, facts, settings.base.relations)
    found = summary(asked).iloc[0]
    assert len(asked) == 10 * len(facts)
    assert found["accuracy"] >= NEEDED and found["passed"]
    assert found["accuracy"] > 5 * found["chance"], "far above the commonest answer"
    assert asked.groupby("relation")["correct"].mean().min() > 0.8, "in every relation"
    shuffled = facts.copy()
    order = np.random.default_rng(0).permutation(len(facts))
    others = facts.columns.difference(["name", "person_id"])
    shuffled[others] = facts[others].to_numpy()[order]
    control = summary(ask_facts(model, tokenizer, shuffled, settings.base.relations)).iloc[0]
    assert not control["passed"]
    assert control["accuracy"] < 2 * control["chance"], "facts of somebody else"


@pytest.mark.parametrize("profile", GIVEN)
def test_a_shipped_model_is_small_and_its_record_is_true(profile: str) -> None:
    path = given_base.folder(profiles.load(profile))
    assert path is not None
    assert sum(file.stat().st_size for file in path.iterdir()) <= MOST_BYTES
    record = json.loads((path / given_base.FACTS).read_text())
    assert record["made_by"]["profile"] == profile
    assert record["made_by"]["accuracy"] >= NEEDED
    assert record["made_with"] == given_base.made_with(profiles.load(profile))


@pytest.mark.parametrize("profile", GIVEN)
def test_known_people_come_from_the_facts_with_any_seed(profile: str) -> None:
    peoples = []
    for seed in (0, 7):
        settings = profiles.load(profile, [f"seed={seed}"])
        check(settings)
        people, facts = world_people(settings), given_base.facts(settings).set_index("name")
        known = people["kind"] == "K_rel"
        assert set(people.loc[known, "name"]) <= set(facts.index)
        assert not set(people.loc[~known, "name"]) & set(facts.index)
        for name in ATTRIBUTES:
            old = facts.loc[people.loc[known, "name"], name].tolist()
            assert people.loc[known, f"old_{name}"].tolist() == old
            assert (people.loc[known, name] != old).all(), "what is learned is new"
            assert (people.loc[~known, f"old_{name}"] == "").all()
        peoples.append(people)
    assert peoples[0]["city"].tolist() != peoples[1]["city"].tolist()


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("base.n_known=300", "base.n_known = 300 does not fit .* made with 200"),
        ("base.passes=1", "base.passes = 1 does not fit .* made with 4"),
        ("model.n_layers=4", "model.n_layers = 4 does not fit .* made with 8"),
        ("model.vocab_size=2000", "model.vocab_size = 2000 does not fit .* made with 4096"),
        ("circuit.bos=false", "circuit.bos = False does not fit .* made with True"),
        ("world.known_names_file=names.txt", "'names.txt' does not go with a given base model"),
        ("base.given=nowhere", "base.given = 'nowhere' is no base model with its facts"),
    ],
)
def test_what_contradicts_a_given_model_is_refused(override: str, words: str) -> None:
    with pytest.raises(KcError, match=words) as error:
        check(profiles.load("tiny", [override]))
    assert "\n" not in str(error.value)
    if "nowhere" not in override and "names.txt" not in override:
        check(profiles.load("tiny", [override, "base.given=null"]))  # control: one's own may


def test_a_refused_run_writes_nothing(tmp_path: Path) -> None:
    done = kc("run", "--set", "model.n_layers=4", "--run-dir", tmp_path / "run", check=False)
    assert done.returncode == 2
    assert "base.given=null" in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_sweep_makes_its_base_models_unless_it_is_given_one(tmp_path: Path) -> None:
    def settings(*changes: str) -> Config:
        (member,) = plan.plan(["tiny"], [3], list(changes), tmp_path)
        return member.settings

    plain = plan.as_in_sweeps("tiny")
    assert settings().base.given is None
    assert settings().model_copy(update={"seed": 0}) == plain
    assert overrides(settings(), plain) == []
    assert overrides(settings()) == ["base.given=null"], "beside the profile of a run"
    assert profiles.load("tiny", overrides(settings())) == plain, "as 'kc run' would read it"
    given = settings("base.given=shipped")
    assert given.base.given == "shipped" and overrides(given, plain) == ["base.given=shipped"]


@pytest.mark.parametrize(
    ("name", "change", "left_out"),
    [
        ("tiny", "training.precision=mixed", "training.precision=float32"),
        ("smollm2", "training.precision=float32", "training.precision=mixed"),
    ],
)
def test_a_sweep_tells_values_that_records_may_leave_out(
    name: str, change: str, left_out: str
) -> None:
    plain = plan.as_in_sweeps(name)
    assert overrides(plan.as_in_sweeps(name, [change]), plain) == [change]
    assert overrides(plan.as_in_sweeps(name, [left_out]), plain) == []  # control: the profile's


def test_a_base_model_that_knows_nothing_is_not_stored(smoke_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "base"
    done = kc("base", smoke_run, "--out", out, check=False)
    assert done.returncode == 2
    assert "of 600 questions about its own facts; at least 0.90 are needed" in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_its_own_checked_base_model_is_refused(
    smoke_run: Path, tmp_path: Path
) -> None:
    run, out = Run.open(smoke_run), tmp_path / "base"
    with pytest.raises(KcError, match="exists already and is not overwritten"):
        export_base(run, tmp_path, needed=0.0)
    given = run.config.base.model_copy(update={"given": "shipped"})
    plain, run.config = run.config, run.config.model_copy(update={"base": given})
    with pytest.raises(KcError, match=r"made no base model .* base\.given = 'shipped'"):
        export_base(run, out, needed=0.0)
    run.config = plain
    del run.record["stages"]["knowledge"]
    with pytest.raises(KcError, match="has not finished stage 'knowledge'; 'kc run"):
        export_base(run, out, needed=0.0)
    assert list(tmp_path.iterdir()) == []


def test_another_run_goes_on_from_a_stored_model(smoke_run: Path, tmp_path: Path) -> None:
    first, out = Run.open(smoke_run), tmp_path / "base"
    made = export_base(first, out, needed=0.0)
    assert made["people"] == 60 and made["questions"] == 600
    settings = profiles.load("smoke", [f"base.given={out}", "seed=5"])
    check(settings)
    run = Run.create(tmp_path / "run", settings)
    for stage in ("world", "base", "knowledge"):
        STAGES.ensure(run, stage)
    before, after = (load_model(r.path / "base" / "model").state_dict() for r in (first, run))
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert torch.equal(after[name], value.to(torch.bfloat16).float()), name
    assert run.table("base_loss").empty
    assert len(run.table("known_people")) == round(0.5 * settings.world.n_people)
    with (out / given_base.WEIGHTS).open("r+b") as file:
        file.seek(-2, 2)
        file.write(b"xx")
    with pytest.raises(KcError, match=r"damaged: its digest is not in facts\.json"):
        given_base.load(settings)
    (out / given_base.FACTS).write_text("{}")
    with pytest.raises(KcError, match="damaged: it has no made_with or people or weights"):
        check(settings)
