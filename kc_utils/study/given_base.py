"""A base model that is given: weights, tokenizer, and the facts that it was taught.

In the paper the pre-trained model is given too. One per architecture comes with the package, so
that a run can start with the new facts; a sweep makes one for every seed. A folder of a given base
is a Hugging Face folder (weights in bfloat16, half the size) and ``facts.json``: what the base
corpus told about each person, and how the model was made.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pandas as pd
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kc_utils import artifacts
from kc_utils.config import Config
from kc_utils.errors import KcError
from kc_utils.models.causal_lm import load_model, save_model
from kc_utils.models.tokenizers import load_tokenizer
from kc_utils.runs.folder import Run

SHIPPED = "shipped"
FACTS = "facts.json"


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
        path = Path(given).expanduser()
    if not (path / FACTS).is_file():
        raise KcError(f"base.given = {given!r} is no base model with its facts ({FACTS}).")
    return path


def facts(settings: Config) -> pd.DataFrame | None:
    """What the given base was taught, a row per person: name and ten values; None without one."""
    path = folder(settings)
    if path is None:
        return None
    return pd.DataFrame(_read(path)["people"])


def load(settings: Config) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The given model in float32 and its tokenizer.

    Raises:
        KcError: the model has another shape than the configuration.
    """
    path = folder(settings)
    model, tokenizer = load_model(path), load_tokenizer(path)
    wanted, has = settings.model, model.config
    shape = {"n_layers": has.num_hidden_layers, "n_heads": has.num_attention_heads,
             "d_model": has.hidden_size}  # fmt: skip
    for name, value in shape.items():
        if value != getattr(wanted, name):
            raise KcError(
                f"model.{name} = {getattr(wanted, name)} does not fit the given base model, which "
                f"has {value}; leave it, or set base.given=null to make a model of your own."
            )
    return model, tokenizer


def store(run: Run, out: Path) -> Path:
    """Write the base model that ``run`` made as a folder to be given to other runs.

    Raises:
        KcError: ``out`` exists, or the run's base does not answer enough of its own facts.
    """
    checked = run.table("prior_knowledge")
    if not len(checked) or not bool(checked["passed"].iloc[0]):
        known = checked["accuracy"].iloc[0] if len(checked) else float("nan")
        raise KcError(f"The base model of {run.name!r} answers {known:.2f} of its own facts; "
                      "at least 0.90 are needed.")  # fmt: skip
    path = run.verify(run.path / "base") / "model"
    model = load_model(path).to(torch.bfloat16)
    people = run.read(run.path / "data" / "known_facts.parquet").drop(columns="person_id")
    made = {"profile": run.config.profile, "seed": run.config.seed,
            "accuracy": round(float(checked["accuracy"].iloc[0]), 4)}  # fmt: skip
    save_model(model, load_tokenizer(path), out)
    artifacts.write_json(out / FACTS, {"made_by": made, "people": people.to_dict("records")})
    return out


def _read(path: Path) -> dict:
    try:
        values = json.loads((path / FACTS).read_text(encoding="utf-8"))
        values["people"][0]["name"]
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        raise KcError(f"{str(path / FACTS)!r} is damaged: it lists no people.") from None
    return values
