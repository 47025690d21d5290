"""Models that the engine cannot compute exactly are refused in a sentence, never scored wrongly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from families import SHAPE, family_bridge, family_model, with_strong_vectors
from tiny_models import tiny_model, tokenizer
from torch import nn
from transformers import (
    CohereConfig,
    CohereForCausalLM,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    GraniteConfig,
    GraniteForCausalLM,
    HeliumConfig,
    HeliumForCausalLM,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    PreTrainedModel,
    Qwen2MoeConfig,
    Qwen2MoeForCausalLM,
    StableLmConfig,
    StableLmForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from kc_utils.circuits.adapter import adapter_of
from kc_utils.circuits.bridge import boot_bridge, ungroup
from kc_utils.errors import KcError

SMALL = SHAPE | {"num_hidden_layers": 1, "num_key_value_heads": 2}


def experts() -> PreTrainedModel:
    return MixtralForCausalLM(MixtralConfig(**SMALL, num_local_experts=2))


def shared_experts() -> PreTrainedModel:
    sizes = {"num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 8}
    return Qwen2MoeForCausalLM(Qwen2MoeConfig(**SMALL, **sizes, shared_expert_intermediate_size=8))


def encoder_decoder() -> PreTrainedModel:
    return T5ForConditionalGeneration(
        T5Config(d_model=16, d_ff=16, d_kv=8, num_layers=1, num_heads=2, vocab_size=50)
    )


def with_vision() -> PreTrainedModel:
    vision = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision |= {"intermediate_size": 16, "image_size": 28, "patch_size": 14}
    text = SMALL | {"head_dim": 8, "sliding_window": 4}
    return Gemma3ForConditionalGeneration(
        Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=1)
    )


def granite(**multipliers: float) -> Callable[[], PreTrainedModel]:
    return lambda: GraniteForCausalLM(GraniteConfig(**SMALL, **multipliers))


def scaled_logits() -> PreTrainedModel:
    return CohereForCausalLM(CohereConfig(**SMALL, logit_scale=0.25))


def normalised_per_head() -> PreTrainedModel:
    return StableLmForCausalLM(StableLmConfig(**SMALL, qk_layernorm=True))


def bias_before_a_norm() -> PreTrainedModel:
    return family_model("olmo2", torch.float32, attention_bias=True)


def unknown() -> PreTrainedModel:
    return HeliumForCausalLM(HeliumConfig(**SMALL, head_dim=8))


class CappedLlama(LlamaForCausalLM):
    """Caps its logits, far above those of an untrained model, and says so nowhere."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        output = super().forward(*args, **kwargs)
        output.logits = 500 * torch.tanh(output.logits / 500)
        return output


def silent_cap() -> PreTrainedModel:
    config = tiny_model("llama").config
    config.architectures = ["LlamaForCausalLM"]
    return CappedLlama(config)


def llama_with(change: Callable[[Any], None]) -> Callable[[], PreTrainedModel]:
    def make() -> PreTrainedModel:
        model = tiny_model("llama")
        for layer in model.model.layers:
            change(layer)
        return model

    return make


def sink(layer: Any) -> None:
    layer.self_attn.sinks = nn.Parameter(torch.zeros(4))


def another_input(layer: Any) -> None:
    layer.self_attn.q_proj.register_forward_pre_hook(lambda _, args: (2 * args[0],))


def another_mlp_input(layer: Any) -> None:
    layer.mlp.register_forward_pre_hook(lambda _, args: (args[0].roll(1, -1),))


def scaled_block(layer: Any) -> None:
    layer.register_forward_hook(lambda _, args, output: 1.1 * output)


def scaled_embedding() -> PreTrainedModel:
    model = tiny_model("llama")
    first = model.model.layers[0]
    first.register_forward_pre_hook(lambda _, args: (3 * args[0], *args[1:]))
    return model


def rotated_by_length(kind: str) -> Callable[[], PreTrainedModel]:
    rope = {"rope_type": kind, "rope_theta": 500.0, "factor": 4.0}
    return lambda: family_model("llama3", torch.float32, rope_parameters=rope)


def rotated_by_length_in_some_layers() -> PreTrainedModel:
    default, dynamic = ({"rope_type": x, "rope_theta": 500.0} for x in ("default", "dynamic"))
    ropes = {"full_attention": dynamic | {"factor": 4.0}, "sliding_attention": default}
    return family_model("gemma3", torch.float32, rope_parameters=ropes)


