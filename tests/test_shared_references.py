"""Plain runs that several evaluations share: of the right model and positions, and left as they
are; ranks of whole answers; means of half precision."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_models import tiny_batch, tiny_model, tokenizer
from torch import Tensor

from kc_utils.circuits import PairBatch, boot_bridge, evaluate_circuit, graph_of, mean_outputs
from kc_utils.circuits.ablation import references
from kc_utils.circuits.circuit import full_circuit
from kc_utils.circuits.evaluation import BatchEvaluation
from kc_utils.circuits.polish import polish
from kc_utils.errors import KcError


@pytest.fixture(scope="module")
def bridge():
    return boot_bridge(tiny_model("gpt2"), tokenizer())


def test_references_of_another_model_or_read_elsewhere_are_refused(bridge) -> None:
    batch, circuit = tiny_batch(4), full_circuit(graph_of(bridge))
    refs, other = references(bridge, batch), boot_bridge(tiny_model("gpt2"), tokenizer())
    assert evaluate_circuit(bridge, batch, circuit, refs=refs).faithfulness == pytest.approx(1)
    with pytest.raises(KcError, match="of another model"):
        evaluate_circuit(other, batch, circuit, refs=refs)
    sooner = replace(batch, last=batch.last - 1)
    with pytest.raises(KcError, match="read elsewhere"):
        evaluate_circuit(bridge, sooner, circuit, refs=refs)


def test_a_metric_that_writes_into_its_logits_changes_nothing_else(bridge) -> None:
    def margin(logits: Tensor, batch: PairBatch) -> Tensor:
        own = logits.gather(1, batch.right_ids[:, None])[:, 0]
        logits.scatter_(1, batch.right_ids[:, None], -torch.inf)
        return own - logits.max(1).values

    batch, circuit = tiny_batch(4), full_circuit(graph_of(bridge))
    refs = references(bridge, batch)
    before, plain = refs.clean_logits.clone(), evaluate_circuit(bridge, batch, circuit)
    found = evaluate_circuit(bridge, batch, circuit, refs=refs, metric=margin)
    assert torch.equal(before, refs.clean_logits)
    assert np.array_equal(found.clean_rank, plain.clean_rank)


def test_hits_of_whole_answers_are_those_of_right_ones(bridge) -> None:
    batch = tiny_batch(4)
    logits = references(bridge, batch).clean_logits[:, -1]
    prompts = [
        [ids[: int(last) + 1].tolist() for ids, last in zip(side, batch.last, strict=True)]
        for side in (batch.clean_ids, batch.corrupted_ids)
    ]
    best, worst = ([[int(i)] for i in x] for x in (logits.argmax(1), logits.argmin(1)))
    whole = PairBatch.with_answers(*prompts, best, worst)
    circuit = full_circuit(graph_of(bridge))
    found = evaluate_circuit(bridge, whole, circuit, metric="answer_log_prob")
    assert found.hit_at(1) == 1.0 and len(found.rank) == 8
    turned = PairBatch.with_answers(*prompts, worst, best)
    found = evaluate_circuit(bridge, turned, circuit, metric="answer_log_prob")
    assert found.hit_at(1) == 0.0


def test_means_of_half_precision_do_not_depend_on_the_batch_size() -> None:
    model = tiny_model("gpt2")
    with torch.no_grad():  # sums of many large numbers, whose last digits bfloat16 does not hold
        model.get_input_embeddings().weight.add_(5.0)
    batch = tiny_batch(8).repeated(50)
    exact = mean_outputs(boot_bridge(model, tokenizer()), batch).rows
    half = boot_bridge(model.to(torch.bfloat16), tokenizer())
    for batch_size in (64, 1):
        rows = mean_outputs(half, batch, batch_size).rows
        assert rows.dtype == torch.bfloat16
        assert float((rows - exact).abs().max() / exact.abs().max()) < 0.03


def test_what_cannot_be_polished_is_refused(bridge) -> None:
    batch, circuit = tiny_batch(3), full_circuit(graph_of(bridge))
    same = replace(batch, corrupted_ids=batch.clean_ids)
    scores = torch.ones(circuit.edges.shape) * torch.from_numpy(graph_of(bridge).real_edges.copy())
    with pytest.raises(KcError, match="undefined"):
        polish(BatchEvaluation(bridge, same), circuit, scores)


def test_a_model_keeps_the_mode_of_each_of_its_modules() -> None:
    model = tiny_model("gpt2").train()
    model.transformer.h[0].eval()
    boot_bridge(model, tokenizer())
    assert model.training and not model.transformer.h[0].training
