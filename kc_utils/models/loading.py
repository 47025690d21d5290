"""What every load of a model needs: silence, one sentence for what went wrong, and checks."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn
from transformers import (
    AutoConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as hf_logging

from kc_utils.errors import KcError, cut, shown

#: What can be a name on the Hugging Face Hub.
HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def check_revision(path: str | Path, revision: str | None, *, local: bool) -> None:
    """A model on the hub is taken at a commit that is named, a local one has none.

    Without a commit ``transformers`` takes what stands on the main branch today, or a conversion to
    safetensors that nobody has merged into it.

    Raises:
        KcError: no commit or something else for a hub name, or a commit for a folder.
    """
    if local and revision is not None:
        raise KcError(f"revision={shown(revision)} has no effect: {str(path)!r} is a local folder.")
    if local or (revision is not None and _COMMIT.fullmatch(revision)):
        return
    given = "no revision" if revision is None else f"revision={shown(revision)}"
    raise KcError(
        f"{str(path)!r} is no folder here but a name on the Hugging Face Hub, with {given}; "
        "allowed is a commit of 40 hexadecimal digits (--set model.revision=COMMIT)."
    )


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


def first_line(error: BaseException) -> str:
    """What an error of another library says, in one line that is not too long."""
    lines = str(error).strip().splitlines()
    return cut(lines[0]) if lines else type(error).__name__


def config_of(path: str | Path) -> PretrainedConfig:
    """The configuration of a local folder, without implementations of attention that it names.

    They would overrule ours, and can name a kernel that is fetched from elsewhere.

    Raises:
        KcError: transformers cannot read it.
    """
    try:
        config = AutoConfig.from_pretrained(str(path), trust_remote_code=False)
        config._attn_implementation = None  # in its parts too
        config._experts_implementation = None
    except Exception as error:
        raise KcError(f"The model in {str(path)!r} cannot be loaded: {first_line(error)}") from None
    return config


@contextlib.contextmanager
def without_panics(label: str) -> Iterator[None]:
    """KcError instead of a panic of a library in Rust, which is no Exception in Python."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise KcError(f"{label} cannot be used: {first_line(error)}.") from None


def check_vocabulary(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, path: str) -> None:
    """KcError if the tokenizer of ``path`` has more tokens than the model has embeddings."""
    room = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > room:
        raise KcError(
            f"The tokenizer of {path!r} has {len(tokenizer)} tokens but the model only {room}."
        )


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
    for settings in (parameters, own):
        if not isinstance(settings, dict):
            raise KcError(
                f"The rotary settings of {label!r} are {shown(settings)}; allowed is an object."
            )
    if any(isinstance(value, dict) for value in [*parameters.values(), *own.values()]):
        return  # one base per layer type
    written = [v for v in (parameters.get("rope_theta"), raw.get("rope_theta")) if v]
    for value in written:
        if not isinstance(value, int | float) or not 0 < value < float("inf"):
            raise KcError(
                f"The rotary base of {label!r} is {shown(value)}; allowed is a number above 0."
            )
    bases = {float(value) for value in written}
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
