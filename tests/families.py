"""Random models of toy size, one per family and mechanism, made from ``transformers`` configs.

Every mechanism is strong enough to matter in a few tokens: windows of three tokens, caps near the
values that they cap, rope scaling that acts within the prompt, norm weights far from one.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import transformers
from tiny_models import VOCAB, tokenizer
from transformer_lens.model_bridge import TransformerBridge
from transformers import PreTrainedModel

from kc_utils.circuits.bridge import boot_bridge

SHAPE = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 40,
    "max_position_embeddings": 32, "vocab_size": VOCAB, "initializer_range": 0.3,
    "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
}  # fmt: skip
GROUPED = {"num_key_value_heads": 2, "head_dim": 10}
WINDOWS = {"sliding_window": 3, "layer_types": ["sliding_attention", "full_attention"]}
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 8,
}  # fmt: skip
GEMMA = GROUPED | WINDOWS | {"query_pre_attn_scalar": 6, "hidden_activation": "gelu_pytorch_tanh"}

#: Name of a family: its class in ``transformers``, and what its configuration says beside SHAPE.
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
    "gpt2": ("GPT2", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 32}),
}


def family_model(name: str, dtype: torch.dtype = torch.float64, **changes: Any) -> PreTrainedModel:
    """A random model of the family; ``changes`` go into its configuration."""
    family, settings = FAMILIES[name]
    named = {"GPT2": "GPT2LMHeadModel"}.get(family, f"{family}ForCausalLM")
    model_class = getattr(transformers, named)
    torch.manual_seed(3)
    config = model_class.config_class(**(SHAPE | settings | changes))
    return with_strong_vectors(model_class(config)).to(dtype)


def with_strong_vectors(model: PreTrainedModel) -> PreTrainedModel:
    """Biases and norm weights start as zeros and ones: make them matter."""
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


@cache
def family_bridge(name: str) -> TransformerBridge:
    """The bridge of a family's model in float64. Do not change it."""
    return boot_bridge(family_model(name), tokenizer())
