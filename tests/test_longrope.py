"""Longrope (Phi-3.5): prompts that are rotated by its short factors are scored, others refused."""

from __future__ import annotations

import pytest
import torch
from edge_masks import error, mask_gradient
from families import SHAPE, with_strong_vectors
from tiny_models import VOCAB, tokenizer
from transformer_lens.model_bridge import TransformerBridge
from transformers import Phi3Config, Phi3ForCausalLM

from kc_utils.circuits import (
    AttributionSettings,
    PairBatch,
    attribute,
    boot_bridge,
    evaluate_circuit,
    graph_of,
)
from kc_utils.circuits.neurons import attribute_nodes
from kc_utils.errors import KcError

EAP = AttributionSettings("eap")
LONGEST = 8  # up to which the short factors apply


def bridge_of(short: float = 1.5, long: float = 4.0) -> TransformerBridge:
    rope = {"rope_type": "longrope", "rope_theta": 500.0, "short_factor": [short] * 4,
            "long_factor": [long] * 4, "original_max_position_embeddings": LONGEST}  # fmt: skip
    torch.manual_seed(3)
    config = Phi3Config(**SHAPE, num_key_value_heads=4, rope_parameters=rope,
                        original_max_position_embeddings=LONGEST)  # fmt: skip
    model = with_strong_vectors(Phi3ForCausalLM(config)).to(torch.float64)
    return boot_bridge(model, tokenizer())


def pairs(*lengths: int) -> PairBatch:
    generator = torch.Generator().manual_seed(5)
    clean, corrupted = (
        [torch.randint(1, VOCAB, (n,), generator=generator).tolist() for n in lengths]
        for _ in range(2)
    )
    n = len(lengths)
    return PairBatch.from_lists(clean, corrupted, [*range(1, n + 1)], [*range(11, n + 11)])


def test_short_prompts_have_the_scores_of_an_edge_mask() -> None:
    bridge, batch = bridge_of(), pairs(6, 8, 7)
    scores = attribute(bridge, batch, EAP)
    assert error(scores, mask_gradient(bridge, batch, 1.0)) < 1e-6
    assert error(attribute_nodes(bridge, batch, EAP), scores.sum(1)) < 1e-5
    assert error(attribute(bridge_of(short=4.0), batch, EAP), scores) > 1e-3, "control: factors"
    full = evaluate_circuit(bridge, batch, graph_of(bridge).real_edges)
    assert abs(full.logit_diff - full.clean_logit_diff).max() < 1e-5


def test_a_pairs_scores_depend_on_no_other_pair_and_no_earlier_run() -> None:
    bridge, batch = bridge_of(), pairs(6, 8)
    whole = attribute(bridge, batch, EAP)
    with torch.no_grad():  # a run of the model that switches to the long factors
        bridge.original_model(torch.arange(12)[None])
    alone = [attribute(bridge, batch.slice(i, i + 1), EAP) for i in (0, 1)]
    assert error(sum(alone) / 2, whole) < 1e-9
    assert error(alone[0], alone[1]) > 1e-2, "control: pairs differ"


@pytest.mark.parametrize("call", ["attribute", "evaluate_circuit"])
def test_a_prompt_that_would_switch_to_the_long_factors_is_refused(call: str) -> None:
    bridge, batch = bridge_of(), pairs(6, LONGEST + 1)
    with pytest.raises(KcError) as caught:
        if call == "attribute":
            attribute(bridge, batch, EAP)
        else:
            evaluate_circuit(bridge, batch, graph_of(bridge).real_edges)
    assert "Pair 1: the prompt has 9 tokens; Phi3ForCausalLM rotates" in str(caught.value)
    assert "more than 8 tokens otherwise ('longrope')" in str(caught.value)
