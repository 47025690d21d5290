"""Experiment ``strategies``: continual pre-training at one token budget, seven ways.

A common start is made first: the base model reads more base texts about some of its people, so
that it knows them and there is something to forget. From there every strategy learns the same new
people in as many steps of as many blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from transformers import PreTrainedTokenizerBase

from kc_utils import artifacts
from kc_utils.config import Config, TrainingConfig
from kc_utils.errors import KcError
from kc_utils.models.causal_lm import load_model, load_tokenizer, save_model
from kc_utils.runs.folder import Run
from kc_utils.runs.jobs import run_jobs
from kc_utils.runs.stage import Workspace
from kc_utils.study.experiments.strategies.following import Asked, Follower, pairs_of
from kc_utils.study.experiments.strategies.plans import STRATEGIES, OnlineSteps, Stream, make_plan
from kc_utils.study.stages import common
from kc_utils.study.stages.world import taught
from kc_utils.training.packing import BlockSteps
from kc_utils.training.pretraining import train_in_memory
from kc_utils.world import (
    known_queries,
    make_base_corpus,
    make_biographies,
    make_new_people,
    make_validation,
    split_all,
    stream,
)

TABLES = ("steps", "summary", "units")
NAME_TEXTS = 6
"""Texts about each new person that teach the name; read again as often as needed."""


def compute(work: Workspace) -> None:
    """Tables ``strategies``, ``strategies_summary`` and ``strategies_units``."""
    if work.config.model.source != "made":
        raise KcError(
            f"model.source = {work.config.model.source!r} has no base texts that could be "
            "replayed; allowed is made."
        )
    start = work.parts / "start"
    if not start.is_dir():
        make_start(work.run, start)
    jobs = [(work.run, start, s, work.parts / s.replace(" ", "-")) for s in STRATEGIES]
    run_jobs(follow, [j for j in jobs if not _done(j[3])], "strategies")
    steps, summary, units = (
        pd.concat([artifacts.read_parquet(j[3] / f"{name}.parquet") for j in jobs])
        for name in TABLES
    )
    require_one_budget(steps)
    work.table("strategies", steps.reset_index(drop=True))
    work.table("strategies_summary", summary.reset_index(drop=True))
    work.table("strategies_units", units.reset_index(drop=True))


def _done(folder: Path) -> bool:
    return artifacts.intact(*(folder / f"{name}.parquet" for name in TABLES))


def require_one_budget(steps: pd.DataFrame) -> None:
    """Every strategy must have had the same tokens, and the same replay unless it has none.

    Raises:
        KcError: a strategy read more or less than another.
    """
    last = steps.groupby("strategy")[["step", "tokens", "replayed_blocks"]].last()
    replayed = last.loc[last["replayed_blocks"] > 0, "replayed_blocks"]
    if last[["step", "tokens"]].nunique().max() > 1 or replayed.nunique() > 1:
        raise KcError(f"The strategies differ in their budgets: {last.T.to_dict()}.")


@dataclass(frozen=True)
class Material:
    """Texts that can be read and questions that are asked; the same for every strategy."""

    texts: dict[str, list[str]]
    asked: Asked

    @classmethod
    def of(cls, run: Run, tokenizer: PreTrainedTokenizerBase) -> Material:
        """Make the new people of a run and all that is written about them."""
        settings, chosen = run.config, run.config.strategies
        corpus = run.read(run.path / "data" / "base_corpus.parquet")
        people = run.read(run.path / "data" / "people.parquet")
        seed = int(stream(settings.seed, "strategies").integers(2**31))
        new = make_new_people(
            chosen.people,
            {*people["name"], *corpus["name"]},
            seed,
            settings.world.mean_frequency,
            first_id=len(people),
        )
        split = split_all(settings.world.held_out_templates, settings.seed)
        trained = {a: t.trained for a, t in split.items()}
        held_out = {a: t.held_out for a, t in split.items()}
        names = make_base_corpus(
            new["name"].tolist(),
            relations="other",
            texts_per_person=NAME_TEXTS,
            sentences_per_text=settings.base.sentences_per_text,
            seed=seed,
        )
        texts = {
            "base": corpus.loc[corpus["name"].isin(known_people(corpus, settings)), "text"],
            "names": names["text"],
            "facts": make_biographies(new, trained, seed)["text"],
        }
        validation = {
            wording: make_validation(new, templates, seed)
            for wording, templates in (("trained", trained), ("held_out", held_out))
        }
        pairs = pairs_of(new, tokenizer, chosen.n_pairs, seed)
        how = common.attribution_settings(settings)
        old = old_queries(people, corpus, settings)
        lists = {kind: values.tolist() for kind, values in texts.items()}
        return cls(lists, Asked(validation, old, pairs, how))

    def streams(self, tokenizer: PreTrainedTokenizerBase, settings: Config) -> dict[str, Stream]:
        """Endless blocks of each kind of text, from their beginning."""
        size = settings.training.block_size
        return {k: Stream(t, tokenizer, size, settings.seed + 3) for k, t in self.texts.items()}


def known_people(corpus: pd.DataFrame, settings: Config) -> list[str]:
    """Names of the people whose facts are the old knowledge."""
    names = corpus["name"].unique()
    order = stream(settings.seed, "strategies: known people").permutation(len(names))
    return names[np.sort(order[: settings.strategies.known_people])].tolist()


def old_queries(people: pd.DataFrame, corpus: pd.DataFrame, settings: Config) -> pd.DataFrame:
    """A fixed sample of questions about facts of the base texts: name, relation, prompt, answer."""
    relations = settings.base.relations
    facts = taught(settings, people)
    queries = known_queries(
        facts["name"].tolist(), relations=relations, facts=facts, seed=settings.seed
    )
    queries = queries[queries["name"].isin(known_people(corpus, settings))]
    order = stream(settings.seed, "strategies: old queries").permutation(len(queries))
    chosen = np.sort(order[: settings.strategies.queries])
    return queries.iloc[chosen].reset_index(drop=True)


def training_of(settings: Config) -> TrainingConfig:
    """Optimiser settings of all strategies: those of training, one forward pass a step."""
    changed = {"batch_size": settings.strategies.batch_size, "accumulation": 1, "devices": 1}
    return settings.training.model_copy(update=changed)


def make_start(run: Run, folder: Path) -> None:
    """The model that all strategies start from, as a Hugging Face folder."""
    settings, chosen = run.config, run.config.strategies
    tokenizer = load_tokenizer(run.verify(run.path / "tokenizer"))
    model = load_model(run.verify(run.path / "base" / "model"), attention="sdpa")
    if chosen.known_steps:
        texts = Material.of(run, tokenizer).streams(tokenizer, settings)["base"]
        steps = BlockSteps([texts.take(chosen.batch_size) for _ in range(chosen.known_steps)])
        train_in_memory(
            model, steps, training_of(settings), settings.seed, measure=lambda *_: None,
            every=chosen.known_steps, description="old knowledge",
        )  # fmt: skip
    save_model(model, tokenizer, folder)


def follow(run: Run, start: Path, strategy: str, out: Path) -> None:
    """Train one strategy, measuring on the way; writes the strategy's rows of the tables."""
    settings, chosen = run.config, run.config.strategies
    model, tokenizer = load_model(start, attention="sdpa"), load_tokenizer(start)
    material = Material.of(run, tokenizer)
    plan = make_plan(strategy, chosen, settings.seed)
    steps = OnlineSteps(plan, material.streams(tokenizer, settings), chosen.steps)
    follower = Follower(strategy, plan, material.asked, tokenizer, settings)
    every = chosen.detect_every if strategy == "phase" else chosen.measure_every
    train_in_memory(
        model, steps, training_of(settings), settings.seed, measure=follower.measure,
        every=every, description=strategy, callbacks=[follower.freezer],
    )  # fmt: skip
    follower.freezer.release()
    for name, frame in follower.tables(steps).items():
        artifacts.write_piece(out / f"{name}.parquet", frame.assign(strategy=strategy))
