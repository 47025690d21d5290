"""The families of models that the engine serves: rows of settings, for the tests and the benchmark.

Every mechanism is strong enough to matter in a few tokens: windows of three tokens, caps near the
values that they cap, rope scaling that acts within the prompt. Numbers of heads, widths and windows
are those of the toy models of ``tests/families.py``; the benchmark puts its own in their place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import transformers
from transformers import PreTrainedModel

GROUPED = {"num_key_value_heads": 2, "head_dim": 10}
WINDOWS = {"sliding_window": 3, "layer_types": ["sliding_attention", "full_attention"]}
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 8,
}  # fmt: skip
LONGROPE = {
    "rope_type": "longrope", "rope_theta": 500.0, "short_factor": [1.5] * 4,
    "long_factor": [4.0] * 4, "original_max_position_embeddings": 16,
}  # fmt: skip
PARTIAL = {"rope_type": "default", "rope_theta": 500.0, "partial_rotary_factor": 0.5}
GEMMA = GROUPED | WINDOWS | {"query_pre_attn_scalar": 6, "hidden_activation": "gelu_pytorch_tanh"}

#: Name of a family: its class in ``transformers``, and its configuration beside the shape.
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen2": ("Qwen2", {"num_key_value_heads": 2}),
    "qwen3": ("Qwen3", GROUPED),
    "qwen3_windows": ("Qwen3", GROUPED | WINDOWS | {"use_sliding_window": True}),
    "llama3": ("Llama", GROUPED | {"rope_parameters": LLAMA3}),
    "mistral": ("Mistral", GROUPED | {"sliding_window": 3}),
    "gemma": ("Gemma", GROUPED | {"hidden_activation": "gelu_pytorch_tanh"}),
    "gemma2": (
        "Gemma2",
        GEMMA | {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0},
    ),
    "gemma3": ("Gemma3", GEMMA),
    "vaultgemma": (
        "VaultGemma",
        GEMMA | {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0},
    ),
    "glm4": ("Glm4", GROUPED),
    "cohere2": ("Cohere2", {"num_key_value_heads": 2, "logit_scale": 1.0} | WINDOWS),
    "olmo2": ("Olmo2", {"num_key_value_heads": 2}),
    "olmo3": ("Olmo3", {"num_key_value_heads": 2} | WINDOWS),
    "neox": ("GPTNeoX", {"use_parallel_residual": True}),
    "neox_serial": ("GPTNeoX", {"use_parallel_residual": False}),
    "phi": ("Phi", {}),
    "phi3": (
        "Phi3",
        {"num_key_value_heads": 4, "rope_parameters": LONGROPE}
        | {"original_max_position_embeddings": 16},
    ),
    "phi3_grouped": ("Phi3", {"num_key_value_heads": 2, "rope_parameters": PARTIAL}),
    "gpt2": ("GPT2", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 32}),
}

#: One row per class is timed, under the name that the page of families has for it.
TIMED = {
    "gpt2": "GPT-2", "neox": "GPT-NeoX", "phi": "Phi", "llama3": "Llama 3",
    "mistral": "Mistral", "qwen2": "Qwen 2.5", "qwen3": "Qwen 3", "gemma": "Gemma",
    "gemma2": "Gemma 2", "gemma3": "Gemma 3", "vaultgemma": "VaultGemma", "glm4": "GLM-4",
    "cohere2": "Cohere 2", "olmo2": "OLMo 2", "olmo3": "OLMo 3", "phi3": "Phi-3",
}  # fmt: skip


def model_of(family: str, settings: Mapping[str, Any]) -> PreTrainedModel:
    """A model of a family's class with these settings, as ``transformers`` initialises it."""
    name = {"GPT2": "GPT2LMHeadModel"}.get(family, f"{family}ForCausalLM")
    model_class = getattr(transformers, name)
    return model_class(model_class.config_class(**settings))
