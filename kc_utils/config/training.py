"""Sections of the configuration about training: of a base model, then on the biographies."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from kc_utils.config.sections import (
    MOST,
    MOST_TEXTS,
    Count,
    PositiveFloat,
    Rate,
    Section,
    Share,
    Times,
)

#: Of AdamW, which divides by one minus it.
Decay = Annotated[float, Field(ge=0, lt=1)]


class BaseConfig(Section):
    """Pre-training of a made model, which makes the K_rel subjects known."""

    relations: Literal["mixed", "other", "same"] = Field(
        "mixed",
        description="what base texts say: other relations (hobby, pet, ...), the same five "
        "attributes with old values, or both",
    )
    given: str | None = Field(
        None,
        description="null: the run makes its base model; shipped: the one of this shape that comes "
        "with the package; or a folder that 'kc base' wrote",
    )
    n_known: Count = Field(400, description="people in the base corpus")
    texts_per_person: Times = Field(30, description="base texts about each of them")
    sentences_per_text: Annotated[int, Field(ge=1, le=1000)] = Field(
        5, description="sentences in each base text"
    )
    passes: Times = Field(2, description="passes over the base texts")
    batch_size: Count = Field(8, description="blocks per step")
    learning_rate: Rate = Field(1e-3, description="highest learning rate")
    warmup_share: Share = Field(0.05, description="share of the steps that warm up")
    checkpoint_every: Count = Field(200, description="steps between resume points")

    @model_validator(mode="after")
    def _not_endless(self) -> BaseConfig:
        if self.n_known * self.texts_per_person > MOST_TEXTS:
            raise ValueError(
                f"n_known={self.n_known} and texts_per_person={self.texts_per_person} are "
                f"{self.n_known * self.texts_per_person:,} texts, and at most {MOST_TEXTS:,} are "
                "written here"
            )
        return self


class TrainingConfig(Section):
    """Continual pre-training on the biographies (paper, table of section 3)."""

    epochs: Times = Field(20, description="passes over the biographies")
    block_size: Annotated[int, Field(ge=32, le=MOST)] = Field(256, description="tokens per block")
    batch_size: Count = Field(12, description="blocks per device and forward pass")
    accumulation: Count = Field(1, description="forward passes per optimiser step")
    devices: Count = Field(
        1, description="devices that share a step; a run on fewer accumulates more instead"
    )
    learning_rate: Rate = Field(1e-3, description="learning rate of AdamW")
    beta1: Decay = Field(0.9, description="AdamW: decay of the gradient's mean")
    beta2: Decay = Field(0.95, description="AdamW: decay of the mean of its square")
    epsilon: PositiveFloat = Field(1e-6, description="AdamW: added to the denominator")
    weight_decay: Annotated[float, Field(ge=0, le=1000)] = Field(
        0.1, description="AdamW: weight decay"
    )
    max_grad_norm: PositiveFloat = Field(1.0, description="longer gradients are clipped")
    precision: Literal["float32", "mixed"] = Field(
        "float32",
        exclude_if=lambda precision: precision == "float32",  # keys of such runs stay as they are
        description="mixed: weights, sums and the loss in float32, products of matrices in "
        "bfloat16 where the processor or GPU has instructions for it",
    )
    checkpoint_every: Annotated[int, Field(ge=0, le=MOST)] = Field(
        0, description="optimiser steps between checkpoints; 0 = one checkpoint per epoch"
    )
    checkpoint_epochs: tuple[PositiveFloat, ...] = Field(
        (),
        description="epochs (fractions allowed) after which checkpoints are kept, ascending, "
        "instead of one per epoch; the start and the end are always kept",
    )
    validation_people: Count = Field(
        200, description="people per type whose biographies measure first-token accuracy"
    )

    @model_validator(mode="after")
    def _ascending(self) -> TrainingConfig:
        wanted = self.checkpoint_epochs
        if list(wanted) != sorted(set(wanted)) or (wanted and wanted[-1] > self.epochs):
            raise ValueError(
                f"checkpoint_epochs={list(wanted)} must ascend and end by epochs={self.epochs}"
            )
        if wanted and self.checkpoint_every:
            raise ValueError("checkpoint_epochs and checkpoint_every exclude each other")
        return self
