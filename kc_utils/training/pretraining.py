"""Continual pre-training with the Trainer of transformers (paper, section 3).

AdamW at a constant rate, next-token loss over packed blocks, a checkpoint per epoch or every n
steps. The base model of a made world uses the same function with warm-up and linear decay.

A killed run goes on from its newest checkpoint and ends with the same bits as an unbroken one on
the same machine with the same number of threads: weights, optimiser moments, learning rate,
torch's random states (dropout) and the place in the fixed order of steps are all restored. The
whole run is one epoch to the Trainer, so that resuming only means skipping steps.

A run of several devices is the same run with more ``accumulation``. Where ``accelerate launch`` has
started several processes, they share the micro-batches of every step: ``accumulation`` is that of
all of them together, and the weights are those of one process up to the order of sums (dropout
apart, which each process draws for its own micro-batches). The first process writes.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback

from kc_utils.config import TrainingConfig
from kc_utils.errors import KcError
from kc_utils.models.devices import is_first, n_processes, wait_for_all
from kc_utils.training import checkpoints
from kc_utils.training.checkpoints import RESUME, Checkpoint
from kc_utils.training.packing import BlockSteps, EpochPlan, StepDataset
from kc_utils.training.trainer import (
    Measurer,
    ProgressBar,
    Saver,
    Schedule,
    StepTrainer,
    fast_kernels,
    in_bfloat16,
    isolated,
    training_arguments,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingResult:
    """What a run left in its folder.

    ``checkpoints``: one row per checkpoint: step, epoch (with fraction), path (str).
    ``losses``: one row per optimiser step: step (from 1), loss (nats per token, before the
    step), grad_norm (before clipping), learning_rate. ``final``: the newest checkpoint.
    """

    checkpoints: pd.DataFrame
    losses: pd.DataFrame
    final: Path


def train(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    plan: EpochPlan,
    out_dir: str | Path,
    training: TrainingConfig,
    seed: int,
    *,
    schedule: Schedule = "constant",
    warmup_share: float = 0.0,
    keep: Literal["all", "last"] = "all",
    gradient_checkpointing: bool = False,
    description: str = "training",
) -> TrainingResult:
    """Train ``model`` in place on all epochs of ``plan`` and leave checkpoints in ``out_dir``.

    Started again after a kill it continues; started again after its end it puts the final
    weights into ``model`` and returns at once.

    Called by every process that ``accelerate launch`` has started; all get the same result.

    Args:
        model: the model as it is before training, also when a run is continued. It moves to
            the GPU when there is one.
        tokenizer: stored with each checkpoint.
        plan: the blocks of every epoch (:func:`~kc_utils.training.packing.plan_epochs`).
        out_dir: gets ``step-000000/`` (before training), then one folder per epoch, or every
            ``training.checkpoint_every`` steps and at the end.
        training: batch size, accumulation, rate, AdamW's constants. ``epochs`` and
            ``block_size`` were used by the plan and are not read here.
        seed: of dropout. The order of the data is the plan's.
        schedule: ``constant``, or ``decay`` linearly to zero at the last step.
        warmup_share: share of the steps over which the rate rises linearly from zero.
        keep: ``all`` checkpoints, or only the ``last`` one (then none before training).
        gradient_checkpointing: recompute activations to save memory.
        description: of the progress bar.

    Raises:
        KcError: ``out_dir`` holds a run with other data, settings, seed or starting weights,
            or a damaged checkpoint; or processes cannot share ``training.accumulation`` evenly.
    """
    alone = shared(training)
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    dataset = StepDataset(plan, training.batch_size, training.accumulation)
    settings = training.model_dump(mode="json", exclude={"validation_people"}) | {
        "schedule": schedule,
        "warmup_share": warmup_share,
        "seed": seed,
        "data": plan.digest,
        "keep": keep,
        "start": checkpoints.weights_hash(model),
    }
    if training.precision == "mixed":  # a run doesn't go on with other products than it began with
        settings["products"] = "bfloat16" if in_bfloat16(training) else "float32"
    newest = _newest(out_dir)
    if newest is not None:
        checkpoints.check_settings(newest, settings)
    wait_for_all()  # nobody writes before all have read
    if is_first():
        checkpoints.clean(out_dir, keep)
    if newest is not None and newest.step >= dataset.n_steps:
        checkpoints.load_weights(model, newest.path)
        return read_result(out_dir)
    if newest is not None:
        logger.info("continuing %s from step %d", out_dir, newest.step)
    with isolated(seed), fast_kernels(model):
        arguments = training_arguments(
            alone,
            out_dir,
            n_steps=dataset.n_steps,
            seed=seed,
            schedule=schedule,
            warmup_share=warmup_share,
            gradient_checkpointing=gradient_checkpointing,
        )
        trainer = StepTrainer(model, arguments, dataset)
        epochs = save_steps(dataset.epoch_ends, training)
        trainer.write = _Writer(trainer, tokenizer, out_dir, settings, keep, epochs)
        before = trainer.write if newest is None and keep == "all" else None
        trainer.add_callback(Saver(epochs, before))
        trainer.add_callback(ProgressBar(description))
        trainer.train(resume_from_checkpoint=str(newest.path / RESUME) if newest else None)
    model.eval()
    wait_for_all()  # the last checkpoint is written
    return read_result(out_dir)


def read_result(out_dir: str | Path) -> TrainingResult:
    """Checkpoints and losses of the run in ``out_dir``.

    Raises:
        KcError: there is no run, or a checkpoint is damaged.
    """
    newest = _newest(Path(out_dir))
    if newest is None:
        raise KcError(f"There is no training run in {str(out_dir)!r}.")
    found = checkpoints.list_checkpoints(out_dir)
    table = pd.DataFrame(
        [(c.step, c.epoch, str(c.path)) for c in found], columns=["step", "epoch", "path"]
    )
    return TrainingResult(table, checkpoints.read_losses(newest), newest.path)


def train_in_memory(
    model: PreTrainedModel,
    steps: BlockSteps,
    training: TrainingConfig,
    seed: int,
    *,
    measure: Callable[[int, PreTrainedModel], Any],
    every: int,
    description: str = "training",
    callbacks: Sequence[TrainerCallback] = (),
) -> list[Any]:
    """Train ``model`` in place on given batches, measuring it on the way; nothing is stored.

    Args:
        model: trained in place at ``training.learning_rate``, constant.
        steps: the blocks of every optimiser step.
        training: rate and AdamW's constants; batch size and accumulation are not read.
        seed: of dropout.
        measure: ``measure(step, model)`` is called before the first step, every ``every`` steps
            and after the last one, in eval mode and with random states of its own.
        every: steps between measurements.
        description: of the progress bar.
        callbacks: called before ``measure`` at the end of every step.

    Returns:
        The results of ``measure`` in order.
    """
    results: list[Any] = []
    alone = training.model_copy(update={"accumulation": 1})
    with isolated(seed), fast_kernels(model), tempfile.TemporaryDirectory() as nowhere:
        arguments = training_arguments(alone, Path(nowhere), n_steps=steps.n_steps, seed=seed)
        trainer = StepTrainer(model, arguments, steps)
        for callback in callbacks:
            trainer.add_callback(callback)
        trainer.add_callback(Measurer(measure, every, steps.n_steps, results))
        trainer.add_callback(ProgressBar(description))
        trainer.train()
    model.eval()
    return results


def shared(training: TrainingConfig) -> TrainingConfig:
    """The settings of one of this launch's processes, which share ``accumulation``.

    Raises:
        KcError: there are more processes than forward passes, or they do not divide evenly.
    """
    n = n_processes()
    if training.accumulation % n:
        raise KcError(
            f"{n} processes cannot share the {training.accumulation} forward passes of a step "
            "(training.accumulation x training.devices) evenly; allowed are its divisors."
        )
    return training.model_copy(update={"accumulation": training.accumulation // n})


def save_steps(ends: Sequence[int], training: TrainingConfig) -> dict[int, float]:
    """Steps after which a checkpoint is written (0: before training), with the epoch reached.

    ``ends``: optimiser steps done when each epoch ends. Checkpoints come every
    ``checkpoint_every`` steps, or at the steps nearest to ``checkpoint_epochs``, or at the end of
    every epoch; the first and the last step have one in any case.
    """
    every, epochs = training.checkpoint_every, training.checkpoint_epochs
    if every:
        inner = set(range(every, ends[-1], every))
    elif epochs:
        inner = set(
            np.interp(epochs, range(len(ends) + 1), [0, *ends]).round().astype(int).tolist()
        )
    else:
        inner = set(ends)
    steps = sorted({0, *inner, ends[-1]})
    marks = np.interp(steps, [0, *ends], range(len(ends) + 1))
    return dict(zip(steps, marks.tolist(), strict=True))


def _newest(out_dir: Path) -> Checkpoint | None:
    """The checkpoint to continue from, after a check of all of them."""
    found = checkpoints.list_checkpoints(out_dir)
    for checkpoint in found:
        checkpoints.verify(checkpoint, hashes=checkpoint is found[-1])
    if found and not found[-1].resumable:
        raise KcError(
            f"{str(found[-1].path)!r} cannot be continued: it has no {RESUME} folder; "
            f"remove {str(out_dir)!r} and train again."
        )
    return found[-1] if found else None


@dataclass(frozen=True)
class _Writer:
    """Writes the checkpoint of the Trainer's current step."""

    trainer: StepTrainer
    tokenizer: PreTrainedTokenizerBase
    out_dir: Path
    settings: dict[str, Any]
    keep: str
    epochs: dict[int, float]

    def __call__(self) -> None:
        if not is_first():
            return
        step = self.trainer.state.global_step
        checkpoints.write_checkpoint(
            self.out_dir,
            step,
            self.epochs[step],
            self.trainer.accelerator.unwrap_model(self.trainer.model),
            self.tokenizer,
            self._resume,
        )
        checkpoints.clean(self.out_dir, self.keep)

    def _resume(self, folder: Path) -> None:
        trainer = self.trainer
        checkpoints.save_progress(folder, trainer.state, self.settings)
        if trainer.state.global_step < trainer.state.max_steps:
            checkpoints.save_optimizer(folder, trainer.optimizer, trainer.lr_scheduler)
            checkpoints.save_random(folder)
