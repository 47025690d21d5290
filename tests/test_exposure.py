"""Injected exposures: the plan, recall of values, decay laws and the stage."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from kc_utils.analysis.stats import decay
from kc_utils.config import ATTRIBUTES, ModelConfig, profiles
from kc_utils.errors import KcError
from kc_utils.models.causal_lm import make_model
from kc_utils.models.tokenizers import train_bpe
from kc_utils.runs.folder import Run
from kc_utils.runs.stage import Workspace
from kc_utils.study.experiments.exposure import groups, stage
from kc_utils.study.experiments.exposure.groups import GROUPS, Clock
from kc_utils.study.experiments.exposure.injection import Background, inject
from kc_utils.study.stages import STAGES
from kc_utils.training.answers import recall
from kc_utils.training.packing import IGNORED

EOS, PAD = 0, 1
CLOCK = Clock(exposures=3, spacing=4, steps_after=8, lead_in=2)
SMALL = ModelConfig(n_layers=2, n_heads=2, n_kv_heads=2, d_model=32, d_mlp=64, n_positions=256,
                    vocab_size=600)  # fmt: skip


# the plan


def _texts(first: int, n: int, length: int) -> list[list[int]]:
    return [[first + i] * length for i in range(n)]


def _documents(batch: tuple[np.ndarray, np.ndarray]) -> list[int]:
    """The token that each text of a batch is made of."""
    ids, labels = batch
    found = []
    for row, target in zip(ids, labels, strict=True):
        used = row[target != IGNORED]
        parts = np.split(used, np.flatnonzero(used == EOS) + 1)
        found += [int(part[0]) for part in parts if len(part)]
    return found


def _background(batch_size: int = 3, seed: int = 0) -> Background:
    return Background(_texts(100, 40, 20), batch_size, 64, EOS, PAD, seed)


def test_every_step_has_as_many_blocks_and_exactly_its_injected_texts():
    injected = {2: _texts(500, 3, 25), 5: _texts(500, 1, 25), 6: _texts(600, 4, 30)}
    steps = inject(_background(), injected, 8).steps
    assert {ids.shape for ids, _ in steps} == {(3, 64)}
    for i, batch in enumerate(steps):
        documents = _documents(batch)
        mine = sorted(d for d in documents if d >= 500)
        assert mine == sorted(text[0] for text in injected.get(i, []))
        assert any(d < 500 for d in documents)


def test_background_is_read_whole_before_it_repeats_and_fills_the_room():
    plain = [d for batch in inject(_background(), {}, 20).steps for d in _documents(batch)]
    counts = pd.Series(plain).value_counts()
    assert set(counts.index) == set(range(100, 140)) and counts.max() - counts.min() <= 2
    with_texts = inject(_background(), {1: _texts(500, 2, 20)}, 3).steps
    # Two injected texts of the same length displace two background texts and nothing else.
    assert len(_documents(with_texts[1])) == len(_documents(with_texts[0])) == 9
    other = inject(_background(seed=1), {}, 2).steps
    assert _documents(other[0]) != plain[: len(_documents(other[0]))]


def test_too_many_texts_in_a_step_and_no_background_are_errors():
    with pytest.raises(KcError, match="step 1 do not fit"):
        inject(_background(batch_size=1), {1: _texts(500, 3, 30)}, 2)
    with pytest.raises(KcError, match="no background"):
        inject(Background([], 1, 64, EOS, PAD, 0), {}, 1)


# who is injected when


@pytest.fixture(scope="module")
def settings():
    changes = ["exposure.people=6", "exposure.exposures=3", "exposure.spacing=4",
               "exposure.lead_in=2"]  # fmt: skip
    return profiles.load("smoke", changes)


@pytest.fixture(scope="module")
def people(settings):
    avoided = groups.probe_people(settings, ())["name"][:5]
    return groups.probe_people(settings, avoided).assign(avoided=",".join(avoided))


@pytest.fixture(scope="module")
def texts(people, settings):
    return groups.probe_texts(people, settings)


def test_groups_are_equal_new_and_spread_over_cohorts(people):
    assert people["group"].value_counts().to_dict() == dict.fromkeys(GROUPS, 6)
    assert people["name"].is_unique
    assert not set(people["name"]) & set(people["avoided"].iloc[0].split(","))
    cohorts = people.groupby("group")["cohort"].apply(list)
    assert all(row == [0, 1, 2, 3, 0, 1] for row in cohorts)


def test_each_person_is_shown_as_often_as_promised_at_the_promised_steps(people, texts):
    shown = groups.injections(people, texts, CLOCK)
    by_person = {person: part for person, part in shown.groupby("person_id")}
    own = texts.groupby("person_id")["text"].apply(list)
    for who in people.itertuples():
        if who.group == "never":
            assert who.person_id not in by_person
            continue
        mine = by_person[who.person_id]
        expected = [2 + who.cohort + 4 * k for k in range(3)]
        last = own[who.person_id][-1]
        assert mine["text"].iloc[-1] == last and who.name in last
        assert mine["step"].tolist() == (expected[-1:] if who.group == "once" else expected)
        assert mine["text"].nunique() == (3 if who.group == "varied" else 1)
        if who.group == "varied":
            assert mine["text"].tolist() == own[who.person_id]
    # No step injects the texts of more than one cohort.
    cohort = people.set_index("person_id")["cohort"]
    assert (shown["person_id"].map(cohort).groupby(shown["step"]).nunique() == 1).all()


def test_the_clock_measures_before_each_exposure_and_at_every_delay():
    measured = CLOCK.measured(1)
    assert CLOCK.steps(1) == [3, 7, 11] and CLOCK.n_steps == 2 + 3 + 8 + 1 + 8
    assert CLOCK.delays == [0, 1, 4, 8]
    assert measured[3] == (-9, 0) and measured[7] == (-5, 1) and measured[11] == (-1, 2)
    assert measured[12] == (0, 3) and measured[20] == (8, 3)
    assert max(CLOCK.measured(3)) == CLOCK.n_steps
    assert Clock(2, 1, 5, 0).delays[-1] == 5


# recall


@pytest.fixture(scope="module")
def toy(texts):
    tokenizer = train_bpe(texts["text"].tolist(), 600)
    return make_model(SMALL, tokenizer, 0).eval(), tokenizer


def test_recall_sums_the_log_probability_of_the_values_tokens(toy, people, texts):
    model, tokenizer = toy
    asked = groups.questions(people, texts, tokenizer)
    some = asked[int(people["person_id"].iloc[7])]
    assert some.wordings == ["seen"] * 5 + ["trained"] * 5 + ["held_out"] * 5
    found = recall(model, some.texts, some.spans, batch_size=3)
    who = people.iloc[7]
    for i, (text, start, stop) in enumerate(some.spans.tolist()):
        ids = some.texts[text]
        with torch.no_grad():
            log_p = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        wanted = sum(float(log_p[k - 1, ids[k]]) for k in range(start, stop))
        assert found.log_prob[i] == pytest.approx(wanted, rel=1e-4)
        assert found.first_correct[i] == (int(log_p[start - 1].argmax()) == ids[start])
        value = tokenizer.decode(ids[start:stop]).strip(" .,")
        assert value == who[ATTRIBUTES[i % 5]]


def test_recall_refuses_spans_that_cannot_be_predicted_and_dropout(toy):
    model, _ = toy
    for span in ([0, 0, 2], [0, 2, 2], [0, 2, 4]):
        with pytest.raises(KcError, match="must start after"):
            recall(model, [[5, 6, 7]], np.array([span]))
    with pytest.raises(KcError, match="training mode"):
        recall(model.train(), [[5, 6, 7]], np.array([[0, 1, 2]]))
    model.eval()


# decay laws


TIMES = np.array([0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64.0])


@pytest.mark.parametrize(
    ("law", "shape", "curve"),
    [
        ("power", 0.4, 2 * (1 + TIMES) ** -0.4),
        ("exponential", 15.0, 2 * np.exp(-TIMES / 15)),
        ("logarithm", 0.2, 2 * (1 - 0.2 * np.log1p(TIMES))),
    ],
)
def test_fits_recover_the_law_and_its_constants(law, shape, curve):
    noisy = curve + 0.02 * np.random.default_rng(0).normal(size=len(TIMES))
    found = decay.compare(TIMES, noisy)
    assert min(found, key=lambda name: found[name].bic) == law
    assert found[law].shape == pytest.approx(shape, rel=0.1)
    assert found[law].scale == pytest.approx(2, rel=0.05)
    assert np.allclose(found[law](TIMES), curve, atol=0.05)
    assert decay.many_bic(law, TIMES, noisy[None])[0] == pytest.approx(found[law].bic, abs=0.05)
    others = [found[name].bic for name in found if name != law]
    assert min(others) > found[law].bic + 2


def test_a_level_curve_prefers_the_constant():
    flat = 1.5 + 0.05 * np.random.default_rng(1).normal(size=len(TIMES))
    found = decay.compare(TIMES, flat)
    assert min(found, key=lambda name: found[name].bic) == "constant"
    assert found["constant"]([3.0]) == pytest.approx(1.5, abs=0.05)


def test_fits_refuse_what_they_cannot_use():
    with pytest.raises(KcError, match="no law"):
        decay.fit("linear", TIMES, TIMES)
    with pytest.raises(KcError, match="are needed"):
        decay.fit("power", TIMES[:4], TIMES[:4])
    with pytest.raises(KcError, match="finite"):
        decay.fit("power", TIMES - 1, TIMES)


# the stage


@pytest.mark.slow
def test_the_stage_measures_what_one_training_run_gives(tmp_path):
    settings = profiles.load("smoke", ["exposure.steps_after=12"])
    run = Run.create(tmp_path / "run", settings)
    for name in ("world", "base"):
        STAGES.ensure(run, name)
    shutil.copytree(run.path / "base" / "model", run.path / "checkpoints" / "step-000000")
    run.write_table("checkpoints", pd.DataFrame({"step": [0], "epoch": [0.0]}))
    work = Workspace(run, "exposure", "key")
    stage.compute(work)
    table, people = run.table("exposure"), run.table("exposure_people")
    chosen = settings.exposure
    clock = Clock.of(chosen)
    assert set(table["group"]) == set(GROUPS) and (table["n_people"] == chosen.people).all()
    assert sorted(table["since"].unique()) == [-5, -1, *clock.delays]
    assert (table["log_prob"] < 0).all() and table["accuracy"].between(0, 1).all()
    assert table["gain"].isna().equals(table["group"] == "never")
    final = table[table["since"] == 0].groupby("group")["exposures"].first()
    assert final.to_dict() == {"never": 0, "once": 1, "repeated": 2, "varied": 2}
    # Those shown once are not asked before the others' first exposure.
    asked = len(GROUPS) * table["since"].nunique() - 1
    assert len(people) == asked * chosen.people * 3
    assert people["since"].dtype == np.int16
    # A second start takes what the first one measured.
    before = (work.parts / "measured.parquet").stat().st_mtime_ns
    stage.compute(Workspace(run, "exposure", "key"))
    assert (work.parts / "measured.parquet").stat().st_mtime_ns == before
    assert run.table("exposure").equals(table)


def test_the_experiment_goes_on_from_the_checkpoint_that_is_asked_for(tmp_path, monkeypatch):
    run = Run.create(tmp_path / "run", profiles.load("smoke"))
    steps = pd.DataFrame({"step": [0, 10, 20, 30, 40]})
    monkeypatch.setattr(Run, "table", lambda self, name: steps)
    for share, step in ((1.0, 40), (0.5, 20), (0.0, 0)):
        chosen = profiles.load("smoke", [f"exposure.start={share}"]).exposure
        assert stage.start_step(run, chosen) == step
