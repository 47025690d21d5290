"""One frozen, validated configuration per run.

A configuration is built from a profile (:mod:`kc_utils.config.profiles`) and dotted overrides such
as ``training.epochs=5``. Unknown keys and impossible values raise
:class:`~kc_utils.errors.KcError` with the key, the value and what is allowed. Every stage of a run
is keyed by the parts of the configuration that it depends on, so that changing the circuit size
does not retrain the model.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from kc_utils.config.sections import (
    MOST,
    MOST_TEXTS,
    AnalysisConfig,
    ControlsConfig,
    Count,
    ExposureConfig,
    ForgettingConfig,
    RelevanceConfig,
    Section,
    Seed,
    Share,
    StrategyConfig,
    Times,
    each_once,
)
from kc_utils.config.training import BaseConfig, TrainingConfig

ATTRIBUTES = ("birthday", "city", "major", "university", "company")
KINDS = ("K_rel", "K_compl")
#: Made-up names of rare tokens, where a world has them; K_compl's are made of common parts.
STRANGE = "K_strange"
CELL = ["task", "kind", "band"]  # columns that say which people a circuit is about, and what
BANDS = ("high", "medium", "low")
COMMIT = r"^[0-9a-f]{40}$"
MOST_PARAMETERS = 10**10  # of a model that is made: more is a slip of the keyboard
MOST_PLACES = 10**8  # for edges, which are one matrix: 0.8 GB of scores for every circuit

Attribute = Literal["birthday", "city", "major", "university", "company"]
Kind = Literal["K_rel", "K_compl", "K_strange"]
Band = Literal["high", "medium", "low"]


class ModelConfig(Section):
    """Which causal language model goes on training."""

    source: Literal["made", "folder", "hub", "package"] = Field(
        "made",
        description="made: pre-trained here on the base corpus; folder: a local Hugging Face "
        "folder; hub: a name on the Hugging Face Hub; package: the GGUF file in a Python package",
    )
    path: str | None = Field(None, description="folder, hub name, or package name")
    # Left out where there is none, so that keys and records of other models stay as they are.
    revision: Annotated[str, Field(pattern=COMMIT)] | None = Field(
        None,
        exclude_if=lambda commit: commit is None,
        description="hub: the commit that is taken, because a branch or tag can be moved",
    )
    shape: Literal["gpt2", "llama"] = Field("gpt2", description="architecture of a made model")
    n_layers: Annotated[int, Field(ge=1, le=1000)] = Field(6, description="layers")
    n_heads: Count = Field(4, description="attention heads in each layer")
    n_kv_heads: Count = Field(4, description="key/value heads (llama shape only)")
    d_model: Count = Field(128, description="width of the residual stream")
    d_mlp: Count = Field(512, description="neurons in each MLP")
    n_positions: Count = Field(256, description="longest context, in tokens")
    vocab_size: Annotated[int, Field(ge=300, le=MOST)] = Field(
        4096, description="byte-level BPE tokens"
    )
    gradient_checkpointing: bool = Field(
        False, description="compute activations again in the backward pass: less memory, more time"
    )

    @model_validator(mode="after")
    def _consistent(self) -> ModelConfig:
        if self.d_model % self.n_heads:
            raise ValueError(f"d_model={self.d_model} is not a multiple of n_heads={self.n_heads}")
        if self.n_heads % self.n_kv_heads:
            raise ValueError(
                f"n_heads={self.n_heads} is not a multiple of n_kv_heads={self.n_kv_heads}"
            )
        size = (self.vocab_size + self.n_positions) * self.d_model
        size += self.n_layers * self.d_model * (4 * self.d_model + 3 * self.d_mlp)
        if size > MOST_PARAMETERS:
            raise ValueError(
                f"a model of this shape has about {size:.0e} parameters, and at most "
                f"{MOST_PARAMETERS:.0e} are made here"
            )
        places = (self.n_layers * (self.n_heads + 1) + 1) * (
            self.n_layers * (3 * self.n_heads + 1) + 1
        )
        if places > MOST_PLACES:
            raise ValueError(
                f"n_layers={self.n_layers} and n_heads={self.n_heads} give a graph with "
                f"{places:,} places for edges, and at most {MOST_PLACES:,} are allowed"
            )
        if self.source != "made" and not self.path:
            raise ValueError(f"source={self.source!r} needs model.path")
        if self.source != "hub" and self.revision:
            raise ValueError(f"model.revision has no effect with source={self.source!r}, only hub")
        return self


class WorldConfig(Section):
    """The people and what is written about them (paper, section 2 of the study)."""

    n_people: Annotated[int, Field(ge=2, le=MOST)] = Field(600, description="people to be learned")
    share_known: Share = Field(1 / 3, description="share of K_rel people (paper: 0.2)")
    mean_frequency: Annotated[float, Field(gt=0, le=1000)] = Field(
        2.5, description="mean of the exponential, biographies"
    )
    share_strange: Share = Field(
        0.0,
        exclude_if=lambda share: not share,  # keys of worlds without them stay as they are
        description="share of people with names of rare tokens (K_strange), for models that exist "
        "already: names of all kinds then have the same numbers of tokens",
    )
    known_names: Literal["made", "real", "checked"] = Field(
        "made",
        description="K_rel names: made-up ones that the base corpus teaches, real people, or those "
        "real people of whom the model answers something right",
    )
    held_out_templates: Share = Field(
        0.2, description="share of each attribute's templates that training never shows"
    )
    discover_share: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.5, description="share of people used to discover circuits; the others evaluate them"
    )
    known_names_file: str | None = Field(
        None,
        description="text file with a K_rel name on each line, or the base_corpus.parquet of a "
        "run, instead of the shipped names",
    )
    answers: Literal["fixed", "shuffled"] = Field(
        "fixed",
        description="fixed: a person's values are the same in every text; shuffled: in every "
        "epoch they are other people's, so that there is nothing to learn about persons (control)",
    )
    # Left out where there is none, so that keys and records of made-up worlds stay as they are.
    imported: str | None = Field(
        None,
        exclude_if=lambda folder: folder is None,
        description="folder that 'kc import-world' wrote: its people, texts and templates instead "
        "of made-up ones",
    )

    @model_validator(mode="after")
    def _consistent(self) -> WorldConfig:
        if self.imported and (self.known_names_file or self.answers != "fixed"):
            raise ValueError("imported goes with known_names_file=null and answers='fixed' only")
        if self.imported and (self.share_strange or self.known_names == "checked"):
            raise ValueError("imported brings its own people: share_strange=0, no checked names")
        if self.share_known + self.share_strange > 1:
            raise ValueError(
                f"share_known={self.share_known} and share_strange={self.share_strange} add up to "
                "more than 1"
            )
        return self

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of people in this world: K_rel, K_compl and, where it has them, K_strange."""
        return (*KINDS, STRANGE) if self.share_strange else KINDS


