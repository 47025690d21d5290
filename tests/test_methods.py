"""The attribution methods and metrics beside EAP-IG, each against an independent computation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from edge_masks import error, masked, outputs
from families import family_bridge
from one_edge import check_exact_patching
from tiny_models import KINDS, tiny_batch, tiny_model, tokenizer
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.tools.analysis.attribution_patching import (
    EdgeAttributionConfig,
    Node,
    attribution_patch,
    faithfulness,
)

from kc_utils.circuits import evaluate_circuit
from kc_utils.circuits.ablation import references
from kc_utils.circuits.adapter import adapter_of, graph_of
from kc_utils.circuits.attribution import attribute
from kc_utils.circuits.batch_sizes import patched_bytes_per_prompt, patching_bytes_per_pair
from kc_utils.circuits.bridge import boot_bridge
from kc_utils.circuits.by_position import attribute_by_position, attribute_by_token
from kc_utils.circuits.circuit import top_edges
from kc_utils.circuits.exact import PROMPTS_AT_ONCE, _Patching
from kc_utils.circuits.metrics import evaluate_metric
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.circuits.relp import apply_relp_rules
from kc_utils.circuits.settings import METHODS, AttributionSettings
from kc_utils.errors import KcError
from kc_utils.kernels.hooks import Hooks

EAP = AttributionSettings(method="eap")
EXACT = AttributionSettings(method="exact")


def bridge_of(kind: str, dtype: torch.dtype = torch.float64) -> TransformerBridge:
    return boot_bridge(tiny_model(kind, dtype), tokenizer())


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_exact_patching_is_the_model_without_one_edge(kind: str) -> None:
    """Two implementations: a patched reader, and the circuit of all edges but one."""
    bridge, batch = bridge_of(kind), tiny_batch(4)
    scores = check_exact_patching(bridge, batch, n_edges=40, tolerance=1e-6)
    assert bool((scores[torch.from_numpy(~graph_of(bridge).real_edges)] == 0).all())


def test_exact_patching_in_small_blocks_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    bridge, batch = bridge_of("gpt2"), tiny_batch(5)
    whole = attribute(bridge, batch, EXACT)
    monkeypatch.setattr("kc_utils.circuits.exact.PROMPTS_AT_ONCE", 7)
    assert error(attribute(bridge, batch, replace(EXACT, batch_size=2)), whole) < 1e-12


def test_exact_patching_keeps_a_memory_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    bridge, batch = bridge_of("llama"), tiny_batch(5)
    adapter, pos = adapter_of(bridge), batch.clean_ids.shape[1]
    least = patching_bytes_per_pair(adapter, pos) + patched_bytes_per_prompt(adapter, pos)
    whole, run, sizes = attribute(bridge, batch, EXACT), _Patching._run, []

    def counted(self: _Patching, times: int) -> Tensor:
        needed = patched_bytes_per_prompt(adapter, self.batch.clean_ids.shape[1])
        sizes.append((times, len(self.batch), needed))
        return run(self, times)

    monkeypatch.setattr(_Patching, "_run", counted)
    for max_bytes in (2**31, 8 * least, least):
        sizes.clear()
        assert error(attribute(bridge, batch, replace(EXACT, max_bytes=max_bytes)), whole) < 1e-12
        for times, pairs, needed in sizes:
            assert times * pairs <= PROMPTS_AT_ONCE
            assert times == 1 or times * pairs * needed <= max_bytes // 2
    assert {pairs for _, pairs, _ in sizes} == {1}, "control: the least bound holds one pair"
    with pytest.raises(KcError, match=f"max_bytes={least - 1} is less than the {least} bytes"):
        attribute(bridge, batch, replace(EXACT, max_bytes=least - 1))


def test_exact_patching_shows_its_progress(capfd: pytest.CaptureFixture[str]) -> None:
    bridge, batch = bridge_of("gpt2"), tiny_batch(2)
    attribute(bridge, batch, EXACT)
    assert not capfd.readouterr().err
    attribute(bridge, batch, EXACT, progress=True)
    assert "reader" in capfd.readouterr().err


@pytest.mark.parametrize("kind", KINDS)
def test_clean_corrupted_is_the_mean_of_two_gradients(kind: str) -> None:
    """m = 1 has its one step at the clean embedding, or at the corrupted one."""
    bridge, batch = bridge_of(kind), tiny_batch()
    ends = [
        attribute(bridge, batch, AttributionSettings(steps=1, path=p)) for p in ("1..m", "0..m-1")
    ]
    both = attribute(bridge, batch, AttributionSettings(method="clean-corrupted"))
    assert error(both, sum(ends) / 2) < 1e-12
    assert error(ends[0], ends[1]) > 0.05


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_activation_gradients_follow_each_writers_own_path(kind: str) -> None:
    """One step at the clean output is EAP for every writer; more steps are compared one by one."""
    bridge, batch = bridge_of(kind), tiny_batch(3)
    one = AttributionSettings(method="eap-ig-activations", steps=1)
    assert error(attribute(bridge, batch, one), attribute(bridge, batch, EAP)) < 1e-12
    scores = attribute(bridge, batch, replace(one, steps=2))
    graph = graph_of(bridge)
    for name, rows in (("mlp", slice(graph.mlp(0), graph.mlp(0) + 1)), ("heads", graph.heads(1))):
        expected = torch.stack([_at_share(bridge, batch, name, share) for share in (0.5, 1.0)])
        assert error(scores[rows], expected.mean(0)[rows]) < 1e-6
    assert error(scores[:1], attribute(bridge, batch, AttributionSettings(steps=2))[:1]) < 1e-12


def _at_share(bridge: TransformerBridge, batch: PairBatch, name: str, share: float) -> Tensor:
    """Gradient of an edge mask while layer 0's MLP or layer 1's heads lie between the two runs."""
    bridge = boot_bridge(bridge.kc_adapter.model, tokenizer())  # its flags are changed here
    bridge.set_use_attn_result(True)
    graph = graph_of(bridge)
    total = torch.zeros(graph.n_forward, graph.n_backward, dtype=torch.float64)
    point = "blocks.0.mlp.hook_out" if name == "mlp" else "blocks.1.attn.o.hook_in"
    for i in range(len(batch)):
        pair = batch.slice(i, i + 1)
        for use in (bridge.set_use_split_qkv_input, bridge.set_use_hook_mlp_in):
            use(False)
        clean, corrupted = (outputs(bridge, graph, x) for x in (pair.clean_ids, pair.corrupted_ids))
        middle = [bridge.run_with_cache(x, use_cache=False)[1][point]
                  for x in (pair.clean_ids, pair.corrupted_ids)]  # fmt: skip
        value = (share * middle[0] + (1 - share) * middle[1]).detach()
        mask = torch.zeros_like(total, requires_grad=True)
        for use in (bridge.set_use_split_qkv_input, bridge.set_use_hook_mlp_in):
            use(True)
        hooks = [(point, lambda x, hook, value=value: value)]
        hooks += masked(bridge, graph, mask, corrupted - clean)
        with bridge.hooks(fwd_hooks=hooks):
            logits = bridge(pair.clean_ids, use_cache=False)[0, -1]
        loss = logits[pair.wrong_ids[0]] - logits[pair.right_ids[0]]
        total += torch.autograd.grad(loss, mask)[0]
    return total / len(batch) * torch.from_numpy(graph.real_edges.copy())


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", [m for m in METHODS if m != "exact"])
def test_positions_sum_to_the_whole(kind: str, method: str) -> None:
    bridge, batch = bridge_of(kind), tiny_batch(4)
    batch = replace(batch, subject_start=torch.ones(4, dtype=torch.long),
                    subject_stop=torch.full((4,), 2))  # fmt: skip
    settings = AttributionSettings(method=method, steps=2)
    parts = attribute_by_position(bridge, batch, settings)
    assert list(parts) == ["subject", "relation", "last"]
    assert error(sum(parts.values()), attribute(bridge, batch, settings)) < 1e-12
    assert all(float(x.abs().max()) > 0 for x in parts.values())
    to_logits = torch.stack([x[:, -1] for x in parts.values()])
    assert bool((to_logits[:2] == 0).all()), "logits are read at the last token only"


def test_a_position_counts_where_its_tokens_are() -> None:
    """With equal prompts but for the subject's tokens, nothing is carried in front of them."""
    bridge = bridge_of("gpt2")
    batch = PairBatch.from_lists([[3, 4, 5, 6]], [[3, 9, 5, 6]], [1], [2], [1], [2])
    moved = replace(batch, subject_start=torch.tensor([0]), subject_stop=torch.tensor([1]))
    here, there = (attribute_by_position(bridge, b, EAP) for b in (batch, moved))
    assert float(here["subject"].abs().max()) > 0
    assert float(there["subject"].abs().max()) == 0, "the first token differs in no run"
    with pytest.raises(KcError, match="method='exact'"):
        attribute_by_position(bridge, batch, EXACT)


