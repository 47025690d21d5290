"""Edge scores: against stored numbers, and against the gradient of an explicit edge mask."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from edge_masks import error, mask_gradient
from families import family_model
from notebook_reference import reference, reference_source
from tiny_models import GOLDEN, KINDS, SETS, golden_batch, golden_bridge, tiny_model, tokenizer
from tiny_models import tiny_batch as batch_of
from transformers import AutoModelForCausalLM

from kc_utils.circuits.adapter import adapter_of, graph_of
from kc_utils.circuits.attribution import attribute
from kc_utils.circuits.batch_sizes import bytes_per_pair, product_bytes_per_pair
from kc_utils.circuits.bridge import boot_bridge, ungroup
from kc_utils.circuits.circuit import full_circuit
from kc_utils.circuits.evaluation import evaluate_circuit
from kc_utils.circuits.graph import Graph
from kc_utils.circuits.neurons import attribute_nodes
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.circuits.settings import AttributionSettings
from kc_utils.cli.golden import SCORE_FILES
from kc_utils.errors import KcError

EAP = AttributionSettings(method="eap")


def stored(name: str, file: str) -> np.ndarray:
    return np.load(GOLDEN / name / file, allow_pickle=False)["scores"]


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("file", SCORE_FILES)
def test_scores_are_the_golden_ones(name: str, file: str) -> None:
    scores = attribute(golden_bridge(name), golden_batch(name), SCORE_FILES[file])
    assert scores.dtype == torch.float32
    assert error(scores, stored(name, file)) < 5e-6
    assert bool((scores[torch.from_numpy(~Graph(4, 4).real_edges)] == 0).all())


@pytest.mark.parametrize("file", SCORE_FILES)
def test_double_precision_leaves_no_error(file: str) -> None:
    bridge = golden_bridge("gpt2_tiny", torch.float64)
    scores = attribute(bridge, golden_batch("gpt2_tiny"), SCORE_FILES[file])
    assert scores.dtype == torch.float64
    assert error(scores, stored("gpt2_tiny", file)) < 1e-12


@pytest.mark.parametrize("name", SETS)
def test_another_definition_would_be_seen(name: str) -> None:
    """Control: the other integration path, the other sign and swapped prompts are far off."""
    batch, bridge = golden_batch(name), golden_bridge(name)
    golden = stored(name, "scores_eapig_1_to_m.npz")
    scores = attribute(bridge, batch, AttributionSettings(path="0..m-1"))
    assert error(scores, golden) > 5e-3
    assert error(-attribute(bridge, batch, AttributionSettings()), golden) > 1
    swapped = replace(batch, clean_ids=batch.corrupted_ids, corrupted_ids=batch.clean_ids)
    assert error(attribute(bridge, swapped, AttributionSettings()), golden) > 0.1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_scores_are_the_gradient_of_an_edge_mask(kind: str, share: float) -> None:
    """m = 2 with k = 1, 2 has steps at 1/2 and 1: twice its mean less EAP is the step at 1/2."""
    bridge = boot_bridge(tiny_model(kind, torch.float64), tokenizer())
    batch = batch_of()
    scores = attribute(bridge, batch, EAP)
    if share == 0.5:
        scores = 2 * attribute(bridge, batch, AttributionSettings(steps=2)) - scores
    expected = mask_gradient(bridge, batch, share)
    assert error(scores, expected) < 1e-6
    columns = expected.abs().sum(0)
    assert int((columns == 0).sum()) == 0, "every reader matters in the random model"


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_scores_are_those_of_the_reference(kind: str) -> None:
    """The chapter's code runs the plain model; the engine computes the same in another order."""
    model, batch = tiny_model(kind, torch.float64), batch_of()
    bridge, settings = boot_bridge(model, tokenizer()), AttributionSettings(steps=3)
    expected = reference(ungroup(model), batch, steps=3)
    scores = attribute(bridge, batch, settings)
    assert error(scores, expected) < 1e-6
    assert bool((expected[torch.from_numpy(~graph_of(bridge).real_edges)] == 0).all())
    assert error(scores, reference(ungroup(model), batch, steps=2)) > 1e-3, "control"


@pytest.mark.parametrize("name", SETS)
def test_the_reference_gives_the_golden_scores(name: str) -> None:
    model = AutoModelForCausalLM.from_pretrained(GOLDEN / name / "model", dtype=torch.float32)
    scores = reference(ungroup(model.eval()), golden_batch(name), steps=5)
    assert error(scores, stored(name, "scores_eapig_1_to_m.npz")) < 5e-6


def test_the_reference_is_as_short_as_its_chapter_says() -> None:
    assert len([line for line in reference_source().splitlines() if line.strip()]) <= 40


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_batches_and_padding_change_nothing(kind: str) -> None:
    bridge = boot_bridge(tiny_model(kind), tokenizer())
    batch = batch_of(7)
    settings = AttributionSettings(steps=2)
    whole = attribute(bridge, batch, settings)
    for size in (1, 3):
        assert error(attribute(bridge, batch, replace(settings, batch_size=size)), whole) < 1e-5
    single = [attribute(bridge, batch.slice(i, i + 1), settings) for i in range(len(batch))]
    assert error(torch.stack(single).mean(0), whole) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("method", ["eap", "eap-ig-activations"])
