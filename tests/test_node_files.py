"""Scores of nodes and neurons in the published library's files, as its code spells them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import GOLDEN, golden_batch, golden_bridge
from typer.testing import CliRunner

from kc_utils.circuits import AttributionSettings, Graph, GraphFile, read_graph, write_graph
from kc_utils.circuits.circuit import Circuit, circuit_of_nodes
from kc_utils.circuits.graph_files import submission_path
from kc_utils.circuits.neurons import attribute_neurons, attribute_nodes, strongest
from kc_utils.cli.app import app
from kc_utils.errors import KcError

NAN = float("nan")
CFG = {"n_layers": 1, "n_heads": 2, "parallel_attn_mlp": False, "d_model": 3}
NAMES = ["input", "a0.h0", "a0.h1", "m0"]
SCORES = [0.5, -1.0, NAN, 2.0]
NEURONS = [[0.0, 0.5, 0.0], [1.0, -2.0, 0.0], [NAN, NAN, NAN], [0.25, 0.25, 1.5]]
MARKS = [[False, True, False], [True, True, False], [True, True, True], [False, False, True]]
#: Edges as the library writes them beside scores of nodes: all with score 0, none marked.
EDGES = {
    f"{writer}->{reader}": {"score": 0.0, "in_graph": False}
    for writer, readers in {
        "input": [f"a0.h{h}<{x}>" for x in "qkv" for h in (0, 1)] + ["m0", "logits"],
        "a0.h0": ["m0", "logits"],
        "a0.h1": ["m0", "logits"],
        "m0": ["logits"],
    }.items()
    for reader in readers
}
GRAPH = Graph(1, 2)


def by_hand(folder: Path, **changes: Any) -> Path:
    """JSON in which the neurons of both heads stand with either of them, as the library has it."""
    nodes: dict[str, Any] = {
        name: {"in_graph": False, "score": SCORES[row]} for row, name in enumerate(NAMES)
    }
    for row, name in enumerate(NAMES):
        rows = slice(1, 3) if name.startswith("a") else row
        nodes[name] |= {"neurons": MARKS[rows], "neurons_scores": NEURONS[rows]}
    content = {"cfg": CFG, "nodes": nodes | {"logits": {"in_graph": True}}, "edges": EDGES}
    path = folder / "graph.json"
    path.write_text(json.dumps(content | changes))
    return path


def by_hand_pt(folder: Path, **changes: Any) -> Path:
    content = {
        "cfg": CFG,
        "src_nodes": NAMES,
        "dst_nodes": [*GRAPH.columns],
        "edges_scores": torch.zeros(4, 8),
        "edges_in_graph": torch.zeros(4, 8, dtype=torch.bool),
        "nodes_in_graph": torch.zeros(4, dtype=torch.bool),
        "nodes_scores": torch.tensor(SCORES),
        "neurons_in_graph": torch.tensor(MARKS),
        "neurons_scores": torch.tensor(NEURONS),
    }
    path = folder / "graph.pt"
    torch.save({k: v for k, v in (content | changes).items() if v is not None}, path)
    return path


def node(name: str, **changes: Any) -> dict[str, Any]:
    """The nodes of a file with scores only, one of them changed."""
    nodes = {n: {"in_graph": False, "score": 1.0} for n in NAMES} | {"logits": {"in_graph": True}}
    return {"nodes": nodes | {name: changes}}


def same(ours: torch.Tensor | None, stored: list) -> bool:
    return ours is not None and torch.equal(
        ours.nan_to_num(77.0), torch.tensor(stored).double().nan_to_num(77.0)
    )


@pytest.mark.parametrize("write", [by_hand, by_hand_pt])
def test_scores_and_marks_of_nodes_and_neurons_are_read(tmp_path: Path, write: Callable) -> None:
    found = read_graph(write(tmp_path))
    assert found.graph == GRAPH and not found.scores.any() and not found.circuit.n_edges
    assert same(found.node_scores, SCORES) and same(found.neuron_scores, NEURONS)
    assert found.neurons is not None and found.neurons.tolist() == MARKS


@pytest.mark.parametrize("suffix", [".json", ".pt"])
def test_what_was_read_is_written_with_the_same_keys(tmp_path: Path, suffix: str) -> None:
    write = by_hand if suffix == ".json" else by_hand_pt
    given = write(tmp_path)
    again = tmp_path / f"again{suffix}"
    write_graph(again, read_graph(given))
    if suffix == ".json":
        assert json.dumps(json.loads(again.read_text())) == given.read_text()
        return
    ours, theirs = (torch.load(p, weights_only=True) for p in (again, given))
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(ours[key], value, check_dtype=False, equal_nan=True)
        else:
            assert ours[key] == value


@pytest.mark.parametrize("suffix", [".json", ".pt"])
def test_scores_of_this_engine_come_back_and_cut_the_same_circuit(
    tmp_path: Path, suffix: str
) -> None:
    bridge, batch = golden_bridge("gpt2_tiny"), golden_batch("gpt2_tiny").slice(0, 4)
    graph, eap = Graph(4, 4), AttributionSettings("eap")
    nodes, neurons = (f(bridge, batch, eap) for f in (attribute_nodes, attribute_neurons))
    circuit = circuit_of_nodes(graph, strongest(nodes, 9))
    none = torch.zeros(graph.real_edges.shape).double()
    file = GraphFile(none, circuit, neurons.shape[1], nodes, neurons, strongest(neurons, 100))
    path = submission_path(tmp_path, "EAP", "ioi", "gpt2", level="neuron").with_suffix(suffix)
    write_graph(path, file)
    back = read_graph(path)
    assert torch.equal(back.node_scores, nodes.double())
    assert torch.equal(back.neuron_scores, neurons.double())
    assert np.array_equal(back.neurons, file.neurons)
    assert back.circuit.edge_names == circuit.edge_names
    assert not np.array_equal(back.neurons, file.neurons[::-1]), "control: another order"


@pytest.mark.parametrize("suffix", [".json", ".pt"])
def test_scores_without_marks_are_written_as_none_marked(tmp_path: Path, suffix: str) -> None:
    file = replace(read_graph(by_hand(tmp_path)), neurons=None)
    write_graph(tmp_path / f"a{suffix}", file)
    back = read_graph(tmp_path / f"a{suffix}")
    assert back.neurons is not None and not back.neurons.any()
    write_graph(tmp_path / f"b{suffix}", replace(file, neuron_scores=None, node_scores=None))
    edges_only = read_graph(tmp_path / f"b{suffix}")
    assert edges_only.node_scores is edges_only.neuron_scores is edges_only.neurons is None


def test_a_layers_heads_and_one_head_alone_are_both_understood(tmp_path: Path) -> None:
    own = node("a0.h1", in_graph=False, score=1.0, neurons_scores=[7, 8, 9])
    found = read_graph(by_hand(tmp_path, **own))
    assert same(found.neuron_scores, [[NAN] * 3, [NAN] * 3, [7.0, 8.0, 9.0], [NAN] * 3])


def test_submissions_may_lack_marks_or_scores_or_edges(tmp_path: Path) -> None:
    path = by_hand(tmp_path)
    content = json.loads(path.read_text())
    del content["edges"]
    path.write_text(json.dumps(content))
    assert same(read_graph(path).node_scores, SCORES)
    content["nodes"] = {
        name: {"in_graph": name != "a0.h0"} for name in [*NAMES, "logits"]
    }  # marks of nodes only
    path.write_text(json.dumps(content))
    found = read_graph(path)
    assert found.node_scores is None and found.circuit.nodes == ("input", "a0.h1", "m0")
    content["nodes"] = {name: {"in_graph": False} for name in [*NAMES, "logits"]}
    path.write_text(json.dumps(content))
    with pytest.raises(KcError, match="no node is marked or has a score"):
        read_graph(path)
    marks = {name: {"in_graph": name == "input->logits"} for name in EDGES}
    assert read_graph(by_hand(tmp_path, edges=marks)).circuit.edge_names == ("input->logits",)
    importances = {name: {"score": 0.5} for name in EDGES}
    only = read_graph(by_hand(tmp_path, edges=importances))
    assert only.scores.sum() == 0.5 * GRAPH.n_edges and not only.circuit.n_edges
    half = marks | {"input->logits": {"in_graph": True, "score": 1.0}}
    with pytest.raises(KcError, match="None, not a finite number"):
        read_graph(by_hand(tmp_path, edges=half))


def test_a_pt_file_may_lack_them_too(tmp_path: Path) -> None:
    outside = torch.full((4, 8), -torch.inf).where(~torch.tensor(GRAPH.real_edges), 1.0)
    found = read_graph(by_hand_pt(tmp_path, edges_scores=outside, edges_in_graph=None))
    assert found.scores.sum() == GRAPH.n_edges and not found.circuit.n_edges
    kept = torch.tensor([True, False, True, False])
    found = read_graph(
        by_hand_pt(tmp_path, edges_scores=None, edges_in_graph=None, nodes_in_graph=kept)
    )
    assert found.circuit.nodes == ("input", "a0.h1")
    nothing = dict.fromkeys(
        ("edges_scores", "edges_in_graph", "nodes_in_graph", "nodes_scores", "neurons_scores")
    )
    with pytest.raises(KcError, match="neither scores nor marks"):
        read_graph(by_hand_pt(tmp_path, **nothing))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (node("m0", score="much"), "the score of 'm0' is 'much'"),
        (node("m0", score=float("inf")), "the score of 'm0' is inf"),
        (node("m1", score=1.0), "do not have 5 nodes"),
        (node("m0", neurons=[True]), "'neurons' of m0 is not a list of 3 truths"),
        (node("m0", neurons=[0.5, 1, 0]), "'neurons' of m0 is not a list of 3 truths"),
        (node("m0", neurons=[None, True, True]), "'neurons' of m0 is not a list of 3 truths"),
        (node("m0", neurons_scores=["1", "2", "3"]), "of m0 is not a list of 3 numbers"),
        (node("m0", neurons_scores=[[1, 2, 3]] * 2), "of m0 is not a list of 3 numbers"),
        (node("m0", neurons_scores=[1, 2, [3]]), "of m0 is not a list of 3 numbers"),
        (node("m0", neurons_scores=[1, 2, float("inf")]), "of m0 is not a list of 3 numbers"),
        (node("m0", neurons_scores=[True, False, True]), "of m0 is not a list of 3 numbers"),
        (node("a0.h0", neurons_scores=[[1, 2, 3]] * 3), "of a0.h0 is not a list of 3 numbers"),
        (node("m0", neurons_scores=[10**400, 0, 0]), "of m0 is not a list of 3 numbers"),
    ],
)
def test_what_is_no_score_is_named(tmp_path: Path, changes: dict, said: str) -> None:
    with pytest.raises(KcError) as caught:
        read_graph(by_hand(tmp_path, **changes))
    assert said in str(caught.value)


def test_an_unknown_name_of_a_node_is_named(tmp_path: Path) -> None:
    nodes = {name: {"in_graph": False, "score": 1.0} for name in ["input", "a0.h0", "a0.h2", "m0"]}
    with pytest.raises(KcError, match=r"'a0\.h2' is not one of its 4 nodes"):
        read_graph(by_hand(tmp_path, nodes=nodes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"nodes_scores": torch.zeros(3)}, r"'nodes_scores' is not a vector of shape \(4,\)"),
        ({"neurons_scores": torch.zeros(4, 4)}, r"'neurons_scores' is not a matrix"),
        ({"neurons_in_graph": [[True] * 3] * 4}, "'neurons_in_graph' is not a matrix"),
        ({"nodes_scores": torch.full((4,), torch.inf)}, "infinite"),
    ],
)
def test_what_is_no_tensor_of_the_graph_is_named(tmp_path: Path, changes: dict, said: str) -> None:
    with pytest.raises(KcError, match=said):
        read_graph(by_hand_pt(tmp_path, **changes))


def test_what_does_not_belong_to_the_graph_is_not_written(tmp_path: Path) -> None:
    file = read_graph(by_hand(tmp_path))
    for name, value, said in (
        ("node_scores", torch.zeros(3), r"scores of nodes have shape \(3,\); .* \(4,\)"),
        ("neuron_scores", torch.zeros(4, 2), r"scores of neurons have shape \(4, 2\)"),
        ("node_scores", torch.full((4,), torch.inf), "4 node scores are not finite"),
        ("neurons", np.ones((4, 2), dtype=bool), "marked neurons are bool of shape"),
        ("neurons", np.ones((4, 3)), "marked neurons are float64"),
    ):
        wrong = replace(file)
        object.__setattr__(wrong, name, value)  # past the checks of shapes that tests have
        with pytest.raises(KcError, match=said):
            write_graph(tmp_path / "out.pt", wrong)
    assert not (tmp_path / "out.pt").exists()
    with pytest.raises(KcError, match="no level 'head'; allowed are edge, node, neuron"):
        submission_path(tmp_path, "EAP", "ioi", "gpt2", level="head")


def kc(*words: object) -> str:
    result = CliRunner().invoke(app, [*map(str, words)], catch_exceptions=True)
    return str(result.exception) if isinstance(result.exception, KcError) else result.output


def test_draw_keeps_them_and_cuts_no_edges_by_them(tmp_path: Path) -> None:
    given = by_hand(tmp_path)
    assert "graph.json has no scores of edges, which --top 3" in kc("draw", given, "--top", 3)
    marked = replace(read_graph(given), circuit=Circuit(GRAPH, GRAPH.real_edges, GRAPH.n_edges))
    write_graph(given, marked)
    kc("draw", given, "--out", tmp_path / "same.pt")
    assert same(read_graph(tmp_path / "same.pt").neuron_scores, NEURONS)


def test_parity_compares_what_the_file_scores(tmp_path: Path) -> None:
    folder, graph = GOLDEN / "gpt2_tiny", Graph(4, 4)
    bridge, batch = golden_bridge("gpt2_tiny"), golden_batch("gpt2_tiny")
    eap = AttributionSettings("eap")
    nodes, neurons = (f(bridge, batch, eap) for f in (attribute_nodes, attribute_neurons))
    nodes[3] = NAN  # not scored, as the library may leave it
    none = torch.zeros(graph.real_edges.shape).double()
    file = GraphFile(none, Circuit(graph, graph.real_edges & False, 0), 64, nodes, neurons)
    words = ("--model", folder / "model", "--pairs", folder / "pairs.jsonl", "--method", "eap")
    write_graph(tmp_path / "same.pt", file)
    said = kc("parity", tmp_path / "same.pt", *words)
    assert "20 node scores on 24 pairs" in said and "1344 neuron scores on 24 pairs" in said
    assert "edge" not in said and said.count("  ok") == 2
    neurons[6, 2] += neurons.abs().max()
    write_graph(tmp_path / "other.pt", replace(file, neuron_scores=neurons))
    said = kc("parity", tmp_path / "other.pt", *words)
    assert (
        "largest difference at neuron 2 of m0" in said.replace("a1.h0", "m0") or "neuron 2" in said
    )
    assert said.count("  ok") == 1 and said.count("DIFFERS") == 1
