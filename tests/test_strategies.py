"""Strategies of continual pre-training: one budget, their plans, what is frozen."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tiny_models import tiny_model, tokenizer

from kc_utils.circuits.adapter import adapter_of, graph_of
from kc_utils.circuits.bridge import boot_bridge
from kc_utils.circuits.graph import Graph
from kc_utils.config import StrategyConfig
from kc_utils.errors import KcError
from kc_utils.models.tokenizers import train_bpe
from kc_utils.study.experiments.strategies import plans
from kc_utils.study.experiments.strategies.freezing import (
    Freezer,
    circuit_parts,
    part_importance,
    random_parts,
    trained_masks,
)
from kc_utils.study.experiments.strategies.plans import (
    STRATEGIES,
    OnlineSteps,
    Stream,
    detect_shift,
    make_plan,
    replay_budget,
)

FEW = hypothesis_settings(max_examples=10, deadline=None)


def budget(**changes: float) -> StrategyConfig:
    return StrategyConfig(**({"steps": 40, "measure_every": 4, "detect_every": 2} | changes))


def run_plan(strategy: str, settings: StrategyConfig, curve: Sequence[float], seed: int = 0):
    """Blocks of every step, with batches drawn one step ahead as the training loop does."""
    plan, steps = make_plan(strategy, settings, seed), []
    plan.observe(0, curve[0])
    steps.append(plan.counts(0))
    for done in range(1, settings.steps + 1):
        if done < settings.steps:
            steps.append(plan.counts(done))
        if done % settings.detect_every == 0:
            plan.observe(done, curve[done])
    table = pd.DataFrame(steps).reindex(columns=["base", "names", "facts"]).fillna(0).astype(int)
    return plan, table


def bent(n: int, noise: float = 0.02, seed: int = 0, bend: float = 0.3) -> np.ndarray:
    """Entropy that is flat for a moment, falls steeply to ``bend`` of the way, then slowly."""
    t = np.linspace(0, 1, n)
    curve = np.interp(t, [0, 0.05, bend, 1], [6.0, 6.0, 5.0, 4.9])
    return curve + np.random.default_rng(seed).normal(0, noise, n)


@given(
    steps=st.integers(10, 40),
    batch_size=st.integers(1, 8),
    replay=st.floats(0.05, 0.4),
    seed=st.integers(0, 1000),
)
@FEW
def test_every_strategy_has_the_same_budget(
    steps: int, batch_size: int, replay: float, seed: int
) -> None:
    settings = budget(steps=steps, batch_size=batch_size, replay=replay)
    curve = bent(steps + 1, seed=seed)
    for strategy in STRATEGIES:
        table = run_plan(strategy, settings, curve, seed)[1]
        assert (table.sum(axis=1) == batch_size).all(), strategy
        assert (table >= 0).all(axis=None)
        wanted = 0 if strategy == "plain" else replay_budget(settings)
        assert table["base"].sum() == wanted, strategy


def test_names_come_first_and_take_their_share() -> None:
    table = run_plan("names first", budget(batch_size=4), bent(41))[1]
    early, late = table.iloc[:8], table.iloc[8:]
    assert (early["facts"] == 0).all() and (early["names"] == 3).all()
    assert (late["names"] == 0).all() and (late["facts"] == 3).all()
    assert (run_plan("replay", budget(batch_size=4), bent(41))[1]["names"] == 0).all()


def test_replay_starts_at_the_shift_or_at_the_deadline() -> None:
    settings = budget(steps=80, batch_size=4)
    plan, table = run_plan("phase", settings, bent(81))
    assert plan.detected and 24 <= plan.switch < 48
    assert (table["base"][: plan.switch] == 0).all()
    assert table["base"][plan.switch :].sum() == replay_budget(settings)
    straight = np.linspace(6, 5, 81)  # no bend: nothing to detect
    plan, _ = run_plan("phase", settings, straight)
    assert not plan.detected and plan.switch == 49
    # The control switches whether or not there is a shift, and elsewhere for other seeds.
    switches = {run_plan("phase random", settings, straight, seed)[0].switch for seed in range(8)}
    assert len(switches) > 2 and max(switches) <= 49


def test_a_plan_refuses_batches_that_are_drawn_too_early() -> None:
    plan = make_plan("phase", budget(), 0)
    for index in range(29):
        plan.counts(index)
    with pytest.raises(KcError, match="at most one step ahead"):
        for step in range(0, 26, 2):
            plan.observe(step, 5.0)
    with pytest.raises(KcError, match="no strategy 'none'; allowed are plain, replay"):
        make_plan("none", budget(), 0)


def test_the_detector_sees_knees_but_not_noise_lines_or_onsets() -> None:
    x = np.arange(18) * 5.0

    def found(curve: np.ndarray) -> bool:
        """Whether any of the looks that a plan would take fires."""
        return any(detect_shift(x[:n], curve[:n], seed=0) for n in range(1, len(x) + 1))

    knees = [bent(18, 0.02, seed, bend=0.4) for seed in range(2)]
    assert all(found(curve) for curve in knees)
    noise = [np.random.default_rng(seed).normal(5, 0.05, 18) for seed in range(3)]
    assert not any(found(curve) for curve in noise)
    assert not found(noise[0] - 0.05 * np.arange(18))
    # A fall that begins or gets steeper is no end of the formation, and neither is a rise's end.
    assert not found(noise[1] - np.maximum(0, np.arange(18) - 9) * 0.2)
    assert not found(-knees[0])


def test_the_detector_asks_the_measurement_before_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def knee(x: np.ndarray, y: np.ndarray, seed: int) -> bool:
        asked.append(len(x))
        return len(x) >= 13

    monkeypatch.setattr(plans, "_knee", knee)
    fires = [detect_shift(np.arange(n), np.zeros(n), seed=0) for n in range(16)]
    assert fires.index(True) == 14 and min(asked) >= 10  # fewer are not enough for a fit


@cache
def texts_tokenizer():
    return train_bpe(["Ada Cole keeps a cat. ", "Bo Dunn lives in Rome. "] * 20, 300)


def streams(seed: int = 0) -> dict[str, Stream]:
    said = {"base": "Ada Cole keeps a cat.", "names": "Bo Dunn reads.", "facts": "Bo Dunn sings."}
    return {
        kind: Stream([f"{text} {i}" for i in range(9)], texts_tokenizer(), 32, seed)
        for kind, text in said.items()
    }


def test_a_stream_gives_the_same_blocks_however_they_are_taken() -> None:
    one, other = streams()["base"], streams()["base"]
    parts = [one.take(n)[0] for n in (1, 0, 5, 14)]
    assert np.array_equal(np.concatenate(parts), other.take(20)[0])
    assert not np.array_equal(streams(1)["base"].take(20)[0], streams(0)["base"].take(20)[0])


def test_batches_come_in_order_and_are_counted() -> None:
    settings = budget(batch_size=4)
    steps = OnlineSteps(make_plan("names first", settings, 0), streams(), settings.steps)
    assert len(steps) == steps.n_steps == 40
    for index in range(10):
        assert len(steps[index]["input_ids"]) == 4
    assert steps.blocks(10) == {"base": 10, "names": 24, "facts": 6}
    assert steps.blocks(0) == {"base": 0, "names": 0, "facts": 0}
    assert 0 < steps.text_tokens <= 10 * 4 * 32
    with pytest.raises(KcError, match="Step 12 was asked for, but step 10 comes next"):
        steps[12]


def test_important_parts_are_those_with_the_strongest_edges() -> None:
    graph = Graph(3, 4)
    scores = torch.zeros(graph.n_forward, graph.n_backward)
    edges = graph.edges_from_names(["a0.h1->m1", "input->a2.h3<q>", "m0->logits"])
    scores[torch.from_numpy(edges)] = torch.tensor([-3.0, 2.0, 1.0])  # in row order
    importance = dict(zip(graph.rows, part_importance(scores, graph), strict=True))
    kept = {name: value for name, value in importance.items() if value}
    assert kept == {"input": 3.0, "a2.h3": 3.0, "a0.h1": 2.0, "m1": 2.0, "m0": 1.0}
    chosen = circuit_parts(part_importance(scores, graph), graph, 0.3)
    names = np.array(graph.rows)[chosen]
    assert {"a2.h3", "a0.h1", "m1"} <= set(names) and len(names) == 4 + 1


@given(seed=st.integers(0, 500), share=st.floats(0.05, 0.95))
@FEW
def test_random_parts_are_as_many_of_each_kind(seed: int, share: float) -> None:
    graph, rng = Graph(4, 4), np.random.default_rng(seed)
    chosen = circuit_parts(rng.random(graph.n_forward), graph, share)
    drawn = random_parts(chosen, graph, rng)
    kinds = np.array(graph.row_kind)
    for kind in ("head", "mlp"):
        assert drawn[kinds == kind].sum() == chosen[kinds == kind].sum() >= 1
    assert not drawn[0] and not chosen[0]


def train(model, freezer: Freezer | None, n: int = 3) -> None:
    """A few steps of AdamW, with momentum and weight decay that move weights by themselves."""
    optimizer = torch.optim.AdamW([p for p in model.parameters()], lr=0.01, weight_decay=0.1)
    ids = torch.arange(24).reshape(2, 12) % 50
    for step in range(n + 1):
        model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step == 0:  # one step with everything, so that moments exist
            yield
        if freezer is not None:
            freezer.on_step_end(None, None, None)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "neox"])
def test_frozen_parts_stay_and_the_others_move(kind: str) -> None:
    model = tiny_model(kind)
    bridge = boot_bridge(model, tokenizer())
    graph = graph_of(bridge)
    trained = np.isin(np.array(graph.rows), ["a0.h0", "a0.h1", "a1.h2", "a1.h3", "m1"])
    masks = trained_masks(model, adapter_of(bridge), trained)
    freezer = Freezer()
    steps = train(model, freezer)
    next(steps)
    n_trained = freezer.freeze(model, masks)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    list(steps)
    moved = {name: p != before[name] for name, p in model.named_parameters()}
    for name, mask in masks.items():
        assert not moved[name][~mask].any(), name
        weights = moved[name][mask]
        assert not len(weights) or "bias" in name or weights.float().mean() > 0.9, name
    others = [name for name in moved if name not in masks]
    assert all(moved[name].any() for name in others if "embed" in name or "wte" in name)
    frozen = sum(int((~mask).sum()) for mask in masks.values())
    assert n_trained == sum(p.numel() for p in model.parameters()) - frozen
    assert any(mask.any() and not mask.all() for mask in masks.values())
    freezer.release()
    assert all(p.requires_grad for p in model.parameters())


def test_without_putting_back_frozen_slices_would_drift() -> None:
    model = tiny_model("gpt2")
    bridge = boot_bridge(model, tokenizer())
    trained = np.isin(np.array(graph_of(bridge).rows), ["a0.h0", "m1"])
    masks = trained_masks(model, adapter_of(bridge), trained)
    steps = train(model, None)
    next(steps)
    Freezer().freeze(model, masks)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    list(steps)
    partly = [name for name, mask in masks.items() if mask.any() and not mask.all()]
    assert any((dict(model.named_parameters())[n] != before[n])[~masks[n]].any() for n in partly)


def test_masks_of_a_part_are_the_part_that_silences_it() -> None:
    """Setting exactly one head's slices to zero takes away that head's output and no other's."""
    model = tiny_model("gpt2")
    bridge = boot_bridge(model, tokenizer())
    trained = np.isin(np.array(graph_of(bridge).rows), ["a0.h1"])
    masks = trained_masks(model, adapter_of(bridge), trained)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in masks and masks[name].any():
                parameter[masks[name]] = 0
    norms = adapter_of(bridge).blocks[0].w_o.flatten(1).norm(dim=1)
    assert norms[1] == 0 and (norms[[0, 2, 3]] > 0).all()
    qkv = adapter_of(bridge).blocks[0].w_qkv.flatten(2).norm(dim=2)
    assert (qkv[:, 1] == 0).all() and (qkv[:, [0, 2, 3]] > 0).all()