@pytest.mark.parametrize("name", ["gpt2", "gemma2", "phi", "llama3", "olmo2"])
def test_tokens_sum_to_the_whole_and_what_lies_behind_them_is_not_theirs(name: str) -> None:
    bridge, batch = family_bridge(name), tiny_batch(3)
    settings = AttributionSettings(steps=2, batch_size=2)
    whole, parts = attribute(bridge, batch, settings), attribute_by_token(bridge, batch, settings)
    assert parts.shape == (batch.clean_ids.shape[1], *whole.shape)
    assert error(parts.sum(0), whole) < 1e-6
    assert error(parts[:-1].sum(0), whole) > 1e-3, "the control: without the last token"
    lengths = batch.last + 1
    assert int(lengths.min()) < len(parts), "prompts of unequal length"
    alone = [attribute_by_token(bridge, batch.slice(i, i + 1), settings) for i in range(3)]
    for t, part in enumerate(parts):
        there = [found[t] for found in alone if t < len(found)]
        assert error(torch.stack(there).sum(0) / 3, part) < 1e-6


def test_a_single_pair_carries_its_change_at_the_token_that_differs() -> None:
    """The embedding differs at one token, so `input` is read from there alone."""
    bridge = bridge_of("gpt2")
    batch = PairBatch.from_lists([[3, 4, 5, 6]], [[3, 9, 5, 6]], [1], [2])
    parts = attribute_by_token(bridge, batch, EAP)
    assert float(parts[1, 0].abs().max()) > 0
    assert float(parts[[0, 2, 3], 0].abs().max()) == 0
    assert float(parts[2:, 1:].abs().max()) > 0, "later tokens read what heads brought there"
    assert float(parts[:-1, :, -1].abs().max()) == 0, "logits are read at the last token only"
    with pytest.raises(KcError, match="method='exact'"):
        attribute_by_token(bridge, batch, EXACT)


