"""The Trainer of transformers, narrowed: our loss, a fixed order, state without pickle.

What happens between its steps is said by callbacks: progress, checkpoints, measurements.
"""

from __future__ import annotations

import contextlib
import os
import random
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn
from tqdm import tqdm
from transformers import (
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from kc_utils.config import TrainingConfig
from kc_utils.kernels import causal_attention
from kc_utils.kernels.activation import sigmoid_gelu
from kc_utils.kernels.kept_memory import kept_memory
from kc_utils.kernels.matmul import fast_products
from kc_utils.models.devices import has_bfloat16, has_gpu
from kc_utils.models.loading import quiet
from kc_utils.training import checkpoints
from kc_utils.training.packing import IGNORED, BlockSteps, StepDataset

Schedule = Literal["constant", "decay"]


def training_arguments(
    training: TrainingConfig,
    out_dir: Path,
    *,
    n_steps: int,
    seed: int,
    schedule: Schedule = "constant",
    warmup_share: float = 0.0,
    gradient_checkpointing: bool = False,
) -> TrainingArguments:
    """Arguments of a run of ``n_steps`` on one device, silent and without files of its own."""
    warmup = round(warmup_share * n_steps)
    constant = "constant_with_warmup" if warmup else "constant"
    arguments = TrainingArguments(
        output_dir=str(out_dir),
        per_device_train_batch_size=1,  # an item of the dataset is a whole micro-batch
        gradient_accumulation_steps=training.accumulation,
        max_steps=n_steps,
        learning_rate=training.learning_rate,
        lr_scheduler_type="linear" if schedule == "decay" else constant,
        warmup_steps=warmup,
        adam_beta1=training.beta1,
        adam_beta2=training.beta2,
        adam_epsilon=training.epsilon,
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_grad_norm,
        optim="adamw_torch_fused",
        train_sampling_strategy="sequential",
        activation_checkpointing=gradient_checkpointing,
        use_cpu=not has_gpu(),
        bf16=in_bfloat16(training),
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        save_strategy="no",  # the Saver callback decides
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to="none",
        ddp_find_unused_parameters=False,
        log_level_replica="error",
        seed=seed % 2**32,
    )
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1
    return arguments


def in_bfloat16(training: TrainingConfig) -> bool:
    """Whether a run with these settings computes products in bfloat16 here."""
    return training.precision == "mixed" and has_bfloat16()


@contextlib.contextmanager
def isolated(seed: int) -> Iterator[None]:
    """Seed torch and make kernels deterministic; put every generator and flag back at the end."""
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002 (Trainer seeds them)
    deterministic = torch.are_deterministic_algorithms_enabled()
    with quiet(), torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        if torch.cuda.is_available():
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(deterministic)
            random.setstate(python)
            np.random.set_state(legacy)  # noqa: NPY002


@contextlib.contextmanager
def fast_kernels(model: PreTrainedModel) -> Iterator[None]:
    """Run many tokens with the fastest kernels, and put back what the model was loaded with.

    The fastest attention is PyTorch's fused one, except where oneDNN computes the products
    (:mod:`kc_utils.kernels.matmul`): it is slow at the many small ones of that, and
    :mod:`kc_utils.kernels.causal_attention` has large ones. GELU is put together from cheaper parts
    (:mod:`kc_utils.kernels.activation`), and memory is kept from step to step
    (:mod:`kc_utils.kernels.kept_memory`).
    """
    before = model.config._attn_implementation
    products = contextlib.nullcontext(False) if has_gpu() else fast_products()
    try:
        with kept_memory(), sigmoid_gelu(model), products as by_onednn:
            if by_onednn and model._supports_sdpa:
                model.set_attn_implementation(causal_attention.NAME)
            elif before == "eager" and model._supports_sdpa:
                model.set_attn_implementation("sdpa")
            yield
    finally:
        model.set_attn_implementation(before)
        if model.__dict__.pop("_original_forward", None) is not None:
            del model.forward  # accelerate's, around mixed precision


@contextlib.contextmanager
def own_forward(model: PreTrainedModel) -> Iterator[None]:
    """Run the model in its own precision inside, also where accelerate has it round products."""
    rounding = model.__dict__.pop("forward", None)
    try:
        yield
    finally:
        if rounding is not None:
            model.forward = rounding


def next_token_loss(
    outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None
) -> torch.Tensor:
    """Cross-entropy of the next token, summed and divided by the tokens of the whole step.

    Args:
        outputs: has ``logits`` [batch, pos, vocab].
        labels: [batch, pos], -100 where nothing is counted.
        num_items_in_batch: tokens counted over all micro-batches of the step.
    """
    # The last position of a row predicts nothing. Cutting it off would copy all logits.
    targets = nn.functional.pad(labels[:, 1:], (0, 1), value=IGNORED).flatten()
    logits = outputs.logits.flatten(0, 1).float()
    total = nn.functional.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum")
    counted = (targets != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
    return total / counted


class StepTrainer(Trainer):
    """Trains on micro-batches in their given order.

    Everything that the Trainer would pickle is written by ``write`` and read by
    :mod:`kc_utils.training.checkpoints`; resuming takes the ``resume/`` folder of a checkpoint.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        arguments: TrainingArguments,
        dataset: StepDataset | BlockSteps,
    ) -> None:
        super().__init__(
            model,
            arguments,
            data_collator=lambda items: items[0],
            train_dataset=dataset,
            compute_loss_func=next_token_loss,
        )
        self.pop_callback(PrinterCallback)
        self.write: Callable[[], None] | None = None

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        return {**super()._prepare_inputs(inputs), "use_cache": False}

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        return 0

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        if self.write is not None:
            self.write()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        checkpoints.load_weights(self.model, Path(resume_from_checkpoint).parent)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            checkpoints.load_optimizer(self.optimizer, self.lr_scheduler, Path(checkpoint))

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            checkpoints.load_random(Path(checkpoint))


class ProgressBar(TrainerCallback):
    """A plain text bar on stderr; rarely redrawn where it goes to a file or a notebook."""

    def __init__(self, description: str) -> None:
        self.description = description
        self.bar: tqdm | None = None

    def on_train_begin(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        if not state.is_world_process_zero:
            return
        interval = 0.5 if sys.stderr.isatty() else 10.0
        self.bar = tqdm(
            desc=self.description,
            total=state.max_steps,
            initial=state.global_step,
            unit="step",
            mininterval=interval,
            maxinterval=interval,
            ncols=88,
            file=sys.stderr,
        )

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if self.bar is not None and logs and "loss" in logs:
            self.bar.set_postfix(loss=f"{logs['loss']:.3f}", refresh=False)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.bar is not None:
            self.bar.update()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.bar is not None:
            self.bar.close()


class Saver(TrainerCallback):
    """Asks for a checkpoint after the given steps; ``before`` writes the one before training."""

    def __init__(self, steps: Collection[int], before: Callable[[], None] | None) -> None:
        self.steps = frozenset(steps)
        self.before = before

    def on_train_begin(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        if state.global_step == 0 and self.before is not None:
            self.before()

    def on_step_end(
        self, args: Any, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        control.should_save = state.global_step in self.steps
        return control


class Measurer(TrainerCallback):
    """Calls ``measure(step, model)`` every few steps without touching the training's randomness."""

    def __init__(
        self,
        measure: Callable[[int, PreTrainedModel], Any],
        every: int,
        last: int,
        results: list[Any],
    ) -> None:
        self.measure, self.every, self.last, self.results = measure, every, last, results

    def on_train_begin(
        self, args: Any, state: TrainerState, control: Any, model: Any = None, **_: Any
    ) -> None:
        self._measure(0, model)

    def on_step_end(
        self, args: Any, state: TrainerState, control: Any, model: Any = None, **_: Any
    ) -> None:
        if state.global_step % self.every == 0 or state.global_step == self.last:
            self._measure(state.global_step, model)

    def _measure(self, step: int, model: PreTrainedModel) -> None:
        generators = torch.random.fork_rng(devices=range(torch.cuda.device_count()))
        with generators, own_forward(model):
            self.results.append(self.measure(step, model.eval()))
