"""What attribution refuses: settings, pairs, tokens and metrics that give no scores."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_models import golden_batch, golden_bridge, tiny_model, tokenizer
from tiny_models import tiny_batch as batch_of

from kc_utils.circuits.ablation import mean_outputs, references
from kc_utils.circuits.adapter import graph_of
from kc_utils.circuits.attribution import attribute
from kc_utils.circuits.bridge import boot_bridge
from kc_utils.circuits.circuit import full_circuit
from kc_utils.circuits.evaluation import evaluate_circuit
from kc_utils.circuits.neurons import attribute_nodes, evaluate_neurons
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.circuits.settings import METHODS, AttributionSettings
from kc_utils.errors import KcError

EAP = AttributionSettings(method="eap")


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"method": "ap"}, "'ap'"),
        ({"path": "1..5"}, "'1..5'"),
        ({"steps": 0}, "steps=0"),
        ({"batch_size": -1}, "batch_size=-1"),
    ],
)
def test_impossible_settings_are_named(values: dict[str, Any], word: str) -> None:
    with pytest.raises(KcError, match=word):
        AttributionSettings(**values)


def test_integers_of_numpy_are_integers() -> None:
    made = AttributionSettings(steps=np.int64(3), batch_size=np.int32(7))
    assert made == AttributionSettings(steps=3, batch_size=7) and type(made.steps) is int
    for value in (True, np.int64(0)):
        with pytest.raises(KcError, match="is not an integer of at least 1"):
            AttributionSettings(steps=value)


def test_pairs_without_a_contrast_are_refused() -> None:
    batch = batch_of()
    with pytest.raises(KcError, match="Pair 2: right and wrong"):
        same = batch.wrong_ids.clone()
        same[2] = batch.right_ids[2]
        attribute(golden_bridge("gpt2_tiny"), replace(batch, wrong_ids=same), EAP)
    with pytest.raises(KcError, match="Pair 1: the clean prompt has 2 tokens"):
        PairBatch.from_lists([[1], [1, 2]], [[1], [1, 2, 3]], [1, 1], [2, 2])
    with pytest.raises(KcError, match="share their first token 4"):
        PairBatch.from_lists([[1]], [[2]], [4], [4])
    with pytest.raises(KcError, match="no column 'wrong_id'"):
        PairBatch.from_frame(pd.DataFrame({"clean_ids": [], "corrupted_ids": [], "right_id": []}))


def test_tokens_that_no_model_has_are_refused() -> None:
    for columns in (
        ([[1, -2, 3]], [[1, 3, 4]], [0], [2]),
        ([[1, 2, 3]], [[1, 3, -2]], [0], [2]),
        ([[1, 2, 3]], [[1, 3, 4]], [-2], [2]),
        ([[1, 2, 3]], [[1, 3, 4]], [2], [-2]),
    ):
        with pytest.raises(KcError, match="Pair 0: token -2 is negative"):
            PairBatch.from_lists(*columns)
    with pytest.raises(KcError, match="Pair 0: token -1 is negative"):
        PairBatch.with_answers([[1]], [[2]], [[3, -1]])
    assert PairBatch.with_answers([[1]], [[2]], [[3, 4]]).wrong_ids.tolist() == [-1]


def runs_of(bridge: Any, batch: PairBatch) -> list[Any]:
    """Everything that runs a batch."""
    graph = graph_of(bridge)
    kept = np.ones((graph.n_forward, 32), dtype=bool)
    refs = references(bridge, batch_of(1))
    return [
        lambda: attribute(bridge, batch, EAP),
        lambda: attribute(bridge, batch, replace(EAP, method="exact")),
        lambda: attribute_nodes(bridge, batch, EAP),
        lambda: references(bridge, batch),
        lambda: mean_outputs(bridge, batch),
        lambda: evaluate_circuit(bridge, batch, full_circuit(graph)),
        lambda: evaluate_circuit(bridge, batch, full_circuit(graph), refs=refs),
        lambda: evaluate_neurons(bridge, batch, kept, refs=refs),
    ]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (([[1, 50]], [[2, 3]], [0], [1]), "Pair 0: the clean prompt has token 50"),
        (([[1, 2]], [[50, 3]], [0], [1]), "Pair 0: the corrupted prompt has token 50"),
        (([[1, 2]], [[2, 3]], [50], [1]), "Pair 0: the right answer has token 50"),
        (([[1, 2]], [[2, 3]], [0], [50]), "the wrong answer has token 50; .* 0 to 49"),
        (([[1] * 33], [[2] * 33], [0], [1]), "Pair 0: the prompt has 33 tokens; .* 32 positions"),
    ],
)
def test_tokens_and_positions_that_the_model_lacks_are_refused(columns: Any, words: str) -> None:
    bridge = boot_bridge(tiny_model("gpt2"), tokenizer())
    for run in runs_of(bridge, PairBatch.from_lists(*columns)):
        with pytest.raises(KcError, match=words):
            run()


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_metrics_that_give_no_scores_are_refused(method: str) -> None:
    bridge, batch = golden_bridge("gpt2_tiny"), golden_batch("gpt2_tiny").slice(0, 1)

    def no_number(logits: torch.Tensor, _: PairBatch) -> torch.Tensor:
        return logits[:, 0] * float("nan")

    def no_gradient(logits: torch.Tensor, _: PairBatch) -> torch.Tensor:
        return logits[:, 0].detach()

    if method == "exact":
        bridge = boot_bridge(tiny_model("gpt2"), tokenizer())
        batch = batch_of(1)
    kinds = [attribute] if method == "exact" else [attribute, attribute_nodes]
    for score in kinds:
        settings = AttributionSettings(method=method, metric=no_number)
        with pytest.raises(KcError, match="scores are not finite numbers; metric='no_number'"):
            score(bridge, batch, settings)
        settings = AttributionSettings(method=method, metric=no_gradient)
        if method == "exact":
            assert torch.isfinite(score(bridge, batch, settings)).all(), "it needs no gradient"
            continue
        with pytest.raises(KcError, match="metric='no_gradient' gives numbers without a gradient"):
            score(bridge, batch, settings)


def test_training_mode_is_refused() -> None:
    bridge = boot_bridge(tiny_model("gpt2"), tokenizer())
    bridge.original_model.train()
    with pytest.raises(KcError, match="training mode"):
        attribute(bridge, batch_of(), EAP)