def without_heads() -> PreTrainedModel:
    config = MambaConfig(hidden_size=16, num_hidden_layers=1, vocab_size=50, state_size=4)
    return MambaForCausalLM(config)


REFUSED: dict[str, tuple[Callable[[], PreTrainedModel], str]] = {
    "experts": (experts, "mixture of experts"),
    "shared experts": (shared_experts, "mixture of experts"),
    "encoder-decoder": (encoder_decoder, "encoder-decoder"),
    "vision": (with_vision, "more than a language model"),
    "residual multiplier": (granite(residual_multiplier=0.5), "not the sum of its embedding"),
    "embedding multiplier": (granite(embedding_multiplier=3.0), "changes its token embedding"),
    "divided logits": (granite(logits_scaling=4.0), "other logits"),
    "multiplied logits": (scaled_logits, "other logits"),
    "norms per head": (normalised_per_head, "normalises its grouped k"),
    "bias before a norm": (bias_before_a_norm, "belongs to no head"),
    # TransformerLens 4.3 leaves q and k of OLMo 2 in float32 there.
    "OLMo 2 in bfloat16": (
        lambda: family_model("olmo2", torch.bfloat16),
        "cannot run Olmo2ForCausalLM in torch.bfloat16",
    ),
    "unknown to TransformerLens": (unknown, "TransformerLens cannot wrap"),
    "dynamic rope": (rotated_by_length("dynamic"), "'dynamic', with which the length of a run"),
    "dynamic rope in some layers": (rotated_by_length_in_some_layers, "rope_type='dynamic'"),
    "no logits": (
        lambda: tiny_model("gpt2").base_model,
        "GPT2Model gives no logits; load the model with AutoModelForCausalLM",
    ),
    "no heads": (without_heads, "MambaForCausalLM names no num_attention_heads"),
    "silent cap": (silent_cap, "other logits"),
    "unknown parameter": (llama_with(sink), "'self_attn.sinks'"),
    "q of something else": (llama_with(another_input), "layer 0 of Llama.* read something else"),
    "MLP of something else": (
        llama_with(another_mlp_input),
        "layer 0 of Llama.* read something else",
    ),
    "scaled block": (llama_with(scaled_block), "not the sum of its embedding"),
    "scaled embedding": (scaled_embedding, "changes its token embedding"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_exact_is_refused(what: str) -> None:
    make, words = REFUSED[what]
    model = with_strong_vectors(make())
    with pytest.raises(KcError, match=words) as caught:
        boot_bridge(model, tokenizer())
    assert str(caught.value).count(". ") == 0, "one sentence"


def test_a_model_made_without_gradients_is_refused() -> None:
    with torch.inference_mode():
        model = tiny_model("llama")
        with pytest.raises(KcError, match="has to be made outside"):
            boot_bridge(model, tokenizer())


def test_multipliers_of_one_are_no_mechanism() -> None:
    """Control: the same architecture without its multipliers is served."""
    ones = {"residual_multiplier": 1.0, "embedding_multiplier": 1.0, "logits_scaling": 1.0}
    model = with_strong_vectors(granite(**ones)())
    assert len(adapter_of(boot_bridge(model, tokenizer())).blocks) == 1


def test_behind_a_norm_the_output_projection_alone_is_not_handed_out() -> None:
    """Whoever multiplies z with it would get what no head writes."""
    with pytest.raises(KcError, match="stands a normalisation"):
        _ = adapter_of(family_bridge("olmo2")).blocks[0].w_o
    block = adapter_of(family_bridge("qwen3")).blocks[0]
    assert torch.equal(block.w_o, block.w_out)


@pytest.mark.parametrize("name", ["olmo2", "qwen3", "gemma3"])
@pytest.mark.parametrize("kv_heads", [1, 2])
def test_ungrouping_keeps_the_function_with_norms_of_k(name: str, kv_heads: int) -> None:
    model = family_model(name, num_key_value_heads=kv_heads)
    ids = torch.arange(12).reshape(2, 6)
    with torch.no_grad():
        torch.testing.assert_close(ungroup(model)(ids).logits, model(ids).logits, rtol=0, atol=1e-5)