def test_a_memory_bound_changes_nothing(method: str) -> None:
    bridge, batch = golden_bridge("gpt2_tiny"), golden_batch("gpt2_tiny").slice(0, 5)
    settings = AttributionSettings(method=method, steps=2)
    whole = attribute(bridge, batch, settings)
    adapter, pos = adapter_of(bridge), batch.clean_ids.shape[1]
    steps = len(settings.shares_of_clean)
    least = bytes_per_pair(adapter, pos, steps) + product_bytes_per_pair(adapter, pos)
    assert error(attribute(bridge, batch, replace(settings, max_bytes=least)), whole) < 1e-5
    with pytest.raises(KcError, match=f"max_bytes={least // 2} is less than the {least} bytes"):
        attribute(bridge, batch, replace(settings, max_bytes=least // 2))


def test_the_model_is_left_as_it_was() -> None:
    model = tiny_model("llama")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    ids = batch_of().clean_ids
    logits = model(ids).logits
    model.model.embed_tokens.weight.requires_grad_(False)
    bridge = boot_bridge(model, tokenizer())
    wanted = {name: p.requires_grad for name, p in bridge.named_parameters()}
    attribute(bridge, batch_of(), EAP)
    assert {name: p.requires_grad for name, p in bridge.named_parameters()} == wanted
    assert all(p.grad is None for p in bridge.parameters())
    assert not any(point.fwd_hooks or point.bwd_hooks for point in bridge.hook_dict.values())
    assert model.config.num_key_value_heads == 2
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(model(ids).logits, logits)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_modes_without_gradients_around_the_call_change_nothing(mode: Any) -> None:
    model, batch = tiny_model("llama"), batch_of()
    expected = attribute(boot_bridge(model, tokenizer()), batch, EAP)
    nodes = attribute_nodes(boot_bridge(model, tokenizer()), batch, EAP)
    relative = AttributionSettings(metric=lambda logits, b: logits[:, 3] * b.last)
    weighted = attribute(boot_bridge(model, tokenizer()), batch, relative)
    with mode():
        bridge, inside = boot_bridge(model, tokenizer()), batch_of()
        assert torch.equal(attribute(bridge, inside, EAP), expected)
        assert torch.equal(attribute_nodes(bridge, inside, EAP), nodes)
        assert torch.equal(attribute(bridge, inside, relative), weighted)
        assert not torch.is_grad_enabled(), "the caller's mode is left as it was"
    assert torch.equal(attribute(bridge, inside, EAP), expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llama", "olmo2"])
def test_a_training_step_on_the_model_changes_its_bridge(name: str) -> None:
    """Grouped heads have copies of k and v, and OLMo 2 also one of its normalisation of k."""
    model = tiny_model("llama") if name == "llama" else family_model("olmo2", torch.float32)
    bridge, batch = boot_bridge(model, tokenizer()), batch_of()
    before = attribute(bridge, batch, EAP)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05, fused=True)  # not counted by torch
    model(batch.clean_ids, labels=batch.clean_ids).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    fresh = boot_bridge(model, tokenizer())
    with torch.inference_mode():
        circuit = full_circuit(graph_of(bridge))
        result = evaluate_circuit(bridge, batch, circuit)
    assert result.faithfulness == evaluate_circuit(fresh, batch, circuit).faithfulness
    scores = attribute(bridge, batch, EAP)
    assert torch.equal(scores, attribute(fresh, batch, EAP))
    assert error(scores, before) > 0.1, "control"
    assert torch.equal(bridge(batch.clean_ids), fresh(batch.clean_ids)), "of the bridge, too"
    model.model.layers[0].self_attn.k_proj.weight.data.mul_(3)
    changed = attribute(bridge, batch, EAP)
    assert torch.equal(changed, attribute(boot_bridge(model, tokenizer()), batch, EAP))
    assert not torch.equal(changed, scores), "control"


def test_ungrouping_keeps_the_function_of_the_model() -> None:
    model, ids = tiny_model("llama"), batch_of().clean_ids
    clone = ungroup(model)
    assert clone.config.num_key_value_heads == 4
    assert torch.allclose(clone(ids).logits, model(ids).logits, atol=1e-5)
    with torch.no_grad():
        clone.model.layers[0].self_attn.v_proj.weight[:10] += 0.1
    assert not torch.allclose(clone(ids).logits, model(ids).logits, atol=1e-3)


def test_rotary_positions_have_no_end() -> None:
    bridge = boot_bridge(tiny_model("llama"), tokenizer())
    batch = PairBatch.from_lists([[1] * 40], [[2] * 40], [0], [49])
    assert torch.isfinite(attribute(bridge, batch, EAP)).all()
    whole = PairBatch.with_answers([[1] * 40], [[2] * 40], [[3, 49]])
    settings = replace(EAP, metric="answer_log_prob")
    assert torch.isfinite(attribute(bridge, whole, settings)).all()


def test_a_batch_comes_out_of_a_table_of_pairs() -> None:
    frame = pd.DataFrame(
        {
            "clean_ids": [np.array([1, 2, 3]), np.array([4, 5])],
            "corrupted_ids": [np.array([3, 2, 1]), np.array([5, 4])],
            "right_id": [7, 8],
            "wrong_id": [8, 9],
            "subject_start": [1, 0],
            "subject_stop": [3, 1],
        }
    )
    batch = PairBatch.from_frame(frame)
    assert batch.clean_ids.tolist() == [[1, 2, 3], [4, 5, 0]]
    assert batch.last.tolist() == [2, 1]
    assert batch.subject_stop.tolist() == [3, 1]
    assert batch.slice(1, 2).clean_ids.tolist() == [[4, 5]]
    assert len(batch) == 2


def test_a_bar_over_blocks_is_shown_only_where_it_is_asked_for(capsys: Any) -> None:
    bridge, batch = boot_bridge(tiny_model("llama"), tokenizer()), batch_of()
    settings = AttributionSettings("eap", batch_size=1)
    attribute(bridge, batch, settings)
    assert capsys.readouterr().err == ""
    attribute(bridge, batch, settings, progress=True)
    assert f"{len(batch)}/{len(batch)}" in capsys.readouterr().err