class CircuitConfig(Section):
    """Discovery (EAP-IG) and evaluation of circuits."""

    tasks: tuple[Attribute, ...] = Field(
        ("city", "company", "major"), description="attributes whose circuits are found"
    )
    bands: tuple[Band, ...] = Field(BANDS, description="frequency bands, a circuit for each")
    every: Count = Field(1, description="analyse every n-th checkpoint (first and last always)")
    n_pairs: Count = Field(300, description="pairs per relation, type, band and split (paper: 300)")
    min_fellows: Annotated[int, Field(ge=0, le=MOST)] = Field(
        5, description="drop subjects whose token length is shared by this many others or fewer"
    )
    method: Literal["eap", "eap-ig", "eap-ig-activations", "clean-corrupted", "relp"] = Field(
        "eap-ig", description="how edges are scored"
    )
    metric: Literal["logit_diff", "prob_diff", "kl"] = Field(
        "logit_diff", description="what is measured at the last token"
    )
    steps: Times = Field(5, description="integration steps m")
    path: Literal["1..m", "0..m-1"] = Field("1..m", description="which k of the integration path")
    batch_size: Count = Field(64, description="pairs in one forward pass")
    bos: bool = Field(
        True,
        description="prompts start with the model's beginning-of-text token; a model made here "
        "reads it at the start of every text",
    )
    top_n: Annotated[int, Field(ge=1, le=MOST_PLACES)] | None = Field(
        None,
        description="edges kept, by |score|; null: the smallest number that restores "
        "`restore` of the logit difference of the discovery people at the last checkpoint",
    )
    restore: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.85, description="mean faithfulness over cells that the number of edges is chosen for"
    )
    most_edges: Annotated[float, Field(gt=0, le=1)] = Field(
        0.05, description="largest share of all edges that this rule may choose"
    )
    random_circuits: Times = Field(5, description="random circuits of equal size, the control")
    hit_k: Count = Field(10, description="k of Hit@k")

    @field_validator("tasks", "bands")
    @classmethod
    def _each_once(cls, chosen: tuple[str, ...]) -> tuple[str, ...]:
        return each_once(chosen)

    @model_validator(mode="after")
    def _consistent(self) -> CircuitConfig:
        if self.metric == "kl" and self.method in ("eap", "relp"):
            raise ValueError(
                f"metric='kl' has no gradient at the clean run, the only one that "
                f"method={self.method!r} takes"
            )
        return self


class Config(Section):
    """Everything that a run depends on."""

    profile: str = Field("tiny", description="the named configuration that the run starts from")
    seed: Seed = Field(0, description="decides every random draw of the run")
    model: ModelConfig = ModelConfig()
    world: WorldConfig = WorldConfig()
    base: BaseConfig = BaseConfig()
    training: TrainingConfig = TrainingConfig()
    circuit: CircuitConfig = CircuitConfig()
    forgetting: ForgettingConfig = ForgettingConfig()
    analysis: AnalysisConfig = AnalysisConfig()
    controls: ControlsConfig = ControlsConfig()
    relevance: RelevanceConfig = RelevanceConfig()
    exposure: ExposureConfig = ExposureConfig()
    strategies: StrategyConfig = StrategyConfig()

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        for name, people in (
            ("world", self.world.n_people),
            ("forgetting", self.forgetting.n_people),
        ):
            if (texts := people * self.world.mean_frequency) > MOST_TEXTS:
                raise ValueError(
                    f"{name}.n_people={people} and world.mean_frequency="
                    f"{self.world.mean_frequency:g} are about {texts:,.0f} biographies, and at "
                    f"most {MOST_TEXTS:,} are written here"
                )
        made = self.model.source == "made"
        if made and self.training.block_size > self.model.n_positions:
            raise ValueError(
                f"training.block_size={self.training.block_size} is above "
                f"model.n_positions={self.model.n_positions}"
            )
        if made and self.world.share_strange:
            raise ValueError(
                f"world.share_strange={self.world.share_strange} needs a model that exists already "
                "(model.source package or hub): a tokenizer made here has no rare tokens"
            )
        if made and self.world.known_names == "checked":
            raise ValueError(
                "world.known_names=checked needs a model that exists already (model.source package "
                "or hub): a model made here is taught its K_rel people"
            )
        known = round(self.world.n_people * self.world.share_known)
        drawn = made and self.world.known_names == "made" and self.world.imported is None
        if drawn and self.base.n_known < known:
            raise ValueError(
                f"base.n_known={self.base.n_known} is below the {known} K_rel people of the world"
            )
        return self
