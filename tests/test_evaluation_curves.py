"""Evaluation beyond one size: curves and their areas, and missing edges by class of reader."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import golden_batch, golden_bridge, tiny_batch, tiny_model, tokenizer

from kc_utils.analysis.faithfulness import curve_areas, faithfulness_of, recovery_of
from kc_utils.circuits import (
    ABLATIONS,
    BatchEvaluation,
    Circuit,
    areas,
    curve_circuits,
    evaluate_circuit,
    mean_outputs,
    minimal_size,
    random_circuit,
    size_curve,
    top_n,
)
from kc_utils.circuits.attribution import AttributionSettings, attribute
from kc_utils.circuits.bridge import boot_bridge
from kc_utils.circuits.circuit import prune, top_sizes
from kc_utils.circuits.circuit_size import CIRCUITS, SHARES, sizes_of
from kc_utils.circuits.graph import Graph
from kc_utils.circuits.recovery import READER_CLASSES, VIEWS, class_edges, recovery, view_edges
from kc_utils.config import CELL
from kc_utils.errors import KcError

graphs = st.builds(Graph, st.integers(1, 5), st.integers(1, 4), st.booleans())
GOLDEN_GRAPH = Graph(4, 4)


@pytest.fixture(scope="module")
def golden() -> tuple[BatchEvaluation, np.ndarray]:
    bridge, batch = golden_bridge("gpt2_tiny"), golden_batch("gpt2_tiny")
    scores = attribute(bridge, batch, AttributionSettings()).numpy()
    return BatchEvaluation(bridge, batch, mean_outputs(bridge, batch)), scores


# Areas


def test_areas_of_known_curves() -> None:
    k = np.array(SHARES)
    assert areas(k, np.ones(10)) == pytest.approx((0.999, 0))
    assert areas(k, np.zeros(10)) == pytest.approx((0, 0.999))
    assert areas(k, k) == pytest.approx(((1 - 0.001**2) / 2, (1 - 0.001) ** 2 / 2))
    assert areas(k, np.full(10, 1.5)) == pytest.approx((1.5 * 0.999, 0.5 * 0.999))
    assert areas([0.5, 0.0, 1.0], [2.0, 1.0, 0.0]) == pytest.approx((1.25, 0.75)), "in any order"
    assert areas(k, np.sqrt(k)).cpr > areas(k, k).cpr + 0.1
    # Over the logarithm of the share, f = k would have a far smaller area: small shares count less.
    assert areas(k, np.where(k <= 0.1, 1.0, 0.0)).cpr < 0.16


def test_an_undefined_value_makes_the_areas_undefined() -> None:
    values = np.ones(10)
    values[3] = np.nan
    assert all(math.isnan(area) for area in areas(SHARES, values))


@pytest.mark.parametrize(
    ("k", "f", "words"),
    [
        ([0.5], [1.0], "at least two"),
        ([0.1, 0.5], [1.0], "one value for each"),
        ([0.1, 0.1], [1.0, 1.0], r"0\.1 is given more than once"),
        ([0.1, 1.5], [1.0, 1.0], r"1\.5 is not a share"),
        ([0.1, math.nan], [1.0, 1.0], "nan is not a share"),
    ],
)
def test_impossible_areas_are_refused(k: list, f: list, words: str) -> None:
    with pytest.raises(KcError, match=words):
        areas(k, f)


def test_shares_are_rounded_down_before_pruning() -> None:
    graph = Graph(12, 12)
    expected = [32, 64, 162, 324, 649, 1624, 3249, 6498, 16245, 32491]
    assert sizes_of(graph) == expected
    with pytest.raises(KcError, match=r"1\.01 is not a share"):
        sizes_of(graph, [1.01])


# Sizes and their circuits


@settings(max_examples=30, deadline=None)
@given(graphs, st.integers(0, 2**32))
def test_several_sizes_at_once_are_the_sizes_one_by_one(graph: Graph, seed: int) -> None:
    scores = np.random.default_rng(seed).normal(size=graph.real_edges.shape).round(1)  # with ties
    sizes = [graph.n_edges, 0, graph.n_edges // 2]
    for n, circuit in zip(sizes, top_sizes(scores, graph, sizes), strict=True):
        assert circuit.n == n
        assert (circuit.edges == top_n(scores, graph, n).edges).all()


# Curves on a model


def test_one_circuit_is_run_once(golden) -> None:
    shared, scores = golden
    evaluation = BatchEvaluation(shared.bridge, shared.batch)
    circuit = top_n(scores, GOLDEN_GRAPH, 100)
    first = evaluation.result(circuit)
    assert evaluation.result(circuit.edges.copy()) is first
    assert evaluation.n_runs == 1
    assert evaluation.result(circuit, "zero") is not first
    assert evaluation.n_runs == 2
    alone = evaluate_circuit(shared.bridge, shared.batch, circuit)
    np.testing.assert_allclose(first.logit_diff, alone.logit_diff, atol=1e-5)
    with pytest.raises(KcError, match="needs means"):
        evaluation.result(circuit, "mean")


def test_size_curve_and_areas_of_a_trained_model(golden) -> None:
    evaluation, scores = golden
    circuits = curve_circuits(scores, GOLDEN_GRAPH, seed=0)
    assert list(circuits) == [(share, name) for share in SHARES for name in CIRCUITS]
    for (share, name), circuit in circuits.items():
        assert circuit.n_edges == circuits[share, "own"].n_edges, name
    curve = size_curve(evaluation, circuits)
    assert len(curve) == len(evaluation.batch) * len(circuits) * len(ABLATIONS)
    assert (curve["weighted_edges"] == curve["n_edges"]).all()
    f = faithfulness_of(curve, ["ablation", "circuit", "share"])
    whole = f[f["share"] == 1]
    np.testing.assert_allclose(whole[["value", "f_mib"]], 1, atol=1e-4)
    same = f[f["ablation"] == "corrupted"]
    np.testing.assert_allclose(same["value"], same["f_mib"])
    zero = f[(f["ablation"] == "zero") & (f["share"] == 0.05)]
    assert (zero["value"] - zero["f_mib"]).abs().max() > 0.01, "another zero point"

    cell = {"task": "city", "kind": "K_rel", "band": "low"}
    found = curve_areas(curve.assign(**cell)).set_index(["ablation", "circuit"])
    assert len(found) == len(ABLATIONS) * len(CIRCUITS)
    corrupted = found.loc["corrupted"]
    for control in ("random", "random_per_layer"):
        assert corrupted.loc["own", "cpr"] > corrupted.loc[control, "cpr"] + 0.05
        assert corrupted.loc["own", "cmd"] < corrupted.loc[control, "cmd"] - 0.05


@pytest.mark.parametrize("ablation", ABLATIONS)
def test_the_circuit_without_edges_is_zero_of_mib_under_every_ablation(
    golden, ablation: str
) -> None:
    evaluation, scores = golden
    nothing = top_n(scores, GOLDEN_GRAPH, 0)
    assert evaluation.f_mib(nothing, ablation) == pytest.approx(0, abs=1e-5)
    assert evaluation.f_mib(top_n(scores, GOLDEN_GRAPH, GOLDEN_GRAPH.n_edges), ablation) == (
        pytest.approx(1, abs=1e-4)
    )
    by_corrupted_run = evaluation.result(nothing, ablation).faithfulness
    assert (abs(by_corrupted_run) < 1e-5) == (ablation == "corrupted")


def test_undefined_faithfulness_is_nan_in_every_table() -> None:
    """Corrupted prompts that are the clean ones: the corrupted run restores everything."""
    batch = tiny_batch(3)
    same = type(batch).from_lists(
        *([ids[: n + 1].tolist() for ids, n in zip(batch.clean_ids, batch.last, strict=True)],) * 2,
        batch.right_ids.tolist(),
        batch.wrong_ids.tolist(),
    )
    evaluation = BatchEvaluation(boot_bridge(tiny_model("gpt2"), tokenizer()), same)
    graph = Graph(2, 4)
    scores = np.random.default_rng(0).normal(size=graph.real_edges.shape)
    circuit = top_n(scores, graph, 60)
    assert math.isnan(evaluation.result(circuit).faithfulness)
    assert math.isnan(evaluation.f_mib(circuit))
    assert math.isfinite(evaluation.f_mib(circuit, "zero")), "defined by its own empty circuit"
    cell = dict.fromkeys(CELL, "x")
    curve = size_curve(evaluation, curve_circuits(scores, graph, 0, (0.5, 1.0)), ["corrupted"])
    assert curve_areas(curve.assign(**cell))[["cpr", "cmd"]].isna().all(axis=None)
    classes = recovery_of(recovery(evaluation, circuit).assign(**cell))
    assert classes["faithfulness"].isna().all()
    found = minimal_size(lambda n: evaluation.result(top_n(scores, graph, n)).faithfulness, 0.5, 60)
    assert (found.status, found.n) == ("undefined", None)


# Recovery per class


@settings(max_examples=30, deadline=None)
@given(graphs, st.integers(0, 2**32), st.floats(0, 1))
def test_classes_part_the_edges_and_views_change_one_class(
    graph: Graph, seed: int, share: float
) -> None:
    circuit = random_circuit(graph, round(share * graph.n_edges), seed)
    classes = [class_edges(graph, name) for name in READER_CLASSES[:-1]]
    assert (np.sum(classes, axis=0) == graph.real_edges).all()
    assert (class_edges(graph, "all") == graph.real_edges).all()
    for name, edges in zip(READER_CLASSES, [*classes, graph.real_edges], strict=True):
        cut, restored = (view_edges(circuit, name, view) for view in VIEWS)
        assert (cut[edges] == circuit.edges[edges]).all()
        assert (cut[~edges] == graph.real_edges[~edges]).all()
        assert (restored[edges] == graph.real_edges[edges]).all()
        assert (restored[~edges] == circuit.edges[~edges]).all()


def test_unknown_classes_and_views_are_named() -> None:
    circuit = random_circuit(Graph(2, 2), 20, 0)
    with pytest.raises(KcError, match="'k' is not a class of readers; allowed are qk"):
        class_edges(circuit.graph, "k")
    with pytest.raises(KcError, match="'add' is not a view"):
        view_edges(circuit, "v", "add")


def test_recovery_finds_the_class_whose_edges_were_taken_away(golden) -> None:
    """Control: a circuit that lacks edges of one class only is wrong for that class alone."""
    evaluation, _ = golden
    for lacking in ("v", "mlp"):
        edges = GOLDEN_GRAPH.real_edges & ~class_edges(GOLDEN_GRAPH, lacking)
        table = recovery(evaluation, Circuit(GOLDEN_GRAPH, edges, int(edges.sum())))
        f = faithfulness_of(table, ["reader_class", "view"])
        f = f.pivot(index="reader_class", columns="view", values="value")
        alone = f.loc["all", "cut"]
        assert alone < 0.9
        for name in READER_CLASSES[:-1]:
            expected = (alone, 1) if name == lacking else (1, alone)
            assert tuple(f.loc[name, list(VIEWS)]) == pytest.approx(expected, abs=1e-4)
        kept = table.drop_duplicates("reader_class").set_index("reader_class")
        assert kept.loc[lacking, "n_kept"] == 0
        assert kept.loc["all", "n_kept"] == edges.sum()
        assert kept.loc["all", "n_edges_in_class"] == GOLDEN_GRAPH.n_edges


def test_pruning_a_view_changes_nothing_with_corrupted_values(golden) -> None:
    evaluation, scores = golden
    circuit = top_n(scores, GOLDEN_GRAPH, 60)
    for name in READER_CLASSES:
        for view in VIEWS:
            edges = view_edges(circuit, name, view)
            one = evaluation.result(edges).logit_diff
            two = evaluation.result(prune(GOLDEN_GRAPH, edges)).logit_diff
            np.testing.assert_allclose(one, two, atol=1e-4)


def test_bisection_finds_what_trying_every_size_finds(golden) -> None:
    evaluation, scores = golden

    def evaluate(n: int) -> float:
        return evaluation.result(top_n(scores, GOLDEN_GRAPH, n)).faithfulness

    found = minimal_size(evaluate, 0.5, GOLDEN_GRAPH.n_edges)
    assert found.status == "reached"
    assert evaluate(found.n) >= 0.5 > evaluate(found.n - 1)
    assert found.n < 0.3 * GOLDEN_GRAPH.n_edges, "the facts need a small part of the edges"


# Tables


def test_tables_of_faithfulness_by_hand() -> None:
    pairs = pd.DataFrame(
        {"cell": ["a", "a", "b"], "logit_diff": [1.0, 3.0, 1.0],
         "clean_logit_diff": [3.0, 5.0, 2.0], "corrupted_logit_diff": [0.0, 0.0, 2.0],
         "empty_logit_diff": [-1.0, 1.0, 0.0]}
    )  # fmt: skip
    table = faithfulness_of(pairs, ["cell"]).set_index("cell")
    assert table["value"].tolist()[0] == 0.5 and math.isnan(table["value"].tolist()[1])
    assert table["f_mib"].tolist() == [0.5, 0.5]
    assert table["n_pairs"].tolist() == [2, 1]
    assert "f_mib" not in faithfulness_of(pairs.drop(columns="empty_logit_diff"), ["cell"])
