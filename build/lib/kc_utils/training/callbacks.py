"""What happens between the steps of a run: progress, checkpoints, measurements."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from typing import Any

import torch
from tqdm import tqdm
from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState


class ProgressBar(TrainerCallback):
    """A plain text bar on stderr; rarely redrawn where it goes to a file or a notebook."""

    def __init__(self, description: str) -> None:
        self.description = description
        self.bar: tqdm | None = None

    def on_train_begin(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
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
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            self.results.append(self.measure(step, model.eval()))
