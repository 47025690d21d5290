"""Stage ``knowledge``: what the base model knows about the people that training goes on about.

Of real people, who are K_rel because a model that exists answers something right about them, the
stage ``world`` has asked already; its questions about the run's K_rel people are the tables here.

"Relevant" new knowledge is about subjects whom the model knows (Ou et al. 2025). Whether it does is
measured here, before training: every K_rel person is asked for each fact that the base corpus told,
and the first token of the answer has to be the most likely one. What the commonest first token of
each relation would score is the chance level. Claims about relevance are judged only where the
whole check passes.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kc_utils.analysis import real_subjects
from kc_utils.analysis.knowledge import chance_level
from kc_utils.models.causal_lm import load_model, load_tokenizer
from kc_utils.models.devices import device
from kc_utils.runs.stage import Workspace
from kc_utils.training.answers import first_answers
from kc_utils.world import known_queries

#: Share of the questions that a base model must answer, and a person's share to count as known.
NEEDED, NEEDED_PER_PERSON = 0.9, 0.8
COLUMNS = [
    "person_id",
    "name",
    "relation",
    "prompt",
    "answer",
    "right_id",
    "predicted_id",
    "correct",
]
SUMMARY = ["n_people", "n_questions", "accuracy", "chance", "known_share", "passed"]


def compute(work: Workspace) -> None:
    """Tables ``prior_answers`` (a row per K_rel person and question), ``known_people`` (a row per
    K_rel person: n_questions, share right, known) and ``prior_knowledge`` (one row: n_people,
    accuracy, chance, known_share, passed). Where nobody was asked they have no rows."""
    if work.config.world.known_names == "checked":
        _tables_of_real_people(work)
        return
    answers = ask(work) if work.config.model.source == "made" else pd.DataFrame(columns=COLUMNS)
    work.table("prior_answers", answers)
    work.table("known_people", known_people(answers))
    work.table("prior_knowledge", summary(answers))


def _tables_of_real_people(work: Workspace) -> None:
    run = work.run
    people = run.read(run.path / "data" / "people.parquet")
    everybody = run.read(run.path / "data" / "real_answers.parquet")
    known = real_subjects.known_people(everybody)
    ids = people.set_index("name")["person_id"]
    answers, known = (
        table[table["name"].isin(ids.index)].assign(person_id=lambda t: t["name"].map(ids))
        for table in (everybody, known)
    )
    n_questions = answers.groupby("name")["correct"].size()
    known = known.assign(n_questions=known["name"].map(n_questions))
    known = known.assign(share=known["n_right"] / known["n_questions"])
    chance = real_subjects.answer_levels(everybody)["constant"].mean()
    share = float(known["known"].mean())
    row = (len(known), len(answers), float(answers["correct"].mean()), float(chance), share,
           share >= NEEDED)  # fmt: skip
    work.table("prior_answers", answers)
    work.table("known_people", known[["person_id", "n_questions", "share", "known"]])
    work.table("prior_knowledge", pd.DataFrame([row], columns=SUMMARY))


def ask(work: Workspace) -> pd.DataFrame:
    """The base model's answers about every K_rel person, the columns of ``COLUMNS``."""
    run, settings = work.run, work.config
    people = run.read(run.path / "data" / "people.parquet")
    facts = run.read(run.path / "data" / "known_facts.parquet")
    ids = people.set_index("name")["person_id"]
    facts = facts[facts["name"].isin(ids.index)]
    facts = facts.assign(person_id=facts["name"].map(ids).astype(int))
    folder = run.verify(run.path / "base") / "model"
    model, tokenizer = load_model(folder, attention="sdpa").to(device()), load_tokenizer(folder)
    return ask_facts(model, tokenizer, facts, settings.base.relations)


def ask_facts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    facts: pd.DataFrame,
    relations: str,
) -> pd.DataFrame:
    """A model's answers about every person of ``facts``, the columns of ``COLUMNS``.

    ``facts``: name, person_id and the values that the base corpus told, a row per person;
    ``relations`` as in the configuration (``base.relations``).
    """
    names = facts["name"].tolist()
    queries = known_queries(names, relations=relations, facts=facts, seed=0)  # nothing is drawn
    ids = facts.set_index("name")["person_id"]
    queries["person_id"] = queries["name"].map(ids).astype(int)
    asked = queries["prompt"].tolist(), queries["answer"].tolist()
    return pd.concat([queries, first_answers(model, tokenizer, *asked)], axis=1)[COLUMNS]


def known_people(answers: pd.DataFrame) -> pd.DataFrame:
    """Per person: person_id, n_questions, share (of first tokens right), known."""
    grouped = answers.groupby("person_id", sort=True)["correct"]
    table = grouped.agg(n_questions="size", share="mean").reset_index()
    return table.assign(known=table["share"].astype(float) >= NEEDED_PER_PERSON)


def summary(answers: pd.DataFrame) -> pd.DataFrame:
    """One row: n_people, n_questions, accuracy, chance (commonest answer), known_share, passed."""
    if answers.empty:
        return pd.DataFrame(columns=SUMMARY)
    levels = chance_level(answers, ("relation",)).set_index("relation")["chance"]
    accuracy = float(answers["correct"].mean())
    people = known_people(answers)
    chance = float(answers["relation"].map(levels).mean())
    row = (len(people), len(answers), accuracy, chance, float(np.mean(people["known"])),
           accuracy >= NEEDED)  # fmt: skip
    return pd.DataFrame([row], columns=SUMMARY)
