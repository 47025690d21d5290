"""Pairs with several right or wrong answers: scores, circuits and ranks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from edge_masks import error, mask_gradient
from families import family_bridge
from one_edge import check_exact_patching
from test_circuits_face import word_tokenizer
from tiny_models import VOCAB, tiny_model, tokenizer
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kc_utils.analysis.head_attribution import component_attribution
from kc_utils.analysis.logit_lens import logit_lens
from kc_utils.circuits import AttributionSettings, PairBatch, attribute, evaluate_circuit, graph_of
from kc_utils.circuits.ablation import references
from kc_utils.circuits.bridge import boot_bridge
from kc_utils.circuits.by_position import attribute_by_token
from kc_utils.circuits.neurons import attribute_neurons, attribute_nodes
from kc_utils.errors import KcError

RIGHT = [[8, 7, 9], [10], [12, 11]]
WRONG = [[1, 2], [3, 4, 5], [6]]
EIG = AttributionSettings(steps=2, batch_size=2)


def bridge_of(kind: str) -> TransformerBridge:
    if kind == "gemma2":  # whose logits are capped
        return family_bridge(kind)
    return boot_bridge(tiny_model(kind, torch.float64), tokenizer())


def several() -> PairBatch:
    """Three pairs with unequal numbers of answers, and prompts of unequal length."""
    generator = torch.Generator().manual_seed(1)
    prompts = [
        [torch.randint(VOCAB, (n,), generator=generator).tolist() for n in (4, 6, 5)]
        for _ in range(2)
    ]
    return PairBatch.from_lists(*prompts, RIGHT, WRONG)


def only_first(batch: PairBatch) -> PairBatch:
    return replace(batch, right_sets=None, wrong_sets=None)


def minus_means(logits: Tensor, clean: Tensor, pair: PairBatch) -> Tensor:
    """Computed from the lists, not from what the batch made of them."""
    right, wrong = of_pair(pair)
    return logits[-1, wrong].mean() - logits[-1, right].mean()


def minus_sums(logits: Tensor, clean: Tensor, pair: PairBatch) -> Tensor:
    right, wrong = of_pair(pair)
    p = logits[-1].softmax(-1)
    return p[wrong].sum() - p[right].sum()


def of_pair(pair: PairBatch) -> tuple[list[int], list[int]]:
    at = [ids[0] for ids in RIGHT].index(int(pair.right_ids[0]))
    return RIGHT[at], WRONG[at]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gpt2", "llama", "gemma2"])
@pytest.mark.parametrize(
    ("metric", "loss"), [("logit_diff", minus_means), ("prob_diff", minus_sums)]
)
def test_scores_are_the_gradient_of_an_edge_mask(
    kind: str, metric: str, loss: Callable[..., Tensor]
) -> None:
    bridge, batch = bridge_of(kind), several()
    settings = replace(EIG, metric=metric)
    ends = [mask_gradient(bridge, batch, share, loss) for share in (1.0, 0.5)]
    assert error(attribute(bridge, batch, settings), sum(ends) / 2) < 1e-5
    others = attribute(bridge, only_first(batch), settings)
    assert error(others, sum(ends) / 2) > 0.05, "control: the other answers count"


@pytest.mark.parametrize(
    "score", [attribute, attribute_nodes, attribute_neurons, attribute_by_token]
)
def test_scores_are_the_mean_over_choices_of_one_answer(score: Callable[..., Tensor]) -> None:
    """The logit difference is linear in logits, and so are all its scores."""
    bridge, prompts = bridge_of("gpt2"), ([[3, 4, 5, 6]], [[3, 9, 5, 6]])
    settings = AttributionSettings(steps=2)
    whole = score(bridge, PairBatch.from_lists(*prompts, [[8, 7, 9]], [[1, 2]]), settings)
    single = [
        score(bridge, PairBatch.from_lists(*prompts, [right], [wrong]), settings)
        for right in (8, 7, 9)
        for wrong in (1, 2)
    ]
    assert error(whole, sum(single) / 6) < 1e-9
    assert error(single[0], sum(single) / 6) > 0.05, "control"


@pytest.mark.slow
def test_exact_patching_counts_all_answers() -> None:
    check_exact_patching(bridge_of("gpt2"), several(), n_edges=15, tolerance=1e-6)


@pytest.mark.parametrize("size", [1, 2, 64])
def test_circuits_are_judged_by_all_answers(size: int) -> None:
    bridge, batch = bridge_of("llama"), several()
    edges = graph_of(bridge).real_edges.copy()
    edges[2] = False
    clean = references(bridge, batch).clean_logits[:, -1].numpy()
    for metric, values, join in (
        ("logit_diff", clean, np.mean),
        ("prob_diff", np.exp(clean) / np.exp(clean).sum(1, keepdims=True), np.sum),
    ):
        found = evaluate_circuit(bridge, batch, edges, batch_size=size, metric=metric)
        sides = enumerate(zip(RIGHT, WRONG, strict=True))
        expected = [join(values[i, r]) - join(values[i, w]) for i, (r, w) in sides]
        np.testing.assert_allclose(found.clean_logit_diff, expected, atol=1e-12)
        best = [(clean[i] > clean[i, right].max()).sum() for i, right in enumerate(RIGHT)]
        np.testing.assert_array_equal(found.clean_rank, best)
        one = evaluate_circuit(bridge, only_first(batch), edges, metric=metric)
        assert (found.clean_rank <= one.clean_rank).all(), "the best of several is no worse"
        assert (found.clean_rank < one.clean_rank).any(), "control"
        assert (found.logit_diff != one.logit_diff).all(), "control"


def test_runs_that_are_at_hand_take_the_answers_that_are_asked_for() -> None:
    bridge, batch = bridge_of("gpt2"), several()
    refs, edges = references(bridge, only_first(batch)), graph_of(bridge).real_edges
    found = evaluate_circuit(bridge, batch, edges, refs=refs)
    np.testing.assert_array_equal(
        found.clean_logit_diff, evaluate_circuit(bridge, batch, edges).clean_logit_diff
    )


def test_one_answer_in_a_list_is_that_answer() -> None:
    prompts = [[[1, 2], [3, 4]], [[5, 2], [6, 4]]]
    listed = PairBatch.from_lists(*prompts, [[7], np.array([8])], [9, [10]])
    plain = PairBatch.from_lists(*prompts, [7, 8], [9, 10])
    assert listed.right_sets is None and listed.wrong_sets is None
    assert listed.right_ids.tolist() == plain.right_ids.tolist()
    assert listed.wrong_ids.tolist() == plain.wrong_ids.tolist()


def test_texts_with_several_answers() -> None:
    words = word_tokenizer("a b c d e f")
    batch = PairBatch.from_texts(
        words, ["a b", "b"], ["a c", "c"], [["d", "e d", "d f"], "e"], ["f", ["a", "c"]]
    )
    ids = {word: words(word)["input_ids"][0] for word in "abcdef"}
    assert batch.right_sets.tolist() == [[ids["d"], ids["e"]], [ids["e"], -1]], "d counts once"
    assert batch.wrong_sets.tolist() == [[ids["f"], -1], [ids["a"], ids["c"]]]
    assert batch.slice(1, 2).right_sets.tolist() == [[ids["e"], -1]]
    for right, words_of_error in (
        ([["d", "f"], "e"], "Pair 0: right and wrong answer share their first token"),
        ([[], "e"], "is not a list of texts"),
        ([["d", " "], "e"], "Pair 0: an answer is ' ', no text"),
        ([["d", 7], "e"], "is not a list of texts"),
    ):
        with pytest.raises(KcError, match=words_of_error):
            PairBatch.from_texts(words, ["a b", "b"], ["a c", "c"], right, ["f", "a"])


def test_answers_that_are_none_are_named() -> None:
    prompts = [[[1, 2]], [[5, 2]]]
    for right, wrong, words in (
        ([[]], [3], "Pair 0: it has no right answer"),
        ([3], [[]], "Pair 0: it has no wrong answer"),
        ([[3, 4]], [[6, 4]], "Pair 0: right and wrong answer share their first token 4"),
        ([[3, -1]], [6], "Pair 0: token -1 is negative"),
    ):
        with pytest.raises(KcError, match=words):
            PairBatch.from_lists(*prompts, right, wrong)
    batch = PairBatch.from_lists(*prompts, [[3, 4]], [6])
    with pytest.raises(KcError, match="right_ids are not the first answers of right_sets"):
        replace(batch, right_ids=torch.tensor([8]))
    with pytest.raises(KcError, match="Pair 0: right and wrong answer share their first token 4"):
        attribute(bridge_of("gpt2"), replace(batch, wrong_ids=torch.tensor([4])), EIG)
    outside = PairBatch.from_lists(*prompts, [[3, VOCAB]], [6])
    with pytest.raises(KcError, match=f"Pair 0: the right answer has token {VOCAB}"):
        attribute(bridge_of("gpt2"), outside, EIG)
    with pytest.raises(KcError, match="A logit lens reads one answer per pair"):
        logit_lens(bridge_of("gpt2"), batch)


def test_direct_attribution_sums_to_the_difference_of_means() -> None:
    bridge, batch = bridge_of("gpt2"), several()
    found = evaluate_circuit(bridge, batch, graph_of(bridge).real_edges)
    total = component_attribution(bridge, batch)["value"].sum()
    assert total == pytest.approx(found.clean_logit_diff.mean(), abs=1e-6)
    first = component_attribution(bridge, only_first(batch))["value"].sum()
    assert abs(first - total) > 1e-3, "control"
