"""A base model that is given: weights, tokenizer, and the facts that it was taught.

In the paper the pre-trained model is given too. One per architecture comes with the package, so
that a run can start with the new facts; a sweep makes one for every seed. The folder of a given
base is a Hugging Face folder (weights in bfloat16, half the size) and ``facts.json``: what the base
corpus told about each person, the settings that the model was made with, a digest of its weights.

A run that is given a base model may have another seed, other people and other training. Settings
that say how a base model is made would have no effect, so they have to be those of the given one.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kc_utils import artifacts
from kc_utils.config import Config
from kc_utils.errors import KcError
from kc_utils.models.causal_lm import load_model
from kc_utils.models.tokenizers import load_tokenizer
from kc_utils.runs.folder import resolve

SHIPPED = "shipped"
FACTS, WEIGHTS = "facts.json", "model.safetensors"
#: How a base model is made, as far as another run could contradict it.
MADE_WITH = {
    "model": ("shape", "n_layers", "n_heads", "n_kv_heads", "d_model", "d_mlp", "n_positions",
              "vocab_size"),
    "base": ("relations", "n_known", "texts_per_person", "sentences_per_text", "passes",
             "batch_size", "learning_rate", "warmup_share"),
    "circuit": ("bos",),
}  # fmt: skip


def folder(settings: Config) -> Path | None:
    """Where the given base model lies; None if the run makes its own.

    Raises:
        KcError: there is no such folder, or no shipped model of this shape.
    """
    given = settings.base.given
    if given is None or settings.model.source != "made":
        return None
    if given == SHIPPED:
        path = Path(str(files("kc_utils"))) / "data" / "base" / settings.model.shape
    else:
        path = resolve(given)
    if not (path / FACTS).is_file():
        raise KcError(
            f"base.given = {given!r} is no base model with its facts ({FACTS}); allowed are null, "
            f"{SHIPPED}, or a folder that 'kc base' wrote."
        )
    return path


def check(settings: Config) -> None:
    """Refuse settings that contradict the given base model, before anything is computed.

    Raises:
        KcError: no such model, a damaged record, or a setting that would have no effect.
    """
    path = folder(settings)
    if path is None:
        return
    own = "set base.given=null to make a model of your own"
    if settings.world.known_names_file is not None:
        raise KcError(
            f"world.known_names_file = {settings.world.known_names_file!r} does not go with a "
            f"given base model, which knows names of its own; leave it, or {own}."
        )
    made = _read(path)["made_with"]
    for section, values in made_with(settings).items():
        for key, value in values.items():
            if value != made[section].get(key):
                raise KcError(
                    f"{section}.{key} = {value!r} does not fit the given base model, which was "
                    f"made with {made[section].get(key)!r}; leave it, or {own}."
                )


def made_with(settings: Config) -> dict[str, dict[str, Any]]:
    """The values of :data:`MADE_WITH` in a configuration, by section."""
    values = settings.model_dump(mode="json")
    return {part: {key: values[part][key] for key in keys} for part, keys in MADE_WITH.items()}


def facts(settings: Config) -> pd.DataFrame | None:
    """What the given base was taught, a row per person: name and ten values; None without one.

    Raises:
        KcError: as :func:`check`.
    """
    check(settings)
    path = folder(settings)
    return None if path is None else pd.DataFrame(_read(path)["people"])


def load(settings: Config) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The given model in float32 and its tokenizer.

    Raises:
        KcError: none is given, as :func:`check`, or its weights are not those of its record.
    """
    check(settings)
    path = folder(settings)
    if path is None:
        raise KcError("base.given = None gives no base model; allowed are shipped, or a folder.")
    weights = path / WEIGHTS
    if not weights.is_file() or artifacts.sha256(weights) != _read(path)["weights"]:
        raise KcError(f"{str(weights)!r} is missing or damaged: its digest is not in {FACTS}.")
    return load_model(path), load_tokenizer(path)


def _read(path: Path) -> dict[str, Any]:
    record = artifacts.read_json(path / FACTS)
    needed = {"people", "made_with", "weights"}
    missing = sorted(needed - set(record)) if isinstance(record, dict) else sorted(needed)
    if not missing and not (set(MADE_WITH) <= set(record["made_with"]) and record["people"]):
        missing = ["made_with", "people"]
    if missing:
        raise KcError(f"{str(path / FACTS)!r} is damaged: it has no {' or '.join(missing)}.")
    return record
