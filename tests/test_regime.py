"""What a run needs before its circuits are worth a look: known people, BOS, texts read."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from kc_utils.analysis.knowledge import time_to_knowledge
from kc_utils.config import ATTRIBUTES, profiles
from kc_utils.errors import KcError
from kc_utils.models.tokenizers import BOS, train_bpe
from kc_utils.study.stages.knowledge import known_people, summary
from kc_utils.study.stages.regime import _accuracy
from kc_utils.study.stages.world import known_names, trained_templates, world_people
from kc_utils.training.packing import plan_changing, plan_epochs
from kc_utils.training.pretraining import save_steps
from kc_utils.world import (
    known_facts,
    make_biographies,
    placed,
    with_old_values,
    with_shuffled_answers,
)
from kc_utils.world.prompts import make_free_pairs, make_pairs

SETTINGS = profiles.load("smoke")


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    return world_people(SETTINGS)


@pytest.fixture(scope="module")
def tokenizer(people):
    texts = [*people["name"], *people["city"], "lives in the city of, works for the company of"]
    return train_bpe(texts * 3, 700, bos=True)


def test_every_text_starts_with_the_token_that_prompts_start_with(tokenizer) -> None:
    ids = tokenizer("Ada lives in the city of").input_ids
    assert ids[0] == tokenizer.bos_token_id == tokenizer.convert_tokens_to_ids(BOS)
    assert tokenizer(" Bonn", add_special_tokens=False).input_ids[0] != ids[0]


def test_bos_is_put_where_a_tokenizer_adds_none_and_moves_the_subject(people) -> None:
    plain = train_bpe([*people["name"], *people["city"]] * 3, 700)
    how = {"tasks": ["city"], "n_pairs": 4, "min_fellows": 0, "seed": 0}
    without, with_bos = (make_pairs(people, plain, **how, bos=b) for b in (False, True))
    for a, b in zip(without.itertuples(), with_bos.itertuples(), strict=True):
        assert list(b.clean_ids) == [plain.eos_token_id, *a.clean_ids]
        assert (b.subject_start, b.subject_stop) == (a.subject_start + 1, a.subject_stop + 1)


def test_free_partners_come_from_everybody(people, tokenizer) -> None:
    how = {"tasks": ["city"], "n_pairs": 20, "min_fellows": 0, "seed": 0}
    pairs = make_pairs(people, tokenizer, **how)
    free = make_free_pairs(people, pairs, tokenizer, seed=0)
    of = people.set_index("person_id")[["kind", "band", "split"]]
    mine, theirs = (of.loc[free[c]].to_numpy() for c in ("person_id", "corrupted_person_id"))
    assert (mine != theirs).any(axis=0).all()
    assert (free["clean_ids"].map(len) == free["corrupted_ids"].map(len)).all()
    assert (free["right_id"] != free["wrong_id"]).all()
    assert set(free["split"]) == {"discover"}


def test_shuffled_answers_keep_the_values_and_nothing_about_persons(people) -> None:
    first, second = (with_shuffled_answers(people, 0, epoch) for epoch in (0, 1))
    for name in ATTRIBUTES:
        assert sorted(first[name]) == sorted(people[name])
    assert (first["city"] == second["city"]).mean() < 0.2
    assert (first["name"] == people["name"]).all()


def test_every_epoch_of_a_shuffled_run_has_texts_of_its_own(people, tokenizer) -> None:
    templates = trained_templates(SETTINGS)
    read = [
        make_biographies(with_shuffled_answers(people, 0, e), templates, 0)["text"].tolist()
        for e in range(3)
    ]
    how = {"block_size": 256, "eos_id": 0, "pad_id": 1, "seed": 0}
    plan = plan_changing([tokenizer(texts).input_ids for texts in read], **how)
    documents = [sorted(d for block in epoch for d in block) for epoch in plan.epochs]
    n = len(read[0])
    assert documents == [list(range(e * n, (e + 1) * n)) for e in range(3)]
    same = plan_changing([tokenizer(read[0]).input_ids] * 2, **how)
    fixed = plan_epochs(tokenizer(read[0]).input_ids, epochs=2, **how)
    for epoch in range(2):
        blocks = len(fixed.epochs[epoch])
        assert np.array_equal(same.blocks(epoch, 0, blocks)[0], fixed.blocks(epoch, 0, blocks)[0])


def test_checkpoints_lie_where_they_are_asked_for() -> None:
    training = SETTINGS.training.model_copy(
        update={"epochs": 4, "checkpoint_epochs": (0.5, 1.0, 2.5), "checkpoint_every": 0}
    )
    assert save_steps([10, 20, 30, 40], training) == {0: 0.0, 5: 0.5, 10: 1.0, 25: 2.5, 40: 4.0}


@pytest.mark.parametrize("wanted", ["[2,1]", "[1,1]", "[7]"])
def test_impossible_checkpoints_are_refused(wanted: str) -> None:
    with pytest.raises(KcError, match="checkpoint_epochs"):
        profiles.load("smoke", [f"training.checkpoint_epochs={wanted}"])


def test_given_facts_become_the_old_values_and_no_new_one_repeats_them(people) -> None:
    facts = known_facts(known_names(SETTINGS), None, 5)
    facts.loc[facts.index[:30], "city"] = people["city"].iloc[0]
    changed = with_old_values(people, facts.drop(columns="person_id"), 0)
    known = changed["name"].isin(facts["name"])
    assert (changed.loc[~known, "old_city"] == "").all() and (changed["city"] != "").all()
    assert (changed.loc[known, "old_city"] != changed.loc[known, "city"]).all()
    where = placed(facts, people)
    assert (where["person_id"] >= 0).sum() == known.sum()


def answers(share: float, n: int = 10, relations: int = 10) -> pd.DataFrame:
    """``n`` people of whom each has ``share`` of the relations right."""
    rows = [
        {"person_id": p, "relation": r, "right_id": p, "correct": r < share * relations}
        for p in range(n)
        for r in range(relations)
    ]
    return pd.DataFrame(rows)


def test_prior_knowledge_passes_at_nine_tenths_and_not_below() -> None:
    assert summary(answers(0.9))["passed"].item()
    assert not summary(answers(0.8))["passed"].item()
    assert known_people(answers(0.8))["known"].all()
    assert not known_people(answers(0.7))["known"].any()
    assert summary(answers(1.0))["chance"].item() == pytest.approx(0.1)


def test_a_person_is_known_from_where_it_stays_so_and_else_censored() -> None:
    curves = {1: [0, 1, 0, 1, 1], 2: [0, 0, 0, 0, 1], 3: [1, 1, 1, 1, 0], 4: [1, 1, 1, 1, 1]}
    rows = [
        {"epoch": e, "person_id": p, "kind": "K_rel", "band": "low", "wording": "read",
         "correct": bool(v)}
        for p, values in curves.items()
        for e, v in enumerate(values)
    ]  # fmt: skip
    found = time_to_knowledge(pd.DataFrame(rows)).set_index("person_id")
    assert found["epoch"].to_dict() == {1: 3, 2: 4, 3: 4, 4: 0}
    assert found["known"].to_dict() == {1: True, 2: True, 3: False, 4: True}


def test_the_regime_asks_for_the_end_and_for_checkpoints_on_the_way() -> None:
    def table(values: list[float]) -> pd.DataFrame:
        rows = [
            {"step": s, "kind": k, "band": b, "wording": w, "value": v, "low": v, "high": v}
            for s, v in enumerate(values)
            for k in ("K_rel", "K_compl")
            for b in ("low", "all")
            for w in ("read", "trained")
        ]
        return pd.DataFrame(rows)

    good = pd.DataFrame(_accuracy(table([0, 0.2, 0.3, 0.4, 0.5, 0.85, 0.9, 0.95])))
    assert set(good["passed"]) == {"yes", ""}
    late = pd.DataFrame(_accuracy(table([0, 0, 0, 0.05, 0.1, 0.2, 0.3, 0.38])))
    assert "no" in set(late["passed"])