@pytest.mark.slow
def test_relevance_leaves_the_model_as_it_is_and_nothing_in_q_and_k() -> None:
    for kind in KINDS:
        bridge, batch = bridge_of(kind), tiny_batch()
        graph, before = graph_of(bridge), references(bridge, batch).clean_logits
        scores = attribute(bridge, batch, AttributionSettings(method="relp"))
        assert torch.equal(references(bridge, batch).clean_logits, before)
        kinds = np.array(graph.column_kind)
        assert bool((scores[:, torch.from_numpy(np.isin(kinds, ["q", "k"]))] == 0).all())
        assert float(scores[:, torch.from_numpy(kinds == "v")].abs().max()) > 0
        assert error(scores, attribute(bridge, batch, EAP)) > 0.01


def test_relevance_is_conserved_in_a_model_without_biases() -> None:
    """What LRP promises: without biases, the metric is the sum over the parts of the embedding.

    Every rule makes its module homogeneous of degree one, so the gradient at the token embedding
    times the embedding itself is the metric. The plain gradient has no such property.
    """
    model = tiny_model("llama", torch.float64)
    bridge = boot_bridge(model, tokenizer())
    adapter, batch = adapter_of(bridge), tiny_batch(3)
    metric = evaluate_metric("logit_diff", references(bridge, batch).clean_logits, batch)

    def summed(relevance: bool) -> Tensor:
        embed = adapter.embed(batch.clean_ids).detach().requires_grad_(True)
        with Hooks() as hooks:
            hooks.output(adapter.embed, lambda _: embed)
            if relevance:
                apply_relp_rules(adapter, hooks)
            hidden = adapter.hidden(batch.clean_ids)
        logits = adapter.logits(hidden, batch.read_at)
        total = evaluate_metric("logit_diff", logits, batch).sum()
        return (torch.autograd.grad(total, embed)[0] * embed).sum((1, 2))

    assert torch.allclose(summed(True), metric, atol=1e-6)
    assert not torch.allclose(summed(False), metric, atol=1e-2)


