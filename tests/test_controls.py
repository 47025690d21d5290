"""Controls of the circuit's shape: what is shuffled, resampled or untrained, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_models import tiny_batch, tiny_model, tokenizer

from kc_utils import plots
from kc_utils.analysis.topology import entropy, noise_entropy
from kc_utils.artifacts import read_parquet
from kc_utils.circuits.adapter import graph_of
from kc_utils.circuits.attribution import AttributionSettings, attribute
from kc_utils.circuits.bridge import boot_bridge
from kc_utils.circuits.score_files import read_scores
from kc_utils.errors import KcError
from kc_utils.runs.folder import Run
from kc_utils.study.stages import common
from kc_utils.study.stages.controls import (
    LABELS,
    RANDOM,
    UNTRAINED,
    compare,
    control_curves,
    floor_steps,
    measure,
    random_scores,
    resampled,
    shuffled_answers,
    taken,
    untrained,
)

CONTROLS = {LABELS, UNTRAINED, RANDOM}
HOW = AttributionSettings(steps=2)
TOP = 60


@pytest.fixture(scope="module")
def bridge():
    return boot_bridge(tiny_model("gpt2"), tokenizer())


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_every_pair_gets_the_answers_of_another_and_all_answers_are_dealt():
    batch = tiny_batch(12)
    dealt = shuffled_answers(batch, rng())
    assert not (dealt.right_ids == batch.right_ids).any()
    own = set(zip(batch.right_ids.tolist(), batch.wrong_ids.tolist(), strict=True))
    assert own == set(zip(dealt.right_ids.tolist(), dealt.wrong_ids.tolist(), strict=True))
    for name in ("clean_ids", "corrupted_ids", "last"):
        assert torch.equal(getattr(dealt, name), getattr(batch, name))
    again, other = shuffled_answers(batch, rng()), shuffled_answers(batch, rng(1))
    assert torch.equal(again.right_ids, dealt.right_ids)
    assert not torch.equal(other.right_ids, dealt.right_ids)


def test_pairs_with_the_same_answer_do_not_deal_it_to_each_other():
    right, wrong = torch.tensor([1, 1, 1, 2, 3, 4]), torch.tensor([10, 11, 12, 13, 14, 15])
    batch = replace(tiny_batch(6), right_ids=right, wrong_ids=wrong)
    for seed in range(10):
        dealt = shuffled_answers(batch, rng(seed))
        assert not (dealt.right_ids == right).any()
        assert not (dealt.right_ids == dealt.wrong_ids).any()


def test_one_pair_can_only_keep_its_answers():
    batch = tiny_batch(1)
    assert torch.equal(shuffled_answers(batch, rng()).right_ids, batch.right_ids)


def test_shuffled_answers_change_the_scores(bridge):
    batch = tiny_batch(8)
    own = attribute(bridge, batch, HOW)
    dealt = attribute(bridge, shuffled_answers(batch, rng()), HOW)
    assert not torch.allclose(own, dealt)
    assert torch.equal(dealt, attribute(bridge, shuffled_answers(batch, rng()), HOW))
    # The order of the pairs alone changes nothing: it is the dealing that does.
    order = np.arange(8)[::-1].copy()
    torch.testing.assert_close(own, attribute(bridge, taken(batch, order), HOW))


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_an_untrained_model_is_fresh_and_the_same_for_a_seed(kind):
    model = tiny_model(kind)
    before = torch.random.get_rng_state()
    one, again, other = untrained(model, 0), untrained(model, 0), untrained(model, 1)
    assert torch.equal(before, torch.random.get_rng_state())
    assert not one.training and one.dtype == model.dtype
    pairs = list(zip(*(dict(m.named_parameters()).values() for m in (model, one, again, other)),
                     strict=True))  # fmt: skip
    assert all(torch.equal(b, c) for _, b, c, _ in pairs)
    for against in (0, 3):
        assert any(not torch.equal(p[1], p[against]) for p in pairs if p[1].ndim > 1)
    assert all(p[0].shape == p[1].shape for p in pairs)


def test_resampling_draws_whole_pairs_with_replacement(bridge):
    batch = tiny_batch(6)
    drawn = resampled(batch, rng())
    own, new = (
        [tuple(row) for row in torch.stack([b.last, b.right_ids, b.wrong_ids], 1).tolist()]
        for b in (batch, drawn)
    )
    assert set(new) < set(own) and len(new) == len(own)
    # Scores are means over pairs, so those of a sample follow from those of its pairs.
    which = np.array([0, 0, 3])
    single = [attribute(bridge, taken(batch, which[i : i + 1]), HOW) for i in range(3)]
    torch.testing.assert_close(
        attribute(bridge, taken(batch, which), HOW), torch.stack(single).mean(0)
    )


def test_the_noise_floor_of_identical_samples_is_one_and_of_noise_is_low(bridge):
    graph = graph_of(bridge)
    own = attribute(bridge, tiny_batch(6), HOW)
    same = compare(own, own, graph, TOP)
    assert same == {"edge_jaccard": 1.0, "node_jaccard": 1.0, "entropy_difference": 0.0}
    batch = tiny_batch(6)
    samples = [attribute(bridge, resampled(batch, rng(i)), HOW) for i in range(2)]
    other = compare(*samples, graph, TOP)
    noise = compare(random_scores(graph, rng(2)), random_scores(graph, rng(3)), graph, TOP)
    assert noise["edge_jaccard"] < other["edge_jaccard"] < 1
    assert other["entropy_difference"] > 0


def test_random_scores_have_the_entropy_of_noise_and_only_real_edges(bridge):
    graph = graph_of(bridge)
    scores = random_scores(graph, rng())
    assert not scores[~torch.from_numpy(graph.real_edges.copy())].any()
    found = np.mean([entropy(random_scores(graph, rng(i)), graph.real_edges) for i in range(20)])
    assert found == pytest.approx(noise_entropy(graph.n_edges), abs=0.05)


def test_curves_compare_each_control_with_itself_only(bridge):
    graph = graph_of(bridge)
    fixed = random_scores(graph, rng(9))
    scored = [
        (step, {f"{UNTRAINED}|city|K_rel|low": fixed,
                f"{RANDOM}|city|K_rel|low": random_scores(graph, rng(step))})
        for step in (0, 10, 20)
    ]  # fmt: skip
    found = control_curves(scored, graph, TOP).set_index(["control", "step"])
    still, drawn = found.loc[UNTRAINED], found.loc[RANDOM]
    assert (still["edge_jaccard"] == 1).all() and still["entropy"].nunique() == 1
    assert drawn.loc[20, "edge_jaccard"] == 1 and (drawn.loc[[0, 10], "edge_jaccard"] < 0.5).all()
    assert np.isnan(drawn.loc[0, "edge_jaccard_previous"])
    assert drawn.loc[20, "edge_jaccard_previous"] == drawn.loc[10, "edge_jaccard"]
    assert set(found["task"]) == {"city"} and (found["n_edges"] <= TOP).all()


def test_the_floor_is_measured_in_the_middle_and_at_the_end():
    def steps(*epochs: float) -> list[int]:
        table = pd.DataFrame({"epoch": epochs, "step": 10 * np.arange(len(epochs))})
        return floor_steps(table)

    assert steps(0, 1, 2, 3) == [20, 30]
    assert steps(0, 1, 2, 3, 4) == [20, 40]
    assert steps(0, 4) == [10]
    assert steps(0) == [0]


def test_tables_of_a_run(smoke_run: Path):
    run = Run.open(smoke_run)
    curves, floor = run.table("control_curves"), run.table("noise_floor")
    settings = run.config
    cells = 2 * len(settings.circuit.bands)
    steps = common.analysed_checkpoints(run)
    assert len(curves) == len(CONTROLS) * cells * len(steps)
    assert set(curves["task"]) == set(floor["task"]) == {settings.circuit.tasks[0]}
    assert set(curves["control"]) == CONTROLS
    assert len(floor) == 2 * cells * settings.controls.resamples
    assert floor["edge_jaccard"].between(0, 1).all() and floor["edge_jaccard"].min() < 1
    last = curves[curves["step"] == curves["step"].max()]
    assert (last["edge_jaccard"] == 1).all()


def test_a_job_gives_the_same_again_and_no_control_has_the_runs_own_scores(
    smoke_run: Path, tmp_path: Path
):
    run = Run.open(smoke_run)
    step = int(run.table("checkpoints")["step"].iloc[-1])
    for name in ("a", "b"):
        measure(run, step, None, tmp_path / name)
        measure(run, step, 0, tmp_path / f"floor-{name}")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    one, two = (read_parquet(tmp_path / f"floor-{name}") for name in "ab")
    pd.testing.assert_frame_equal(one, two)
    own, found = common.load_scores(run, step), read_scores(tmp_path / "a")
    for name, scores in found.items():
        assert not torch.allclose(scores, own[name.split("|", 1)[1]])
    assert {name.split("|")[0] for name in found} == CONTROLS
    stored = run.table("control_curves").query("step == @step and control == @LABELS")
    graph = common.graph_of_run(run)
    again = [entropy(found[f"{LABELS}|{row.task}|{row.kind}|{row.band}"], graph.real_edges)
             for row in stored.itertuples()]  # fmt: skip
    np.testing.assert_allclose(again, stored["entropy"], rtol=1e-6)


def _own_and_controls() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Curves of a circuit and of its controls over twelve epochs, and the noise of its overlap."""
    columns = ["task", "kind", "band", "control", "epoch"]
    names = ("own", LABELS, UNTRAINED, RANDOM)
    rows = product(["city"], ["K_rel", "K_compl"], ["high", "low"], names, range(13))
    curves = pd.DataFrame(list(rows), columns=columns)
    t, own = curves["epoch"], curves["control"] == "own"
    curves = curves.assign(
        step=10 * t, entropy=7 - np.where(own, 0.3, 0.01) * t, edge_jaccard=0.4, source=2.0,
        edge_jaccard_previous=np.where(own, 0.5 + 0.03 * t, 0.4),
        node_jaccard_previous=0.55 + 0.03 * t, n_edges=300,
    )  # fmt: skip
    floor = pd.DataFrame(list(product(["city"], ["K_rel", "K_compl"], [60, 120], range(3))),
                         columns=["task", "kind", "step", "draw"])  # fmt: skip
    jitter = 0.01 * floor["draw"]
    return curves, floor.assign(
        epoch=floor["step"] / 10, band="high", edge_jaccard=0.55 + jitter,
        node_jaccard=0.6 + jitter, entropy_difference=0.05,
    )  # fmt: skip


def _seeds(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    return pd.concat(
        [frame.assign(seed=s, profile=p, **{column: frame[column] + 0.1 * s})
         for s in range(3) for p in ("tiny", "tiny-llama")], ignore_index=True,
    )  # fmt: skip


def test_figures_of_one_run_and_of_many():
    curves, floor = _own_and_controls()
    one = plots.control_curves(curves, "entropy")
    assert len(one.axes) == 1 and len(one.axes[0].lines) == 4 and not one.axes[0].collections
    many = plots.control_curves(_seeds(curves, "entropy"), "entropy")
    assert len(many.axes) == 2 and len(many.axes[0].collections) == 4
    own = curves[curves["control"] == "own"]
    assert len(plots.consistency(own, floor).axes) == 2
    both = _seeds(own, "edge_jaccard_previous"), _seeds(floor, "edge_jaccard")
    assert len(plots.consistency(*both).axes) == 4
    with pytest.raises(KcError, match="edge_jaccard"):
        plots.consistency(own, floor.drop(columns="edge_jaccard"))
    with pytest.raises(KcError, match="entropy"):
        plots.control_curves(curves.drop(columns="entropy"), "entropy")
