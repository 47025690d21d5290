"""Stage ``training``: continual pre-training, and what each checkpoint knows."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from transformers import PreTrainedTokenizerBase

from kc_utils import artifacts
from kc_utils.config import ATTRIBUTES, TrainingConfig
from kc_utils.models.causal_lm import load_model, load_tokenizer
from kc_utils.models.devices import device
from kc_utils.runs.folder import Run
from kc_utils.runs.jobs import run_jobs
from kc_utils.runs.stage import Workspace
from kc_utils.study.stages import common
from kc_utils.study.stages.world import trained_templates
from kc_utils.training.accuracy import first_token_accuracy, generate_answers
from kc_utils.training.packing import EpochPlan, plan_changing, plan_epochs
from kc_utils.training.pretraining import TrainingResult, train
from kc_utils.training.trainer import fast_kernels
from kc_utils.world import make_biographies, query_prompt, with_shuffled_answers
from kc_utils.world.prompts import WORDINGS


def compute(work: Workspace) -> None:
    """``checkpoints/``; tables ``checkpoints``, ``training_loss``, ``first_token``,
    ``query_answers``."""
    run = work.run
    result = pretrain(run, work.folder("checkpoints"))
    steps = result.checkpoints[["step", "epoch"]].reset_index(drop=True)
    jobs = [(run, int(step), _piece(work, int(step))) for step in steps["step"]]
    run_jobs(
        measure_checkpoint, [j for j in jobs if not artifacts.intact(j[2])], "first-token accuracy"
    )
    measured = [artifacts.read_parquet(path).assign(step=step) for _, step, path in jobs]
    work.table("checkpoints", steps)
    work.table("training_loss", result.losses)
    first = pd.concat(measured).merge(steps, on="step")
    read = first["wording"] == "read"
    work.table("first_token", first[~read].reset_index(drop=True))
    work.table("first_token_read", first[read].reset_index(drop=True))
    last = jobs[-1][1]
    asked = [(run, s, s == last, p.with_name(f"query-{p.name}")) for _, s, p in jobs]
    run_jobs(answer_queries, [j for j in asked if not artifacts.intact(j[3])], "whole answers")
    answered = [artifacts.read_parquet(path).assign(step=step) for _, step, _, path in asked]
    answers = pd.concat(answered).merge(steps, on="step")
    work.table("query_answers", answered[-1].drop(columns="step"))
    work.table("query_answers_by_step", answers[answers["wording"] == WORDINGS[0]])


def pretrain(run: Run, folder: Path) -> TrainingResult:
    """Train the run's base model on its biographies; checkpoints go into ``folder``.

    What lies there of the same training is continued, or only read where it is finished.
    """
    settings = run.config
    base = run.verify(run.path / "base") / "model"
    tokenizer = load_tokenizer(base)
    return train(
        load_model(base, attention="sdpa"),
        tokenizer,
        epoch_plan(run, tokenizer),
        folder,
        on_this_machine(settings.training),
        settings.seed,
        gradient_checkpointing=settings.model.gradient_checkpointing,
        description="continual pre-training",
    )


def epoch_plan(run: Run, tokenizer: PreTrainedTokenizerBase) -> EpochPlan:
    """What training reads, epoch by epoch.

    With shuffled answers every epoch has texts of its own, in which people hold other people's
    values; wordings and frequencies are those of the biographies.
    """
    settings = run.config
    how = {
        "block_size": settings.training.block_size,
        "eos_id": tokenizer.eos_token_id,
        "pad_id": tokenizer.pad_token_id,
        "seed": settings.seed,
    }
    epochs = settings.training.epochs
    if settings.world.answers == "fixed":
        texts = run.read(run.path / "data" / "biographies.parquet")["text"].tolist()
        return plan_epochs(tokenizer(texts).input_ids, epochs=epochs, **how)
    people = run.read(run.path / "data" / "people.parquet")
    templates = trained_templates(settings)
    read = [
        make_biographies(with_shuffled_answers(people, settings.seed, e), templates, settings.seed)
        for e in range(epochs)
    ]
    return plan_changing([tokenizer(r["text"].tolist()).input_ids for r in read], **how)


def on_this_machine(training: TrainingConfig) -> TrainingConfig:
    """Spread the profile's devices over accumulation, which the processes of a launch share."""
    return training.model_copy(
        update={"accumulation": training.accumulation * training.devices, "devices": 1}
    )


def _piece(work: Workspace, step: int) -> Path:
    return work.parts / f"first_token-{step:06d}.parquet"


def measure_checkpoint(run: Run, step: int, out: Path) -> None:
    """First-token accuracy of one checkpoint on trained and held-out wordings."""
    path = common.checkpoint_path(run, step)
    model, tokenizer = load_model(path, attention="sdpa").to(device()), load_tokenizer(path)
    validation = run.read(run.path / "data" / "validation.parquet")
    with fast_kernels(model):
        measured = first_token_accuracy(model, tokenizer, validation)
    artifacts.write_piece(out, measured)


def answer_queries(run: Run, step: int, everything: bool, out: Path) -> None:
    """Whole answers by greedy generation, for the validation people.

    With ``everything`` for all attributes in both wordings, else for the tasks of circuits in the
    trained one.
    """
    tasks = run.config.circuit.tasks
    attributes, wordings = (ATTRIBUTES, WORDINGS) if everything else (tasks, WORDINGS[:1])
    path = common.checkpoint_path(run, step)
    model, tokenizer = load_model(path, attention="sdpa").to(device()), load_tokenizer(path)
    chosen = run.read(run.path / "data" / "validation.parquet")["person_id"].unique()
    people = run.read(run.path / "data" / "people.parquet")
    people = people[people["person_id"].isin(chosen)]
    frames = []
    for attribute in attributes:
        for wording in wordings:
            template = query_prompt(attribute, wording)
            prompts = [template.replace("{name}", name) for name in people["name"]]
            answers = generate_answers(model, tokenizer, prompts, people[attribute].tolist())
            who = people[["person_id", "kind", "band"]].reset_index(drop=True)
            named = who.assign(attribute=attribute, wording=wording)
            frames.append(pd.concat([named, answers.reset_index(drop=True)], axis=1))
    artifacts.write_piece(out, pd.concat(frames, ignore_index=True))
