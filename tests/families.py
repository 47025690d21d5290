"""Random models of toy size, one per family and mechanism, made from ``transformers`` configs.

The families are rows of ``benchmarks/served_families.py``. Norm weights are far from one.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from benchmarks.served_families import FAMILIES, model_of
from tiny_models import VOCAB, tokenizer
from transformer_lens.model_bridge import TransformerBridge
from transformers import PreTrainedModel

from kc_utils.circuits.bridge import boot_bridge

SHAPE = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 40,
    "max_position_embeddings": 32, "vocab_size": VOCAB, "initializer_range": 0.3,
    "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
}  # fmt: skip


def family_model(name: str, dtype: torch.dtype = torch.float64, **changes: Any) -> PreTrainedModel:
    """A random model of the family; ``changes`` go into its configuration."""
    family, settings = FAMILIES[name]
    torch.manual_seed(3)
    return with_strong_vectors(model_of(family, SHAPE | settings | changes)).to(dtype)


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
