"""Causal language models: make, load, check and save them as Hugging Face folders.

Nothing here reads pickled weights or runs code from a model folder. Loading refuses what
transformers would pass with a warning: weights that are missing from the file, weights that the
model has no place for, weights that are not finite, and a rotary base that the model does not use.
"""

from __future__ import annotations

import os
import shutil
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

from kc_utils.config import ModelConfig
from kc_utils.errors import KcError
from kc_utils.models.folders import check_folder
from kc_utils.models.loading import (
    HUB_NAME,
    check_revision,
    check_rotary,
    check_vocabulary,
    config_of,
    first_line,
    quiet,
)
from kc_utils.models.packaged import load_package_model
from kc_utils.models.tokenizers import load_tokenizer, save_tokenizer

__all__ = [
    "check_rotary",
    "load_model",
    "load_package_model",
    "load_tokenizer",
    "make_model",
    "parameter_counts",
    "resolve_model",
    "save_model",
    "write_model",
]


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
    revision: str | None = None,
) -> PreTrainedModel:
    """Load a causal language model from a local folder or by its hub name, in eval mode.

    Args:
        path: a folder with ``config.json`` and safetensors weights, or a hub name.
        dtype: of the weights in memory.
        attention: ``eager`` (attention patterns can be read) or ``sdpa`` (faster).
        device: where to put it; None leaves it on the CPU.
        revision: of a hub model, the commit to take (40 hexadecimal digits).

    Raises:
        KcError: a hub name without a commit, no such folder, no configuration or weights in it,
            damaged or incomplete weights, weights of which the model has no part, an unknown
            architecture, or a rotary base that is not used.
    """
    raw = _raw_config(path)
    check_revision(path, revision, local=raw is not None)
    config = None if raw is None else config_of(path)
    try:
        with quiet():
            model, report = AutoModelForCausalLM.from_pretrained(
                str(path),
                **({"revision": revision} if config is None else {"config": config}),
                dtype=dtype,
                attn_implementation=attention,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except Exception as error:
        raise KcError(f"The model in {str(path)!r} cannot be loaded: {first_line(error)}") from None
    _check_complete(path, model, report)
    check_rotary(model, raw, str(path))
    return (model if device is None else model.to(device)).eval()


def _raw_config(path: str | Path) -> dict | None:
    """``config.json`` of a local folder that passes every check; None for a hub name."""
    folder = Path(path)
    if not folder.is_dir():
        looks_local = isinstance(path, Path) or not HUB_NAME.fullmatch(path)
        if not looks_local and not folder.exists() and folder.parts[:1] not in ((".",), ("..",)):
            return None
    return check_folder(folder)


def _check_complete(path: str | Path, model: PreTrainedModel, report: dict) -> None:
    for problem in ("missing_keys", "mismatched_keys", "unexpected_keys"):
        if report.get(problem):
            names, kind = sorted(map(str, report[problem])), problem.replace("_", " ")
            raise KcError(
                f"The weights in {str(path)!r} are damaged: {len(names)} {kind}, e.g. {names[0]}."
            )
    for name, tensor in model.named_parameters():
        if not bool(torch.isfinite(tensor).all()):
            raise KcError(f"The weights in {str(path)!r} are damaged: {name} is not finite.")


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
    model = load_model(config.path, revision=config.revision)
    tokenizer = load_tokenizer(config.path, revision=config.revision)
    check_vocabulary(model, tokenizer, config.path)
    return model, tokenizer


def parameter_counts(model: PreTrainedModel) -> tuple[int, int]:
    """Number of parameters, shared ones once; and without embeddings and unembedding."""
    everything = {id(p): p.numel() for p in model.parameters()}
    tables = [m for m in model.modules() if isinstance(m, nn.Embedding)]
    outer = [*tables, model.get_output_embeddings()]
    embeddings = {id(p): p.numel() for m in outer if m is not None for p in m.parameters()}
    total = sum(everything.values())
    return total, total - sum(embeddings.values())
