"""Random models of toy size and the golden sets, for the tests of the circuit code."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import torch
from transformer_lens.model_bridge import TransformerBridge
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PhiConfig,
    PhiForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from kc_utils.circuits.bridge import boot_bridge
from kc_utils.circuits.pair_batch import PairBatch

GOLDEN = Path(__file__).parent / "golden"
SETS = ("gpt2_tiny", "llama_tiny")
KINDS = ("gpt2", "llama", "neox", "phi")
VOCAB = 50


@cache
def tokenizer() -> PreTrainedTokenizerBase:
    """Some tokenizer; the circuit code never tokenises."""
    return AutoTokenizer.from_pretrained(GOLDEN / "gpt2_tiny" / "model")


@cache
def golden_bridge(name: str, dtype: torch.dtype = torch.float32) -> TransformerBridge:
    """The model of a golden set."""
    folder = GOLDEN / name / "model"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    return boot_bridge(model, AutoTokenizer.from_pretrained(folder))


@cache
def golden_batch(name: str) -> PairBatch:
    """The pairs of a golden set."""
    lines = (GOLDEN / name / "pairs.jsonl").read_text().splitlines()
    pairs = [json.loads(line) for line in lines]
    fields = ("clean_ids", "corrupted_ids", "right_id", "wrong_id")
    return PairBatch.from_lists(*([pair[field] for pair in pairs] for field in fields))


def tiny_model(kind: str, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """A random model of 2 layers and 4 heads: LayerNorm or RMSNorm, rotary or learned positions,
    grouped key/value heads of another width than d_model / heads, parallel or serial blocks."""
    shared = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    shared |= {"intermediate_size": 40, "max_position_embeddings": 32, "vocab_size": VOCAB}
    # wide weights, so that no head is negligible
    shared |= {"initializer_range": 0.3, "bos_token_id": 0, "eos_token_id": 0}
    torch.manual_seed(3)
    if kind == "gpt2":
        shape = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 32, "vocab_size": VOCAB}
        config = GPT2Config(**shape, initializer_range=0.3, bos_token_id=0, eos_token_id=0)
        model = GPT2LMHeadModel(config)
    elif kind == "llama":
        rope = {"rope_type": "default", "rope_theta": 500.0}
        grouped = {"num_key_value_heads": 2, "head_dim": 10, "rms_norm_eps": 1e-3}
        model = LlamaForCausalLM(LlamaConfig(**shared, **grouped, rope_parameters=rope))
    elif kind == "neox":
        model = GPTNeoXForCausalLM(GPTNeoXConfig(**shared, use_parallel_residual=True))
    else:
        model = PhiForCausalLM(PhiConfig(**shared))
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():  # biases and norm weights start as zeros and ones: make them matter
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model.to(dtype).eval()


def tiny_batch(n: int = 5, seed: int = 0) -> PairBatch:
    """Random pairs of unequal lengths."""
    generator = torch.Generator().manual_seed(seed)
    lengths = [3 + i % 4 for i in range(n)]
    clean, corrupted = (
        [torch.randint(VOCAB, (length,), generator=generator).tolist() for length in lengths]
        for _ in range(2)
    )
    return PairBatch.from_lists(clean, corrupted, list(range(n)), list(range(n, 2 * n)))
