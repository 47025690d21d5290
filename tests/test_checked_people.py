"""K_rel of a model that exists: only real people of whom it answers something right."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from kc_utils.analysis import real_subjects
from kc_utils.analysis.real_subjects import MARGIN, RealSubjects
from kc_utils.analysis.stats.resample import NotMeasured
from kc_utils.config import ModelConfig, profiles
from kc_utils.errors import KcError
from kc_utils.models.causal_lm import make_model, save_model
from kc_utils.models.tokenizers import train_bpe
from kc_utils.runs.folder import Run
from kc_utils.study.claims.measured import require_known
from kc_utils.study.claims.tables import of_run
from kc_utils.study.pipeline import check
from kc_utils.study.stages import STAGES, world
from kc_utils.world import load_pool, real_people_facts

KNOWN = 40


def answers(*_: object, seed: int) -> RealSubjects:
    """A model that is sure of the first KNOWN people's occupation and wrong about all others."""
    facts = real_people_facts()
    rows = [
        (name, relation, wording, 2 * MARGIN if (i < KNOWN and relation == "occupation") else -1.0)
        for i, name in enumerate(facts["name"])
        for relation in ("country", "occupation")
        for wording in (0, 1)
    ]
    questions = pd.DataFrame(rows, columns=["name", "relation", "wording", "lead"])
    questions["correct"] = questions["lead"] > 0
    right = facts.melt("name", var_name="relation", value_name="answer")
    questions = questions.merge(right).assign(plain_rank=1)
    people = real_subjects.known_people(questions)
    return RealSubjects(questions, people, real_subjects.answer_levels(questions), pd.DataFrame())


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    tokenizer = train_bpe([*load_pool("real_people"), "Qzx Vbr Wlk Plonq Drasp"] * 3, 1_500)
    folder = tmp_path / "model"
    shape = ModelConfig(n_layers=1, n_heads=1, n_kv_heads=1, d_model=8, d_mlp=8, vocab_size=1_500)
    save_model(make_model(shape, tokenizer, 0), tokenizer, folder)
    settings = profiles.load(
        "smoke",
        ["model.source=folder", f"model.path={folder}", "world.known_names=checked",
         "world.n_people=60", "circuit.bands=[medium]", "circuit.top_n=4"],
    )  # fmt: skip
    check(settings)
    monkeypatch.setattr(world, "check_real_people", answers)
    return Run.create(tmp_path / "run", settings)


def test_only_people_whom_the_model_knows_are_known_subjects(run: Run) -> None:
    for stage in ("world", "base", "knowledge"):
        STAGES.ensure(run, stage)
    people = run.read(run.path / "data" / "people.parquet")
    known = set(real_people_facts()["name"][:KNOWN])
    assert set(people.query("kind == 'K_rel'")["name"]) <= known
    assert not set(people.query("kind == 'K_compl'")["name"]) & known
    asked = run.read(run.path / "data" / "real_answers.parquet")
    assert set(asked["name"]) == set(real_people_facts()["name"])  # also those who were not taken
    summary, each = run.table("prior_knowledge").iloc[0], run.table("known_people")
    assert summary["known_share"] == 1 and bool(summary["passed"]) and each["known"].all()
    assert summary["accuracy"] == 0.5  # the country, which does not decide, is always wrong
    assert set(each["person_id"]) == set(people.query("kind == 'K_rel'")["person_id"])
    require_known(of_run(run), 0.5)
    with pytest.raises(NotMeasured):
        require_known(of_run(run), 0.9)


def test_too_few_known_people_are_said_before_anything_is_trained(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "KNOWN", 5)
    with pytest.raises(KcError, match="30 K_rel people but only 5 known names"):
        STAGES.ensure(run, "world")
    assert not (run.path / "checkpoints").exists()
