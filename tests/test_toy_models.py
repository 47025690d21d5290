"""Models whose circuits are known: a linear one, and one that was wired by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_attribution import error
from tiny_models import tiny_batch, tiny_model, tokenizer
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge
from transformers import GPT2Config, GPT2LMHeadModel

from kc_utils.anatomy import graph_of
from kc_utils.attribution import METHODS, AttributionSettings, attribute
from kc_utils.bridge import boot_bridge
from kc_utils.circuit import top_n
from kc_utils.evaluation import evaluate_circuit
from kc_utils.prompt_batch import PairBatch

WIDTH, HEADS, VOCAB = 32, 4, 40
CIRCUIT = {"input->a0.h1<v>", "a0.h1->a1.h2<v>", "a1.h2->logits", "a0.h1->m0", "m0->logits"}


def settings(method: str) -> AttributionSettings:
    return AttributionSettings(method=method, steps=3)


def linear_model() -> GPT2LMHeadModel:
    """No activation, uniform attention, and normalisations whose scale is a constant: epsilon is
    10^12 times the variance of anything that comes in."""
    config = GPT2Config(n_embd=WIDTH, n_layer=2, n_head=HEADS, n_positions=16, vocab_size=VOCAB,
                        activation_function="linear", layer_norm_epsilon=1e8,
                        tie_word_embeddings=False, bos_token_id=0, eos_token_id=0)  # fmt: skip
    torch.manual_seed(0)
    model = GPT2LMHeadModel(config).double().eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "ln_" in name:
                parameter.copy_(torch.full_like(parameter, 1e4 if "weight" in name else 0.0))
            else:
                noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                parameter.copy_(noise * 0.01)
        for block in model.transformer.h:
            block.attn.c_attn.weight[:, : 2 * WIDTH] = 0  # q and k: every token attends alike
            block.attn.c_attn.bias[: 2 * WIDTH] = 0
    return model


def plain_difference(bridge: TransformerBridge, batch: PairBatch) -> float:
    result = evaluate_circuit(bridge, batch, graph_of(bridge).real_edges)
    return float((result.clean_logit_diff - result.corrupted_logit_diff).mean())


@pytest.mark.parametrize("method", METHODS)
def test_on_a_linear_model_every_method_is_complete_and_exact(method: str) -> None:
    """What the embedding sends adds up to the whole difference, and patching gives the same."""
    bridge, batch = boot_bridge(linear_model(), tokenizer()), tiny_batch(4)
    batch = replace(
        batch, clean_ids=batch.clean_ids % VOCAB, corrupted_ids=batch.corrupted_ids % VOCAB
    )
    scores = attribute(bridge, batch, settings(method))
    whole = plain_difference(bridge, batch)
    assert float(scores[0].sum()) == pytest.approx(whole, rel=1e-5)
    assert error(scores, attribute(bridge, batch, settings("exact"))) < 1e-5


def test_on_a_model_that_is_not_linear_only_integrated_gradients_come_close() -> None:
    bridge, batch = boot_bridge(tiny_model("gpt2", torch.float64), tokenizer()), tiny_batch(4)
    whole = plain_difference(bridge, batch)

    def gap(**values: object) -> float:
        scores = attribute(bridge, batch, AttributionSettings(**values))
        return abs(float(scores[0].sum()) / whole - 1)

    assert gap(method="eap") > 0.1
    fine = [attribute(bridge, batch, AttributionSettings(steps=200, path=p))[0].sum()
            for p in ("1..m", "0..m-1")]  # fmt: skip
    assert float(sum(fine)) / 2 == pytest.approx(whole, rel=2e-3)


def wired_model(first: int = 1) -> GPT2LMHeadModel:
    """input -> head ``first`` of layer 0 -> (head 2 of layer 1, MLP 0) -> logits; nothing else.

    The stream has four lanes, each a number written as (+x, -x) so that centring leaves it alone:
    the token (0), what layer 0's head wrote (1), what layer 1's head wrote (2), what MLP 0 wrote
    (3). All tokens attend alike.
    """
    model = linear_model()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "ln_" not in name:
                parameter.zero_()
        value = torch.linspace(-1, 1, VOCAB, dtype=torch.float64)
        _lane(model.transformer.wte.weight.T, 0, value)
        first_block, second_block = model.transformer.h
        _head(first_block.attn, first, read=0, write=1)
        _head(second_block.attn, 2, read=1, write=2)
        _lane(first_block.mlp.c_fc.weight, 1, torch.eye(4 * WIDTH, dtype=torch.float64)[0])
        _lane(first_block.mlp.c_proj.weight.T, 3, torch.eye(4 * WIDTH, dtype=torch.float64)[0])
        for lane in (2, 3):
            _lane(model.lm_head.weight.T, lane, value)
    return model


def _lane(matrix: Tensor, lane: int, row: Tensor) -> None:
    """Put (+row, -row) into the two rows of ``lane``."""
    matrix[2 * lane] += row
    matrix[2 * lane + 1] -= row


def _head(attention: torch.nn.Module, head: int, read: int, write: int) -> None:
    unit = torch.eye(WIDTH, dtype=torch.float64)[head * WIDTH // HEADS]
    _lane(attention.c_attn.weight[:, 2 * WIDTH :], read, unit)
    _lane(attention.c_proj.weight.T, write, unit)


def wired_batch() -> PairBatch:
    return PairBatch.from_lists([[1, 39, 3], [5, 30, 6]], [[1, 2, 3], [5, 8, 6]], [30, 35], [3, 9])


@pytest.mark.parametrize("method", METHODS)
def test_a_wired_circuit_is_found_edge_by_edge(method: str) -> None:
    bridge = boot_bridge(wired_model(), tokenizer())
    scores = attribute(bridge, wired_batch(), settings(method))
    graph = graph_of(bridge)
    circuit = top_n(scores, graph, len(CIRCUIT))
    assert set(circuit.edge_names) == CIRCUIT
    others = np.abs(scores.numpy())[graph.real_edges & ~circuit.edges]
    assert others.max() < 1e-6 * np.abs(scores.numpy()).max()
    assert evaluate_circuit(bridge, wired_batch(), circuit).faithfulness == pytest.approx(1)


def test_another_wiring_is_another_circuit() -> None:
    bridge = boot_bridge(wired_model(first=3), tokenizer())
    circuit = top_n(attribute(bridge, wired_batch(), settings("eap")), graph_of(bridge), 5)
    assert set(circuit.edge_names) == {name.replace("a0.h1", "a0.h3") for name in CIRCUIT}
