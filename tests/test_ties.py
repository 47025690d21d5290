"""Ties never help: equal logits share the middle of their ranks, so silence is no hit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata
from tiny_models import VOCAB, golden_batch, golden_bridge, tiny_batch, tiny_model, tokenizer

from kc_utils.analysis.logit_lens import logit_lens
from kc_utils.circuits import BatchEvaluation, evaluate_circuit
from kc_utils.circuits.adapter import graph_of
from kc_utils.circuits.bridge import boot_bridge
from kc_utils.circuits.evaluation import hit
from kc_utils.circuits.metrics import rank

HIT_K = 10


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(1, 40))
def test_a_rank_is_the_mean_over_all_ways_to_break_ties(seed: int, n: int, vocab: int) -> None:
    """Beside SciPy's average ranks, on logits of few values."""
    rng = np.random.default_rng(seed)
    logits, right = rng.integers(0, 5, (n, vocab)).astype(float), rng.integers(0, vocab, n)
    ranks = rank(torch.tensor(logits), torch.tensor(right)).numpy()
    expected = rankdata(-logits, method="average", axis=1)[np.arange(n), right] - 1
    assert ranks.tolist() == expected.tolist()


def test_among_equal_logits_every_answer_has_the_middle_rank() -> None:
    logits, answers = torch.zeros(3, 101), torch.tensor([0, 50, 100])
    assert rank(logits, answers).tolist() == [50, 50, 50]
    assert rank(torch.full_like(logits, torch.nan), answers).tolist() == [50, 50, 50]
    assert not hit(rank(logits, answers).double().numpy(), HIT_K).any()
    logits[:, 0] = 1  # control: one larger logit, and this answer is the top
    assert rank(logits, answers).tolist() == [0, 50.5, 50.5]


def test_a_tie_across_the_border_is_no_hit_however_ranks_are_counted() -> None:
    ranks = np.array([8.5, 9.0, 9.5, 10.0])
    assert hit(ranks, HIT_K).tolist() == [True, True, False, False]
    assert (ranks + 1 <= HIT_K).tolist() == hit(ranks, HIT_K).tolist(), "as tables are read"


@pytest.mark.parametrize("golden", [False, True])
def test_an_empty_circuit_without_values_does_not_hit(golden: bool) -> None:
    """A Llama has no biases, so all logits of nothing are 0; counting larger ones gives rank 0."""
    bridge = (
        golden_bridge("llama_tiny") if golden else boot_bridge(tiny_model("llama"), tokenizer())
    )
    batch = golden_batch("llama_tiny") if golden else tiny_batch()
    nothing = np.zeros_like(graph_of(bridge).real_edges)
    result = evaluate_circuit(bridge, batch, nothing, "zero")
    middle = (bridge.W_U.shape[1] - 1) / 2
    assert (result.logit_diff == 0).all(), "control: nothing tells the answers apart"
    assert (result.rank == middle).all()
    assert result.hit_at(HIT_K) == 0
    table = BatchEvaluation(bridge, batch).table(nothing, "zero")
    assert table["rank"].tolist() == [middle + 1] * len(batch)
    whole = evaluate_circuit(bridge, batch, graph_of(bridge).real_edges, "zero")
    assert (whole.rank == whole.clean_rank).all(), "control: all edges are the model"
    assert (whole.rank != middle).any()


def test_the_lens_counts_ties_as_half() -> None:
    model = tiny_model("gpt2")
    with torch.no_grad():
        model.lm_head.weight.zero_()
    table = logit_lens(boot_bridge(model, tokenizer()), tiny_batch())
    assert (table["rank"] == (VOCAB + 1) / 2).all() and table["rank"].dtype == np.float64
