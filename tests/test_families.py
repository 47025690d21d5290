"""Families of models: scores, circuits and completeness, each against another way of computing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from edge_masks import circuit_by_hooks, error, mask_gradient, outputs
from families import FAMILIES, family_bridge, family_model
from one_edge import check_exact_patching
from tiny_models import tiny_batch, tokenizer
from torch import Tensor

from kc_utils.circuits import mean_outputs
from kc_utils.circuits.ablation import ABLATIONS, references
from kc_utils.circuits.adapter import adapter_of, frozen, graph_of
from kc_utils.circuits.attribution import AttributionSettings, attribute
from kc_utils.circuits.bridge import boot_bridge
from kc_utils.circuits.circuit_run import run_circuit
from kc_utils.circuits.relp import apply_relp_rules
from kc_utils.circuits.written import record
from kc_utils.errors import KcError
from kc_utils.kernels.hooks import Hooks

EAP = AttributionSettings(method="eap")
POST = ("gemma2", "gemma3", "olmo2", "olmo3", "glm4")  # a normalisation stands behind their blocks


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_scores_are_the_gradient_of_an_edge_mask(name: str) -> None:
    """m = 2 with k = 1, 2 has steps at 1/2 and 1: twice its mean less EAP is the step at 1/2."""
    bridge, batch = family_bridge(name), tiny_batch(3)
    clean = attribute(bridge, batch, EAP)
    half = 2 * attribute(bridge, batch, AttributionSettings(steps=2)) - clean
    for scores, share in ((clean, 1.0), (half, 0.5)):
        expected = mask_gradient(bridge, batch, share)
        assert error(scores, expected) < 1e-6
        assert int((expected.abs().sum(0) == 0).sum()) == 0, "every reader matters in the model"
    assert error(clean, half) > 1e-3, "control: the two runs are not the same"


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("ablation", ABLATIONS)
def test_circuits_are_those_of_plain_hooks(name: str, ablation: str) -> None:
    bridge, batch = family_bridge(name), tiny_batch(4)
    graph, means = graph_of(bridge), mean_outputs(bridge, tiny_batch(4, seed=1))
    for share in (0.9, 0.5):
        drawn = np.random.default_rng(0).random(graph.real_edges.shape) < share
        edges = graph.real_edges & drawn
        found = run_circuit(bridge, batch, edges, ablation, means)
        for i in range(len(batch)):
            pair = batch.slice(i, i + 1)
            bridge.set_use_attn_result(True)
            bridge.set_use_split_qkv_input(False)
            bridge.set_use_hook_mlp_in(False)
            replaced = outputs(bridge, graph, pair.corrupted_ids)
            if ablation != "corrupted":
                rows = means.rows if ablation == "mean" else torch.zeros_like(means.rows)
                replaced = rows[:, None, None].expand_as(replaced)
            kept = torch.from_numpy(edges.copy())
            expected = circuit_by_hooks(bridge, pair.clean_ids, kept, replaced)
            torch.testing.assert_close(found[i, 0], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", FAMILIES)
def test_all_edges_are_the_clean_run_and_none_the_corrupted_one(name: str) -> None:
    """Clean and corrupted runs are those of the model itself, in its slow and simple attention."""
    model, bridge, batch = family_model(name), family_bridge(name), tiny_batch()
    model.set_attn_implementation("eager")
    graph, means = graph_of(bridge), mean_outputs(bridge, batch)
    with torch.no_grad():
        clean, corrupted = (
            torch.stack([model(row[None, :end]).logits[0, -1]
                         for row, end in zip(ids, batch.last + 1, strict=True)])
            for ids in (batch.clean_ids, batch.corrupted_ids)
        )  # fmt: skip
    for ablation in ABLATIONS:
        full = run_circuit(bridge, batch, graph.real_edges, ablation, means)[:, 0]
        torch.testing.assert_close(full, clean, rtol=0, atol=1e-5)
        empty = run_circuit(bridge, batch, np.zeros_like(graph.real_edges), ablation, means)[:, 0]
        assert torch.allclose(empty, corrupted, rtol=0, atol=1e-5) == (ablation == "corrupted")
    refs = references(bridge, batch)
    torch.testing.assert_close(refs.clean_logits[:, 0], clean, rtol=0, atol=1e-5)
    assert not torch.allclose(clean, corrupted, atol=0.1)


@pytest.mark.parametrize("name", FAMILIES)
def test_writers_of_a_layer_sum_to_what_it_adds(name: str) -> None:
    model, adapter, batch = family_model(name), adapter_of(family_bridge(name)), tiny_batch()
    ids, last = batch.clean_ids, []
    names = ("norm", "ln_f", "final_layer_norm", "final_layernorm")
    final = next(m for m in (getattr(model.base_model, n, None) for n in names) if m is not None)
    final.register_forward_pre_hook(lambda _, args: last.append(args[0]))
    with torch.no_grad():
        streams = model(ids, output_hidden_states=True).hidden_states
        rows = record(adapter, ids)[1].outputs(adapter)
    streams = [*streams[: len(adapter.blocks)], *last]
    for layer, block in enumerate(adapter.blocks):
        heads = rows[adapter.graph.heads(layer)]
        added = heads.sum(0) + block.b_out + rows[adapter.graph.mlp(layer)]
        torch.testing.assert_close(added, streams[layer + 1] - streams[layer], rtol=0, atol=1e-5)
        assert float(heads[0].abs().max()) > 1e-2, "control: one head less would be seen"


#: What is taken out of a family, and what the scores must then not be.
WITHOUT = {
    "windows of Qwen 3": ("qwen3_windows", {"sliding_window": 32}),
    "window of Mistral": ("mistral", {"sliding_window": None}),
    "alternating windows of Gemma 3": ("gemma3", {"sliding_window": 32}),
    "windows of OLMo 3": ("olmo3", {"sliding_window": 32}),
    "rope scaling of Llama 3": (
        "llama3",
        {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}},
    ),
    "cap on attention": ("gemma2", {"attn_logit_softcapping": None}),
    "cap on logits": ("gemma2", {"final_logit_softcapping": None}),
}


@pytest.mark.parametrize("mechanism", WITHOUT)
def test_every_mechanism_is_felt(mechanism: str) -> None:
    """Control: prompts are long enough, and caps low enough, to tell a model without it."""
    name, changes = WITHOUT[mechanism]
    without = boot_bridge(family_model(name, **changes), tokenizer())
    batch = tiny_batch(4)
    assert error(attribute(without, batch, EAP), attribute(family_bridge(name), batch, EAP)) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", POST)
def test_activation_gradients_pass_a_norm_behind_the_block(name: str) -> None:
    bridge, batch = family_bridge(name), tiny_batch(3)
    graph = graph_of(bridge)
    settings = AttributionSettings(method="eap-ig-activations", steps=2)
    scores = attribute(bridge, batch, settings)
    whole = attribute(bridge, batch, EAP)
    for point, rows in (
        ("blocks.0.ln1_post.hook_out", graph.heads(0)),
        ("blocks.0.ln2_post.hook_out", slice(graph.mlp(0), graph.mlp(0) + 1)),
        ("blocks.1.ln1_post.hook_out", graph.heads(1)),
    ):
        middle = mask_gradient(bridge, batch, 0.5, point=point)[rows]
        assert error(scores[rows], (middle + whole[rows]) / 2) < 1e-6
        assert error(whole[rows], middle) > 1e-3, "control"


@pytest.mark.parametrize("name", ["qwen3", "gemma2", "gemma3", "olmo2", "phi3"])
def test_relevance_is_conserved(name: str) -> None:
    """Without biases the metric is the sum over the parts of the embedding, as LRP promises:
    also behind norms of blocks and under a cap on the logits. The plain gradient has no such
    property."""
    adapter, batch = adapter_of(family_bridge(name)), tiny_batch(3)

    def summed(relevance: bool) -> tuple[Tensor, Tensor]:
        embed = adapter.embed(batch.clean_ids).detach().requires_grad_(True)
        with Hooks() as hooks:
            hooks.output(adapter.embed, lambda _: embed)
            if relevance:
                apply_relp_rules(adapter, hooks)
            hidden = adapter.hidden(batch.clean_ids)
        rows = torch.arange(len(batch))
        logits = adapter.capped(adapter.unembed(hidden[rows, batch.last]), relevance)
        metric = logits[rows, batch.right_ids] - logits[rows, batch.wrong_ids]
        return (torch.autograd.grad(metric.sum(), embed)[0] * embed).sum((1, 2)), metric.detach()

    with frozen(adapter.model):
        torch.testing.assert_close(*summed(True), rtol=0, atol=1e-5)
        assert not torch.allclose(*summed(False), atol=1e-2)


@pytest.mark.parametrize("name", POST)
def test_relevance_of_the_embeddings_edges_is_its_gradient(name: str) -> None:
    """The edges out of the embedding are all of its ways to the metric."""
    adapter, batch = adapter_of(family_bridge(name)), tiny_batch(3)
    settings = AttributionSettings(method="relp")
    scores = attribute(family_bridge(name), batch, settings)
    with frozen(adapter.model), Hooks() as hooks:
        clean, corrupted = (adapter.embed(x) for x in (batch.clean_ids, batch.corrupted_ids))
        clean.requires_grad_(True)
        hooks.output(adapter.embed, lambda _: clean)
        apply_relp_rules(adapter, hooks)
        hidden = adapter.hidden(batch.clean_ids)
    rows = torch.arange(len(batch))
    logits = adapter.capped(adapter.unembed(hidden[rows, batch.last]), True)
    loss = (logits[rows, batch.wrong_ids] - logits[rows, batch.right_ids]).sum()
    expected = ((corrupted - clean.detach()) * torch.autograd.grad(loss, clean)[0]).sum()
    assert float(scores[0].sum()) == pytest.approx(float(expected) / len(batch), abs=1e-6)
    assert error(scores, attribute(family_bridge(name), batch, EAP)) > 0.01


def test_relevance_is_refused_where_an_mlp_may_be_something_else() -> None:
    bridge = boot_bridge(family_model("mistral"), tokenizer())
    adapter_of(bridge).blocks[0].mlp.another = torch.nn.Linear(3, 5)
    with pytest.raises(KcError, match="MistralMLP may be something else"):
        attribute(bridge, tiny_batch(2), AttributionSettings(method="relp"))


@pytest.mark.parametrize("name", ["gemma2", "olmo2"])
def test_exact_patching_is_the_model_without_one_edge(name: str) -> None:
    bridge, batch = family_bridge(name), tiny_batch(2)
    check_exact_patching(bridge, batch, n_edges=25, tolerance=1e-5)
