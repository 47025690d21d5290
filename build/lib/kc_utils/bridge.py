"""From a Hugging Face model to a TransformerBridge whose heads can be told apart.

TransformerLens 4 wraps the model in place, so the wrapped model is a copy. Grouped key/value heads
are ungrouped first: each query head gets its own copy of its group's k and v projection, which
leaves the function of the model unchanged and gives every query head its own k and v edges.
No weight is folded, centred or otherwise processed.
"""

from __future__ import annotations

import copy

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformer_lens.model_bridge import TransformerBridge
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kc_utils.errors import KcError
from kc_utils.parts import check_decomposition

TOLERANCE = 1e-4  # largest error of the wrapped model's logits, over the largest logit


def boot_bridge(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> TransformerBridge:
    """Wrap a copy of ``model`` (its device and dtype, evaluation mode), heads ungrouped.

    Raises KcError if the wrapped model's logits differ from the model's own by more than 1e-4 of
    the largest logit, or if its residual stream is not the sum of embedding, heads and MLPs.
    """
    was_training = model.training
    model.eval()
    try:
        ids = probe_ids(model)
        expected = _logits(model, ids)
        bridge = TransformerBridge.boot_transformers(
            model.config._name_or_path or model.config.model_type,
            hf_model=ungroup(model),
            tokenizer=copy.deepcopy(tokenizer),
            device=str(model.device),
            dtype=model.dtype,
        )
    finally:
        model.train(was_training)
    bridge.eval()
    with torch.no_grad():
        actual = bridge(ids, return_type="logits", use_cache=False)
    error = ((actual - expected).abs().max() / expected.abs().max().clamp_min(1e-6)).item()
    tolerance = TOLERANCE if model.dtype in (torch.float32, torch.float64) else 0.05
    if not error <= tolerance:
        raise KcError(
            f"The TransformerBridge of {type(model).__name__} gives other logits than the model: "
            f"relative error {error:.1e}, allowed is {tolerance:.0e}."
        )
    check_decomposition(bridge, ids)
    return bridge


def ungroup(model: PreTrainedModel) -> PreTrainedModel:
    """A copy of ``model`` with as many key/value heads as query heads and the same function.

    Query head h takes its k and v from KV head ``h // (query heads / KV heads)``.
    """
    clone = copy.deepcopy(model)
    heads = clone.config.num_attention_heads
    kv_heads = getattr(clone.config, "num_key_value_heads", None) or heads
    if kv_heads == heads:
        return clone
    times = heads // kv_heads
    attentions = [m for m in clone.modules() if hasattr(m, "num_key_value_groups")]
    for attention in attentions:
        if not (hasattr(attention, "k_proj") and hasattr(attention, "v_proj")):
            raise KcError(
                f"{type(attention).__name__} has {kv_heads} key/value heads for {heads} query "
                "heads but no separate k_proj and v_proj, so its heads cannot be ungrouped."
            )
        attention.k_proj = _repeat_heads(attention.k_proj, kv_heads, times)
        attention.v_proj = _repeat_heads(attention.v_proj, kv_heads, times)
        attention.num_key_value_groups = 1
        if hasattr(attention, "num_key_value_heads"):
            attention.num_key_value_heads = heads
    clone.config.num_key_value_heads = heads
    return clone


def _repeat_heads(linear: nn.Linear, kv_heads: int, times: int) -> nn.Linear:
    def repeat(rows: Tensor) -> nn.Parameter:
        blocks = rows.detach().unflatten(0, (kv_heads, -1)).repeat_interleave(times, dim=0)
        return nn.Parameter(blocks.flatten(0, 1), requires_grad=rows.requires_grad)

    repeated = nn.Linear(
        linear.in_features, linear.out_features * times, bias=linear.bias is not None, device="meta"
    )
    repeated.weight = repeat(linear.weight)
    if linear.bias is not None:
        repeated.bias = repeat(linear.bias)
    return repeated


def probe_ids(model: PreTrainedModel) -> Int[Tensor, "batch pos"]:
    """Two short sequences of token ids that spread over the vocabulary, to compare models with."""
    ids = torch.arange(12, device=model.device) * 7919 % model.config.vocab_size
    return ids.reshape(2, 6)


def _logits(model: PreTrainedModel, ids: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos v"]:
    with torch.no_grad():
        return model(input_ids=ids, use_cache=False).logits