def equal_lengths(n: int, seed: int = 0) -> PairBatch:
    clean, corrupted = torch.randint(50, (2, n, 5), generator=torch.Generator().manual_seed(seed))
    return PairBatch.from_lists(clean.tolist(), corrupted.tolist(), [1, 2, 3][:n], [4, 5, 6][:n])


def edge_name(writer: Node, reader: Node) -> str:
    """TransformerLens' node names in ours."""
    names = {"embed": "input", "mlp_out": f"m{writer.layer}"}
    first = names.get(writer.kind, f"a{writer.layer}.h{writer.head}")
    names = {"logits": "logits", "mlp_in": f"m{reader.layer}"}
    second = names.get(reader.kind, f"a{reader.layer}.h{reader.head}<{reader.kind[0]}>")
    return f"{first}->{second}"


@pytest.mark.parametrize("kind", ["gpt2", "llama", "neox"])
def test_eap_is_transformer_lens_edge_attribution_patching(kind: str) -> None:
    """Theirs takes the gradient of the metric at the corrupted run, towards the clean one."""
    bridge, batch = bridge_of(kind), equal_lengths(1)
    swapped = replace(batch, clean_ids=batch.corrupted_ids, corrupted_ids=batch.clean_ids)
    ours = -attribute(bridge, swapped, EAP)
    theirs, graph = torch.zeros_like(ours), graph_of(bridge)
    right, wrong = batch.right_ids[0], batch.wrong_ids[0]

    def metric(logits: Tensor) -> Tensor:
        return logits[0, -1, right] - logits[0, -1, wrong]

    config = EdgeAttributionConfig(granularity="edge")
    result = attribution_patch(bridge, batch.clean_ids, batch.corrupted_ids, metric, config)
    for (writer, reader), score in result.edge_scores.items():  # one per position
        theirs[tuple(np.argwhere(graph.edges_from_names([edge_name(writer, reader)]))[0])] += score
    assert error(ours, theirs) < 1e-6
    assert error(attribute(bridge, batch, EAP), theirs) > 0.05


@pytest.mark.parametrize("kind", ["gpt2", "llama", "neox"])
def test_circuits_keep_what_transformer_lens_says_they_keep(kind: str) -> None:
    bridge, batch = bridge_of(kind), equal_lengths(1, seed=1)
    right, wrong = batch.right_ids[0], batch.wrong_ids[0]

    def metric(logits: Tensor) -> Tensor:
        return logits[0, -1, right] - logits[0, -1, wrong]

    config = EdgeAttributionConfig(granularity="edge")
    found = attribution_patch(bridge, batch.clean_ids, batch.corrupted_ids, metric, config)
    graph = graph_of(bridge)
    edges = top_edges(attribute(bridge, batch, EAP), graph, 60)
    kept = set(graph.edge_names(edges))
    circuit = [edge for edge in found.edge_scores if edge_name(*edge) in kept]
    theirs = faithfulness(bridge, batch.clean_ids, batch.corrupted_ids, metric, circuit)
    ours = evaluate_circuit(bridge, batch, edges)
    assert ours.faithfulness == pytest.approx(theirs.recovered, rel=1e-5)
    assert ours.faithfulness != pytest.approx(1, abs=1e-3)
