"""Stage ``training``: continual pre-training, and what each checkpoint knows."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from kc_utils import artifacts
from kc_utils.config import ATTRIBUTES, TrainingConfig
from kc_utils.models.causal_lm import load_model, load_tokenizer
from kc_utils.models.devices import device
from kc_utils.runs.folder import Run
from kc_utils.runs.jobs import run_jobs
from kc_utils.runs.stage import Workspace
from kc_utils.study.stages import common
from kc_utils.training.accuracy import first_token_accuracy, generate_answers
from kc_utils.training.packing import plan_epochs
from kc_utils.training.pretraining import train
from kc_utils.training.trainer import fast_kernels
from kc_utils.world import query_prompt
from kc_utils.world.prompts import WORDINGS


def compute(work: Workspace) -> None:
    """``checkpoints/``; tables ``checkpoints``, ``training_loss``, ``first_token``,
    ``query_answers``."""
    run, settings = work.run, work.config
    folder = work.folder("checkpoints")
    base = run.verify(run.path / "base") / "model"
    tokenizer = load_tokenizer(base)
    texts = run.read(run.path / "data" / "biographies.parquet")["text"].tolist()
    plan = plan_epochs(
        tokenizer(texts).input_ids,
        epochs=settings.training.epochs,
        block_size=settings.training.block_size,
        eos_id=tokenizer.eos_token_id,
        pad_id=tokenizer.pad_token_id,
        seed=settings.seed,
    )
    result = train(
        load_model(base, attention="sdpa"),
        tokenizer,
        plan,
        folder,
        on_this_machine(settings.training),
        settings.seed,
        gradient_checkpointing=settings.model.gradient_checkpointing,
        description="continual pre-training",
    )
    steps = result.checkpoints[["step", "epoch"]].reset_index(drop=True)
    jobs = [(run.path, int(step), _piece(work, int(step))) for step in steps["step"]]
    run_jobs(measure_checkpoint, [j for j in jobs if not j[2].is_file()], "first-token accuracy")
    measured = [artifacts.read_parquet(path).assign(step=step) for _, step, path in jobs]
    work.table("checkpoints", steps)
    work.table("training_loss", result.losses)
    work.table("first_token", pd.concat(measured).merge(steps, on="step"))
    work.table(
        "query_answers", work.piece("query_answers", lambda: answer_queries(run, jobs[-1][1]))
    )


def on_this_machine(training: TrainingConfig) -> TrainingConfig:
    """Spread the profile's devices over accumulation: training runs on one device."""
    return training.model_copy(
        update={"accumulation": training.accumulation * training.devices, "devices": 1}
    )


def _piece(work: Workspace, step: int) -> Path:
    return work.parts / f"first_token-{step:06d}.parquet"


def measure_checkpoint(run_path: Path, step: int, out: Path) -> None:
    """First-token accuracy of one checkpoint on trained and held-out wordings."""
    run = Run.open(run_path)
    path = common.checkpoint_path(run, step)
    model, tokenizer = load_model(path, attention="sdpa").to(device()), load_tokenizer(path)
    validation = run.read(run.path / "data" / "validation.parquet")
    with fast_kernels(model):
        measured = first_token_accuracy(model, tokenizer, validation)
    artifacts.write_parquet(out, measured)


def answer_queries(run: Run, step: int) -> pd.DataFrame:
    """Whole answers by greedy generation, for the validation people, in both wordings."""
    path = common.checkpoint_path(run, step)
    model, tokenizer = load_model(path, attention="sdpa").to(device()), load_tokenizer(path)
    chosen = run.read(run.path / "data" / "validation.parquet")["person_id"].unique()
    people = run.read(run.path / "data" / "people.parquet")
    people = people[people["person_id"].isin(chosen)]
    frames = []
    for attribute in ATTRIBUTES:
        for wording in WORDINGS:
            template = query_prompt(attribute, wording)
            prompts = [template.replace("{name}", name) for name in people["name"]]
            answers = generate_answers(model, tokenizer, prompts, people[attribute].tolist())
            who = people[["person_id", "kind", "band"]].reset_index(drop=True)
            named = who.assign(attribute=attribute, wording=wording)
            frames.append(pd.concat([named, answers.reset_index(drop=True)], axis=1))
    return pd.concat(frames, ignore_index=True)
