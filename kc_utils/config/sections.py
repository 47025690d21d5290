"""What the configuration is made of: a frozen section, kinds of numbers, and small sections."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

#: Most of anything that is counted (people, pairs, steps, ...): more is a slip of the keyboard.
MOST = 10**6
#: Most texts that are written for one training: with more, a training takes weeks on any machine.
MOST_TEXTS = 10**7
#: Most often that something is done as a whole, or held in memory as a whole.
MOST_TIMES = 10_000
#: Tables hold seeds as signed numbers of 64 bits.
MOST_SEED = 2**63 - 1

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, le=MOST)]
Times = Annotated[int, Field(ge=1, le=MOST_TIMES)]
PositiveFloat = Annotated[float, Field(gt=0)]
#: A learning rate. A step of AdamW moves every weight by about as much.
Rate = Annotated[float, Field(gt=0, le=1)]
Seed = Annotated[int, Field(ge=0, le=MOST_SEED)]


class Section(BaseModel):
    """Base of every part: unknown keys are errors and values cannot change after validation."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )


def each_once(chosen: tuple) -> tuple:
    """``chosen``; ValueError if it is empty, or has twice what would be counted twice."""
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError("at least one is needed, and each only once")
    return chosen


class ControlsConfig(Section):
    """What noise and controls give: resampled people, shuffled answers, an untrained model."""

    resamples: Times = Field(
        4, description="pairs of resampled sets of people behind the noise floor of a circuit"
    )
    unseen_people: Count = Field(
        200, description="people never written about whose answers are looked at"
    )


class ForgettingConfig(Section):
    """Training on other people, or conflicting facts, with a share of the old data replayed."""

    replay_ratios: tuple[Share, ...] = Field(
        (0.0, 0.1, 0.2, 0.4, 0.6, 1.0), description="shares of old data replayed, a run for each"
    )
    variants: tuple[Literal["new_people", "conflicting"], ...] = Field(
        ("new_people", "conflicting"), description="what is trained on: new people, or new facts"
    )
    n_people: Count = Field(300, description="new people, or people whose facts change")
    steps: Count = Field(60, description="optimiser steps per replay ratio")
    measure_every: Count = Field(20, description="steps between measurements")
    learning_rate: Rate = Field(1e-3, description="learning rate of AdamW")
    batch_size: Count = Field(12, description="blocks per step")

    @field_validator("replay_ratios", "variants")
    @classmethod
    def _each_once(cls, chosen: tuple) -> tuple:
        return each_once(chosen)


class AnalysisConfig(Section):
    """Thresholds and resampling of the analyses."""

    role_ratio: Annotated[float, Field(gt=1)] = Field(
        10.0, description="subject/relation attribution ratio of a mover head (inverse: relation)"
    )
    bootstrap: Annotated[int, Field(ge=1, le=100_000)] = Field(
        1000, description="bootstrap and permutation resamples"
    )
    lens_people: Count = Field(40, description="pairs per cell for logit lens and attribution")
    method_pairs: Count = Field(
        16, description="pairs on which attribution methods are compared with exact patching"
    )
    exact_max_edges: Annotated[int, Field(ge=0, le=10**8)] = Field(
        5000, description="largest graph whose every edge is patched"
    )


class RelevanceConfig(Section):
    """Experiment: how much of a name must be known before new facts are learned sooner?"""

    people_per_kind: Annotated[int, Field(ge=15, le=180)] = Field(
        40, description="people of each of the four kinds of relevance"
    )
    texts_per_person: Times = Field(30, description="base texts about each known person")
    passes: Times = Field(4, description="passes over the base texts")
    base_rate: Rate = Field(
        3e-3, description="learning rate of the base texts, high enough that facts are known"
    )
    epochs: Times = Field(17, description="passes over the biographies")
    batch_size: Count = Field(4, description="blocks per step, before and after")


class ExposureConfig(Section):
    """Experiment: what one more exposure gives, how it decays, and whether wording matters."""

    people: Annotated[int, Field(ge=4, le=MOST)] = Field(40, description="people in each group")
    exposures: Annotated[int, Field(ge=2, le=MOST_TIMES)] = Field(
        5, description="exposures of the repeated and varied groups"
    )
    spacing: Count = Field(
        10, description="steps from one exposure to the next; people start on as many steps in turn"
    )
    steps_after: Count = Field(96, description="steps after the last exposure")
    lead_in: Annotated[int, Field(ge=0, le=MOST)] = Field(
        16, description="steps before the first exposure, while the optimiser's moments settle"
    )
    batch_size: Count = Field(8, description="blocks per step, injected texts among them")
    start: Share = Field(
        1.0, description="which checkpoint to go on from, as a share of the training (1 = last)"
    )


class StrategyConfig(Section):
    """Experiment: strategies of continual pre-training at one token budget."""

    known_people: Annotated[int, Field(ge=4, le=MOST)] = Field(
        32, description="people of the base corpus whose facts are the old knowledge"
    )
    known_steps: Annotated[int, Field(ge=0, le=MOST)] = Field(
        560,
        description="steps on base texts about them before the experiment, so that there is "
        "something to forget; 0: the base model as it is",
    )
    queries: Count = Field(200, description="questions about old facts")
    people: Annotated[int, Field(ge=4, le=MOST)] = Field(24, description="new people to be learned")
    steps: Count = Field(480, description="optimiser steps of every strategy")
    batch_size: Count = Field(2, description="blocks per step, before and after")
    measure_every: Count = Field(40, description="steps between measurements")
    detect_every: Count = Field(
        10, description="steps between looks at the entropy while the shift is awaited"
    )
    n_pairs: Count = Field(24, description="pairs of prompts that circuits are found on")
    replay: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.25, description="share of all blocks that replay base texts"
    )
    names_share: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.2, description="share of the budget that teaches names before facts"
    )
    switch_by: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.6, description="share of the steps after which replay starts without a shift"
    )
    trained_share: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.5, description="share of heads, and of MLPs, that the circuit strategy trains"
    )

    @model_validator(mode="after")
    def _consistent(self) -> StrategyConfig:
        if self.measure_every % self.detect_every:
            raise ValueError(
                f"measure_every={self.measure_every} is not a multiple of "
                f"detect_every={self.detect_every}"
            )
        if self.replay > 1 - self.switch_by:
            raise ValueError(
                f"replay={self.replay} does not fit behind switch_by={self.switch_by}; "
                "their sum may be at most 1"
            )
        return self
