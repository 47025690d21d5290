"""Stage ``unseen``: answers about people never seen, bits of knowledge, accuracy by exposures.

Three groups are asked at every checkpoint: K_rel, K_compl, and people nobody ever wrote about. The
last group shows what confidence is worth: whatever the model is sure of there, it made up. Bits of
knowledge are counted at the first and the last checkpoint.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kc_utils import artifacts
from kc_utils.analysis.knowledge import guess_cross_entropy, knowledge_bits, shuffled
from kc_utils.config import ATTRIBUTES, Config
from kc_utils.models.causal_lm import load_model, load_tokenizer, parameter_counts
from kc_utils.models.devices import device
from kc_utils.runs.folder import Run
from kc_utils.runs.jobs import run_jobs
from kc_utils.runs.stage import Workspace
from kc_utils.study import imported_world
from kc_utils.study.stages import common
from kc_utils.study.stages.world import known_names
from kc_utils.training.answers import answer_log_probabilities, next_tokens
from kc_utils.training.trainer import fast_kernels
from kc_utils.world import load_pool, make_new_people, query_prompt
from kc_utils.world.prompts import WORDINGS, make_queries

CONFIDENT = 0.5
"""Probability of the top token above which an answer counts as confident."""

MOST_EXPOSURES = 8
"""People who are written about more often are pooled at this number."""

_CAPACITY_PEOPLE = 1000  # people of each type whose facts are counted, at most
_CELL = ["kind", "band", "attribute"]


def compute(work: Workspace) -> None:
    """Tables ``unseen``, ``capacity`` and ``frequency_curve``."""
    run = work.run
    checkpoints = run.table("checkpoints")
    steps = [int(step) for step in checkpoints["step"]]
    jobs = [(run, step, "answers", work.parts / f"answers-{step:06d}.parquet") for step in steps]
    for step in dict.fromkeys([steps[0], steps[-1]]):
        jobs.append((run, step, "bits", work.parts / f"bits-{step:06d}.parquet"))
    run_jobs(measure, [j for j in jobs if not artifacts.intact(j[3])], "people never seen, bits")
    found = {
        what: pd.concat([artifacts.read_parquet(j[3]) for j in jobs if j[2] == what])
        for what in ("answers", "bits")
    }
    guess = work.piece("guess", lambda: guesses(run))
    work.table(
        "unseen", found["answers"].merge(checkpoints, on="step").merge(guess, on="attribute")
    )
    work.table("capacity", found["bits"].merge(checkpoints, on="step"))
    people = run.read(run.path / "data" / "people.parquet")
    work.table("frequency_curve", frequency_curve(run.table("first_token"), people))


def groups(people: pd.DataFrame, settings: Config) -> pd.DataFrame:
    """The people who are asked about, with a column ``group``: K_rel, K_compl or unseen.

    The answers that were drawn for unseen people stand nowhere, so being right is chance.
    """
    n = settings.controls.unseen_people
    known = known_names(settings) or load_pool("real_people")
    avoid = {*people["name"], *known}
    strangers = make_new_people(
        n, avoid, settings.seed + 6, settings.world.mean_frequency, first_id=len(people),
        pools=imported_world.pools(settings),
    )  # fmt: skip
    chosen = [fixed_draw(people, kind, n, settings.seed) for kind in settings.world.kinds]
    return pd.concat([*chosen, strangers.assign(group="unseen")], ignore_index=True)


def fixed_draw(people: pd.DataFrame, kind: str, n: int, seed: int) -> pd.DataFrame:
    """Up to ``n`` people of one type, the same at every checkpoint."""
    rows = np.flatnonzero(people["kind"].to_numpy() == kind)
    drawn = np.random.default_rng([seed, 81]).permutation(rows)[:n]
    return people.iloc[np.sort(drawn)].assign(group=kind)


def measure(run: Run, step: int, what: Literal["answers", "bits"], out: Path) -> None:
    """One of the two measurements at one checkpoint."""
    path = run.verify(common.checkpoint_path(run, step))
    model, tokenizer = load_model(path, attention="sdpa", device=device()), load_tokenizer(path)
    with fast_kernels(model):
        measured = {"answers": ask, "bits": count_bits}[what](run, model, tokenizer)
    artifacts.write_piece(out, measured.assign(step=step))


def ask(run: Run, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> pd.DataFrame:
    """What a model answers to the trained wording of every query: :func:`summary` of it."""
    asked = groups(run.read(run.path / "data" / "people.parquet"), run.config)
    frames = []
    for attribute in ATTRIBUTES:
        queries = make_queries(asked, attribute, "trained", tokenizer)
        said = next_tokens(model, [query.ids for query in queries])
        right = said["top_id"].to_numpy() == np.array([query.answer_id for query in queries])
        frames.append(
            said.assign(group=asked["group"].to_numpy(), attribute=attribute, right=right)
        )
    return summary(pd.concat(frames, ignore_index=True))


def summary(answers: pd.DataFrame) -> pd.DataFrame:
    """One row per group and attribute.

    Args:
        answers: a row per person and attribute: group, attribute, entropy (nats),
            top_probability, right (bool).

    Returns:
        group, attribute, entropy, top_probability, accuracy, confident_wrong (share of people with
        a wrong top token of probability above ``CONFIDENT``), n_people.
    """
    wrong = (answers["top_probability"] > CONFIDENT) & ~answers["right"]
    grouped = answers.assign(wrong=wrong).groupby(["group", "attribute"], as_index=False)
    return grouped.agg(
        entropy=("entropy", "mean"), top_probability=("top_probability", "mean"),
        accuracy=("right", "mean"), confident_wrong=("wrong", "mean"), n_people=("right", "size"),
    )  # fmt: skip


def guesses(run: Run) -> pd.DataFrame:
    """What is known of an answer's first token without knowing whom it is about.

    Columns: attribute, guess_entropy (nats) and guess_accuracy (share of the commonest) of the
    first tokens in the biographies. A calibrated model has this entropy for people never seen.
    """
    tokenizer = load_tokenizer(run.verify(run.path / "tokenizer"))
    people = run.read(run.path / "data" / "people.parquet")
    rows = []
    for attribute in ATTRIBUTES:
        queries = make_queries(people, attribute, "trained", tokenizer)
        first = pd.Series([query.answer_id for query in queries])
        share = people["frequency"].groupby(first.to_numpy()).sum() / people["frequency"].sum()
        rows.append((attribute, float(-(share * np.log(share)).sum()), float(share.max())))
    return pd.DataFrame(rows, columns=["attribute", "guess_entropy", "guess_accuracy"])


def count_bits(
    run: Run, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> pd.DataFrame:
    """Bits per fact in a model: own answers, shuffled ones, and a guesser without a model.

    Columns: kind, band, attribute, answers ("own", "shuffled", "guess"), wording, n_people
    (of the world), n_measured, pool_bits, cross_entropy_bits, bits_per_fact, total_bits (of all
    n_people), n_parameters, n_parameters_without_embeddings.
    """
    people = run.read(run.path / "data" / "people.parquet")
    drawn = [
        fixed_draw(people, kind, _CAPACITY_PEOPLE, run.config.seed)
        for kind in run.config.world.kinds
    ]
    asked = pd.concat(drawn, ignore_index=True)
    rng = np.random.default_rng([run.config.seed, 82])
    frames = []
    for attribute in ATTRIBUTES:
        own, other = asked[attribute], shuffled(asked[attribute], rng)
        sides = [("own", w, own) for w in WORDINGS] + [("shuffled", WORDINGS[0], other)]
        who = asked[["kind", "band"]].assign(attribute=attribute)
        for answers, wording, values in sides:
            prompts = [query_prompt(attribute, wording).replace("{name}", n) for n in asked["name"]]
            said = answer_log_probabilities(model, tokenizer, prompts, values.tolist())
            bits = -said / np.log(2)
            frames.append(who.assign(answers=answers, wording=wording, cross_entropy_bits=bits))
        bits = guess_cross_entropy(own)
        frames.append(who.assign(answers="guess", wording=WORDINGS[0], cross_entropy_bits=bits))
    keys = [*_CELL, "answers", "wording"]
    drawn_from = imported_world.pools(run.config)
    table = knowledge_bits(pd.concat(frames, ignore_index=True), keys, drawn_from)
    counts = people.groupby(["kind", "band"]).size().rename("n_people").reset_index()
    table = table.merge(counts, on=["kind", "band"])
    total, inner = parameter_counts(model)
    return table.assign(
        total_bits=table["bits_per_fact"] * table["n_people"], n_parameters=total,
        n_parameters_without_embeddings=inner,
    )  # fmt: skip


def frequency_curve(first_token: pd.DataFrame, people: pd.DataFrame) -> pd.DataFrame:
    """First-token accuracy at the last checkpoint for each number of biographies of a person.

    Columns: step, epoch, kind, wording, frequency (``MOST_EXPOSURES`` stands for that and more),
    mean_frequency, accuracy, n_people, n_rows (answers), n_right.
    """
    last = first_token[first_token["step"] == first_token["step"].max()]
    rows = last.merge(people[["person_id", "frequency"]], on="person_id")
    pooled = rows.assign(
        times=rows["frequency"], frequency=rows["frequency"].clip(upper=MOST_EXPOSURES)
    )
    keys = ["step", "epoch", "kind", "wording", "frequency"]
    return pooled.groupby(keys, as_index=False).agg(
        mean_frequency=("times", "mean"), accuracy=("correct", "mean"),
        n_people=("person_id", "nunique"), n_rows=("correct", "size"), n_right=("correct", "sum"),
    )  # fmt: skip
