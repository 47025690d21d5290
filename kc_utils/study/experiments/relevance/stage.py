"""Experiment ``relevance``: kinds of relevance as a dose.

People whose names are known to four degrees
(:mod:`kc_utils.study.experiments.relevance.four_kinds`) are learned together by a model that was
pre-trained for this experiment alone, with a tokenizer of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kc_utils.analysis.knowledge import chance_level
from kc_utils.config import ATTRIBUTES, Config
from kc_utils.errors import KcError
from kc_utils.models.causal_lm import load_model, make_model
from kc_utils.models.devices import device
from kc_utils.models.tokenizers import train_bpe
from kc_utils.runs.stage import Workspace
from kc_utils.study.experiments.relevance.four_kinds import (
    TAUGHT,
    make_relevance_people,
    name_parts,
    relevance_corpus,
    relevance_queries,
)
from kc_utils.study.stages.base import base_training
from kc_utils.training.accuracy import first_token_accuracy, generate_answers
from kc_utils.training.packing import EpochPlan, plan_epochs
from kc_utils.training.pretraining import TrainingResult, train
from kc_utils.world import WORDINGS, make_biographies, make_validation, split_all, value_texts

_VALUE_REPEATS = 100  # as in stage world
_NAME_REPEATS = 500  # so often that every part of a name becomes one token if the vocabulary allows
_PERSON = ["kind_of_relevance", "pair", "frequency", "band"]


class Texts(NamedTuple):
    """What the experiment's models read and are asked."""

    people: pd.DataFrame
    corpus: pd.DataFrame
    biographies: pd.DataFrame
    validation: pd.DataFrame


def compute(work: Workspace) -> None:
    """Tables ``relevance``, ``relevance_people`` and ``relevance_known``."""
    settings = work.config
    if settings.model.source != "made":
        raise KcError(
            f"model.source = {settings.model.source!r} cannot be taught names to four degrees; "
            "allowed is made."
        )
    texts = make_texts(settings)
    tokenizer = make_tokenizer(texts, settings)
    model = _base_model(work, texts, tokenizer)
    known = work.piece("known", lambda: ask_known(model, tokenizer, texts.people, settings.seed))
    result = _continue(work, model, texts, tokenizer)
    frames = [
        work.piece(f"{step:06d}", partial(measure_checkpoint, path, tokenizer, texts)).assign(
            step=step, epoch=epoch
        )
        for step, epoch, path in result.checkpoints.itertuples(index=False)
    ]
    rows = pd.concat(frames, ignore_index=True).merge(texts.people[["person_id", *_PERSON]])
    work.table("relevance_known", known)
    work.table("relevance", curves(rows))
    work.table("relevance_people", areas(rows, texts.people, tokenizer))


def make_texts(settings: Config) -> Texts:
    """People, base texts, biographies and validation biographies in both wordings."""
    chosen, world, seed = settings.relevance, settings.world, settings.seed
    people = make_relevance_people(chosen.people_per_kind, world.mean_frequency, seed)
    corpus = relevance_corpus(
        people, texts_per_person=chosen.texts_per_person,
        sentences_per_text=settings.base.sentences_per_text, seed=seed,
    )  # fmt: skip
    templates = split_all(world.held_out_templates, seed)
    trained = {name: split.trained for name, split in templates.items()}
    held_out = {name: split.held_out for name, split in templates.items()}
    validation = pd.concat(
        [
            make_validation(people, pool, seed + 1).assign(wording=wording)
            for wording, pool in zip(WORDINGS, (trained, held_out), strict=True)
        ],
        ignore_index=True,
    )
    return Texts(people, corpus, make_biographies(people, trained, seed), validation)


def make_tokenizer(texts: Texts, settings: Config) -> PreTrainedTokenizerBase:
    """A tokenizer that has read every part of every name equally often.

    Names are cut out of the texts and come from a list instead: else those that base texts mention
    would be split into fewer tokens.
    """
    names = texts.people.set_index("person_id")["name"]
    plain = [
        text.replace(name, "")
        for frame in (texts.corpus, texts.biographies)
        for text, name in zip(frame["text"], frame["person_id"].map(names), strict=True)
    ]
    parts = [space + part for part in name_parts(names) for space in ("", " ")]
    read = [*plain, *value_texts(_VALUE_REPEATS), *parts * _NAME_REPEATS]
    return train_bpe(read, settings.model.vocab_size)


def ask_known(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, people: pd.DataFrame, seed: int
) -> pd.DataFrame:
    """Whether the base model knows what its texts said.

    Columns: kind_of_relevance, relation, accuracy (share of whole answers), chance (share of the
    commonest answer), n. The two kinds that no base text is about cannot be asked.
    """
    queries = relevance_queries(people, seed)
    answers = generate_answers(model, tokenizer, queries["prompt"], queries["answer"])
    queries["correct"] = answers["correct"].to_numpy()
    by = ["kind_of_relevance", "relation"]
    table = queries.groupby(by, as_index=False)["correct"].agg(accuracy="mean", n="size")
    return table.merge(chance_level(queries, by, answer="answer"), on=by)


def measure_checkpoint(path: str, tokenizer: PreTrainedTokenizerBase, texts: Texts) -> pd.DataFrame:
    """:func:`measure` of the model in the folder ``path``."""
    return measure(load_model(path, attention="sdpa").to(device()), tokenizer, texts)


