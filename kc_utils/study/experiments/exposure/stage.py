"""Experiment ``exposure``: gain and decay of single exposures, repeated and varied wording.

From a checkpoint, training goes on with the run's own biographies, a few of which give way to those
of new people at given steps (:mod:`kc_utils.study.experiments.exposure.groups`). All groups share
one training run.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pandas as pd
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kc_utils.config import ExposureConfig
from kc_utils.models.causal_lm import load_model, load_tokenizer
from kc_utils.runs.folder import Run
from kc_utils.runs.stage import Workspace
from kc_utils.study.experiments.exposure import groups
from kc_utils.study.experiments.exposure.gain import gains
from kc_utils.study.experiments.exposure.groups import Clock, Questions
from kc_utils.study.experiments.exposure.injection import Background, inject
from kc_utils.study.stages import common
from kc_utils.study.stages.training import on_this_machine
from kc_utils.training.answers import recall
from kc_utils.training.packing import BlockSteps
from kc_utils.training.pretraining import train_in_memory

_POINT = ["group", "wording", "since"]


def compute(work: Workspace) -> None:
    """Tables ``exposure`` (a row per group, wording and delay) and ``exposure_people``."""
    measured = work.piece("measured", lambda: measure(work.run))
    work.table("exposure", summary(measured))
    work.table("exposure_people", compact(measured))


def measure(run: Run) -> pd.DataFrame:
    """Train with injected texts and ask on the way, a row per person, wording and measurement.

    Columns: group, person, cohort, wording, step (optimiser steps done), since (steps since the
    last exposure), exposures (so far), log_prob (nats, mean over the five attributes of the whole
    value's log-probability), accuracy (share of attributes whose first token is the most likely).
    """
    settings = run.config
    clock = Clock.of(settings.exposure)
    path = run.verify(common.checkpoint_path(run, start_step(run, settings.exposure)))
    model, tokenizer = load_model(path, attention="sdpa"), load_tokenizer(path)
    names = run.read(run.path / "data" / "people.parquet")["name"]
    people = groups.probe_people(settings, names)
    texts = groups.probe_texts(people, settings)
    injected = groups.injections(people, texts, clock)
    asked = groups.questions(people, texts, tokenizer)
    frames = train_in_memory(
        model,
        steps(run, injected, clock.n_steps, tokenizer),
        on_this_machine(settings.training),
        settings.seed,
        measure=_Measure(people, asked, clock),
        every=1,
        description="exposures",
    )
    return pd.concat([frame for frame in frames if frame is not None], ignore_index=True)


def start_step(run: Run, chosen: ExposureConfig) -> int:
    """The step of the checkpoint that training goes on from."""
    found = run.table("checkpoints")["step"]
    return int(found.iloc[round(chosen.start * (len(found) - 1))])


def steps(
    run: Run, injected: pd.DataFrame, n_steps: int, tokenizer: PreTrainedTokenizerBase
) -> BlockSteps:
    """The blocks of every step: injected texts, and the run's own biographies in the other room."""
    settings = run.config
    old = run.read(run.path / "data" / "biographies.parquet")["text"].tolist()
    background = Background(
        texts=tokenizer(old).input_ids,
        batch_size=settings.exposure.batch_size,
        block_size=settings.training.block_size,
        eos_id=tokenizer.eos_token_id,
        pad_id=tokenizer.pad_token_id,
        seed=settings.seed,
    )
    by_step = {
        int(step): tokenizer(part["text"].tolist()).input_ids
        for step, part in injected.groupby("step")
    }
    return inject(background, by_step, n_steps)


class _Measure:
    """Asks about the people of the cohorts whose turn it is; None when it is nobody's."""

    def __init__(self, people: pd.DataFrame, asked: dict[int, Questions], clock: Clock) -> None:
        self.asked = asked
        self.due: dict[int, list[pd.DataFrame]] = defaultdict(list)
        who = people[["group", "person", "cohort", "person_id"]]
        for cohort, members in who.groupby("cohort"):
            for step, (since, so_far) in clock.measured(int(cohort)).items():
                # Those shown once are compared with themselves right before, so not asked earlier.
                due = members[(members["group"] != "once") | (since >= -1)]
                shown = due["group"].map(lambda group, k=so_far: _shown(group, k, clock))
                self.due[step].append(due.assign(step=step, since=since, exposures=shown))

    def __call__(self, step: int, model: PreTrainedModel) -> pd.DataFrame | None:
        if step not in self.due:
            return None
        rows = []
        for members in self.due[step]:
            batch = [self.asked[person_id] for person_id in members["person_id"]]
            rows.append(_ask(model, members, batch))
        return pd.concat(rows, ignore_index=True)


def _shown(group: str, so_far: int, clock: Clock) -> int:
    """How many exposures a person of the group had when its clock shows ``so_far``."""
    rare = {"never": 0, "once": int(so_far == clock.exposures)}
    return rare.get(group, so_far)


def _ask(model: PreTrainedModel, members: pd.DataFrame, batch: list[Questions]) -> pd.DataFrame:
    first = np.cumsum([0, *(len(q.texts) for q in batch)])
    spans = [q.spans + np.array([start, 0, 0]) for q, start in zip(batch, first, strict=False)]
    found = recall(model, [text for q in batch for text in q.texts], np.concatenate(spans))
    answers = pd.DataFrame(
        {
            "person_id": np.repeat(members["person_id"], [len(q.spans) for q in batch]),
            "wording": [wording for q in batch for wording in q.wordings],
            "log_prob": found.log_prob,
            "accuracy": found.first_correct.astype(float),
        }
    )
    means = answers.groupby(["person_id", "wording"], as_index=False, sort=False).mean()
    return members.merge(means, on="person_id").drop(columns="person_id")


def summary(measured: pd.DataFrame) -> pd.DataFrame:
    """Mean over the people of a group: group, wording, since, exposures, log_prob, se, accuracy,
    n_people, gain, low, high.

    ``se`` is the standard error of log_prob over people. Steps count from each person's own last
    exposure, so one row holds measurements at several optimiser steps. ``gain`` with its 95 %
    interval is the change since before the first exposure beyond that of the people never shown
    (:mod:`kc_utils.study.experiments.exposure.gain`); NaN for these people themselves.
    """
    grouped = measured.groupby([*_POINT, "exposures"], sort=True)
    table = grouped.agg(
        log_prob=("log_prob", "mean"),
        se=("log_prob", "sem"),
        accuracy=("accuracy", "mean"),
        n_people=("person", "nunique"),
    )
    return table.reset_index().merge(gains(measured), on=_POINT, how="left")


def compact(measured: pd.DataFrame) -> pd.DataFrame:
    """Log-probability of each person: group, person, wording, since, log_prob (nats, 2 decimals).

    Only before the first exposure, right before the last one, and from then on.
    """
    since = measured["since"]
    kept = measured[(since >= -1) | (since == since.min())]
    table = kept[["group", "person", "wording", "since", "log_prob"]].sort_values(
        ["group", "wording", "since", "person"]
    )
    small = {"person": "int16", "since": "int16", "log_prob": "float32"}
    return table.round({"log_prob": 2}).astype(small).reset_index(drop=True)
