"""What surrounds a call of the engine changes no number: autocast, a moved model, a trained one.
Hooks on the bridge, which the engine's runs do not meet, are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from edge_masks import error
from families import family_model
from tiny_models import tiny_batch, tiny_model, tokenizer
from transformer_lens.model_bridge import TransformerBridge

from kc_utils.circuits import (
    ABLATIONS,
    AttributionSettings,
    attribute,
    attribute_by_token,
    boot_bridge,
    evaluate_circuit,
    graph_of,
    mean_outputs,
)
from kc_utils.circuits.neurons import attribute_nodes, evaluate_neurons
from kc_utils.errors import KcError

EAP = AttributionSettings(method="eap")


def bridge_of(name: str, dtype: torch.dtype = torch.float32) -> TransformerBridge:
    return boot_bridge(family_model(name, dtype), tokenizer())


def numbers(bridge: TransformerBridge) -> dict[str, Any]:
    """What the engine gives for a batch of unequal lengths, two pairs at once."""
    batch, graph = tiny_batch(5), graph_of(bridge)
    means = mean_outputs(bridge, batch, 2)
    kept = np.random.default_rng(0).random((graph.n_forward, bridge.cfg.d_model)) < 0.5
    found = {
        "edges": attribute(bridge, batch, AttributionSettings(steps=2, batch_size=2)).numpy(),
        "tokens": attribute_by_token(bridge, batch, EAP).numpy(),
        "kl": attribute(bridge, batch, AttributionSettings(steps=2, metric="kl")).numpy(),
        "nodes": attribute_nodes(bridge, batch, EAP).numpy(),
        "neurons": evaluate_neurons(bridge, batch, kept).logit_diff,
    }
    for ablation in ABLATIONS:
        for name, edges in (("all", graph.real_edges), ("none", np.zeros_like(graph.real_edges))):
            result = evaluate_circuit(bridge, batch, edges, ablation, means, 2)
            found[f"{ablation}, {name}"] = result.logit_diff
            if name == "all":
                assert result.faithfulness == pytest.approx(1, abs=1e-4)
            elif ablation == "corrupted":
                assert result.faithfulness == pytest.approx(0, abs=1e-4)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpt2", "llama3", "gemma2"])
def test_autocast_around_a_call_changes_nothing(name: str) -> None:
    bridge, ids = bridge_of(name), tiny_batch(5).clean_ids
    expected = numbers(bridge)
    with torch.autocast("cpu", torch.bfloat16):
        inside, booted = numbers(bridge), numbers(bridge_of(name))
        rounded = bridge.kc_adapter.model(ids).logits
        assert torch.is_autocast_enabled("cpu"), "the caller's setting is left as it was"
    for what, values in expected.items():
        assert np.array_equal(values, inside[what]), what
        assert np.array_equal(values, booted[what]), what
    plain = bridge.kc_adapter.model(ids).logits
    assert float((rounded - plain).detach().abs().max()) > 1e-3, "control: autocast is felt"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpt2", "llama3", "olmo2", "phi3", "phi3_grouped"])
@pytest.mark.parametrize("moved", ["model", "bridge"])
def test_a_model_may_be_moved_to_another_dtype(name: str, moved: str) -> None:
    """Also where heads are grouped: then either the originals or their copies are left behind."""
    model = family_model(name, torch.float32)
    bridge = boot_bridge(model, tokenizer())
    expected = numbers(bridge)
    (model if moved == "model" else bridge).to(torch.float64)
    found = numbers(bridge)
    assert found["edges"].dtype == np.float64
    for what, values in expected.items():
        assert np.abs(found[what] - values).max() <= 1e-4 * np.abs(values).max(), what
    assert not np.array_equal(found["edges"], expected["edges"]), "control: it was moved"


def test_a_model_may_be_moved_to_half_precision_and_back() -> None:
    """Its weights are rounded; the frequencies of rotary positions are not, in neither model."""
    model, other = (family_model("llama3", torch.float32) for _ in range(2))
    bridge, batch = boot_bridge(model, tokenizer()), tiny_batch(5)
    before = attribute(bridge, batch, EAP)
    model.to(torch.bfloat16)
    assert 1e-4 < error(attribute(bridge, batch, EAP), before) < 0.2
    model.to(torch.float32)
    for parameter in other.parameters():
        parameter.data = parameter.data.bfloat16().float()
    expected = attribute(boot_bridge(other, tokenizer()), batch, EAP)
    assert torch.equal(attribute(bridge, batch, EAP), expected)
    assert not torch.equal(expected, before), "control"


@pytest.mark.parametrize("rows", [slice(0, 8), slice(32, 40), slice(48, 56)], ids=["q", "k", "v"])
def test_grouped_heads_in_one_projection_follow_their_model(rows: slice) -> None:
    """Phi-3's one projection has q of four heads, then k and v of two, of eight numbers each."""
    model, batch = family_model("phi3_grouped", torch.float32), tiny_batch(5)
    weight = model.model.layers[0].self_attn.qkv_proj.weight
    assert weight.shape == (8 * (4 + 2 + 2), 32)
    bridge = boot_bridge(model, tokenizer())
    before = attribute(bridge, batch, EAP)
    weight.data[rows] *= 3
    changed = attribute(bridge, batch, EAP)
    assert torch.equal(changed, attribute(boot_bridge(model, tokenizer()), batch, EAP))
    assert error(changed, before) > 1e-3, "control"
    assert model.config.num_key_value_heads == 2, "the model itself is left as it was"


CALLS: dict[str, Callable[[TransformerBridge], Any]] = {
    "attribute": lambda bridge: attribute(bridge, tiny_batch(2), EAP),
    "evaluate": lambda bridge: evaluate_circuit(bridge, tiny_batch(2), graph_of(bridge).real_edges),
    "means": lambda bridge: mean_outputs(bridge, tiny_batch(2)),
}


@pytest.mark.slow
@pytest.mark.parametrize("call", CALLS)
def test_hooks_on_the_bridge_are_refused_and_not_passed_over(call: str) -> None:
    bridge = boot_bridge(tiny_model("llama"), tokenizer())
    silent = [("blocks.1.mlp.hook_out", lambda x, hook: 0 * x)]
    with bridge.hooks(fwd_hooks=silent):
        with pytest.raises(KcError, match=r"has a hook at 'blocks\.1\.mlp\.hook_out'"):
            CALLS[call](bridge)
    CALLS[call](bridge)  # they are gone
    bridge.add_hook(*silent[0], is_permanent=True)
    bridge.reset_hooks()
    with pytest.raises(KcError, match="including_permanent=True"):
        CALLS[call](bridge)
    bridge.reset_hooks(including_permanent=True)
    CALLS[call](bridge)


@pytest.mark.parametrize("name", ["llama3", "phi3_grouped"])
def test_shared_k_and_v_changed_on_the_bridge_are_kept_or_refused(name: str) -> None:
    model, batch = family_model(name, torch.float32), tiny_batch(5)
    bridge = boot_bridge(model, tokenizer())
    before = attribute(bridge, batch, EAP)
    copies = bridge.kc_copies
    assert copies
    for rows in copies:
        rows.copy.data.mul_(0.5)
    changed = attribute(bridge, batch, EAP)
    assert error(changed, before) > 1e-3
    assert torch.equal(changed, attribute(bridge, batch, EAP)), "not undone by the next call"
    assert torch.equal(changed, attribute(boot_bridge(model, tokenizer()), batch, EAP))
    copies[0].copy.data[-1].mul_(2.0)  # of one query head only
    with pytest.raises(KcError, match="query heads that share a KV head"):
        attribute(bridge, batch, EAP)