def measure(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Texts
) -> pd.DataFrame:
    """One row per person and wording: shares of that person's five attributes.

    ``correct``: the first token is right. ``old_answer``: it is that of the old value, where that
    is wrong; ``old_chance``: it is that of another person's old value, where that is wrong. The
    last two are NaN for people whose attributes base texts never told.
    """
    rows = first_token_accuracy(model, tokenizer, texts.validation)
    rows = rows.merge(_old_tokens(texts.people, tokenizer), how="left")
    asked = rows["own_old"].notna()
    for name, answer in (("old_answer", "own_old"), ("old_chance", "other_old")):
        wrong = rows[answer] != rows["right_id"]
        given = (rows["predicted_id"] == rows[answer]) & wrong
        rows[name] = given.astype(float).where(asked)
    values = ["correct", "old_answer", "old_chance"]
    return rows.groupby(["person_id", "wording"], as_index=False)[values].mean()


def curves(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over people for every checkpoint, kind, wording and band ("all" and each)."""
    both = pd.concat([rows.assign(band="all"), rows], ignore_index=True)
    keys = ["step", "epoch", "kind_of_relevance", "wording", "band"]
    grouped = both.groupby(keys, as_index=False)
    return grouped.agg(
        accuracy=("correct", "mean"), n_people=("person_id", "nunique"),
        old_answer=("old_answer", "mean"), old_chance=("old_chance", "mean"),
    )  # fmt: skip


def areas(
    rows: pd.DataFrame, people: pd.DataFrame, tokenizer: PreTrainedTokenizerBase
) -> pd.DataFrame:
    """One row per person and wording: ``area`` (mean accuracy over epochs after the start), the
    ``last`` accuracy, and the number of tokens of the name."""
    later = rows[rows["step"] > 0].sort_values("step")
    grouped = later.groupby(["person_id", *_PERSON, "wording"], as_index=False)["correct"]
    table = grouped.agg(area="mean", last="last")
    lengths = [len(ids) for ids in tokenizer([f" {name}" for name in people["name"]]).input_ids]
    named = people[["person_id"]].assign(name_tokens=np.array(lengths, np.int16))
    table = table.merge(named, on="person_id").drop(columns="person_id")
    return table.astype({"area": "float32", "last": "float32"})


def _base_model(
    work: Workspace, texts: Texts, tokenizer: PreTrainedTokenizerBase
) -> PreTrainedModel:
    settings, chosen = work.config, work.config.relevance
    model = make_model(settings.model, tokenizer, settings.seed)
    plan = _plan(texts.corpus, chosen.passes, tokenizer, settings)
    changed = {"batch_size": chosen.batch_size, "learning_rate": chosen.base_rate}
    training = base_training(settings).model_copy(update=changed)
    train(
        model, tokenizer, plan, work.parts / "base", training, settings.seed,
        schedule="decay", warmup_share=settings.base.warmup_share, keep="last",
        description="base model of the experiment",
    )  # fmt: skip
    return model


def _continue(
    work: Workspace, model: PreTrainedModel, texts: Texts, tokenizer: PreTrainedTokenizerBase
) -> TrainingResult:
    settings = work.config
    plan = _plan(texts.biographies, settings.relevance.epochs, tokenizer, settings)
    changed = {"batch_size": settings.relevance.batch_size, "accumulation": 1, "devices": 1,
               "checkpoint_every": 0}  # fmt: skip
    return train(
        model, tokenizer, plan, work.parts / "biographies",
        settings.training.model_copy(update=changed), settings.seed,
        description="four kinds of relevance",
    )  # fmt: skip


def _plan(
    frame: pd.DataFrame, epochs: int, tokenizer: PreTrainedTokenizerBase, settings: Config
) -> EpochPlan:
    return plan_epochs(
        tokenizer(frame["text"].tolist()).input_ids,
        epochs=epochs,
        block_size=settings.training.block_size,
        eos_id=tokenizer.eos_token_id,
        pad_id=tokenizer.pad_token_id,
        seed=settings.seed,
    )


def _old_tokens(people: pd.DataFrame, tokenizer: PreTrainedTokenizerBase) -> pd.DataFrame:
    """First tokens of the old values: the person's own and those of the next person in the list.

    Columns: person_id, attribute, own_old, other_old.
    """
    same = people[people["kind_of_relevance"] == TAUGHT[-1]]
    frames = []
    for name in ATTRIBUTES:
        first = _first_tokens(tokenizer, same[f"old_{name}"])
        own = {"person_id": same["person_id"], "attribute": name, "own_old": first}
        frames.append(pd.DataFrame(own | {"other_old": np.roll(first, 1)}))
    return pd.concat(frames, ignore_index=True)


def _first_tokens(tokenizer: PreTrainedTokenizerBase, values: Iterable[str]) -> np.ndarray:
    """The token that holds the first letter of each value after a space; int64 [n].

    A small vocabulary may have the space as a token of its own, which is not what is answered.
    """
    encoded = tokenizer([f" {value}" for value in values], return_offsets_mapping=True)
    rows = zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
    return np.array(
        [next(i for i, (_, end) in zip(ids, spans, strict=True) if end > 1) for ids, spans in rows],
        np.int64,
    )
