"""``kc parity FILE``: one file of scores beside the scores of a model on given pairs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import GOLDEN, golden_batch, golden_bridge

from kc_utils.circuits import AttributionSettings, GraphFile, attribute, top_n, write_graph
from kc_utils.circuits.graph import Graph
from kc_utils.circuits.neurons import attribute_nodes
from kc_utils.cli import foreign_scores
from kc_utils.cli.app import app
from kc_utils.cli.outcome import outcome

FOLDER = GOLDEN / "gpt2_tiny"
MODEL, PAIRS, GRAPH = FOLDER / "model", FOLDER / "pairs.jsonl", Graph(4, 4)


@pytest.fixture(scope="module")
def scores() -> torch.Tensor:
    """Scores with the library's steps."""
    settings = AttributionSettings(path="0..m-1")
    return attribute(golden_bridge("gpt2_tiny"), golden_batch("gpt2_tiny"), settings)


@pytest.fixture
def parity(capsys: pytest.CaptureFixture) -> object:
    """Exit code and output of ``kc parity``."""

    def run(*words: object) -> tuple[int, str]:
        code = outcome(lambda: app(["parity", *map(str, words)]))
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def stored(path: Path, scores: torch.Tensor, graph: Graph = GRAPH) -> Path:
    write_graph(path, GraphFile(scores, top_n(scores, graph, 50), 64))
    return path


def questions(path: Path, n: int = 6) -> Path:
    """The first pairs of the golden set as questions in MIB's format."""
    rows = []
    for line in PAIRS.read_text().splitlines()[:n]:
        pair = json.loads(line)
        other = {"prompt": pair["corrupted"], "label": pair["wrong"]}
        row = {"prompt": pair["clean"], "label": pair["right"], "x_counterfactual": other}
        rows.append(json.dumps(row | {"y_counterfactual": other}))
    path.write_text("\n".join(rows))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".json", ".pt"])
def test_a_file_of_the_same_scores_agrees_and_two_swapped_edges_do_not(
    tmp_path: Path, scores: torch.Tensor, parity, suffix: str
) -> None:
    beside = ("--model", MODEL, "--pairs", PAIRS)
    code, said = parity(stored(tmp_path / f"same{suffix}", scores), *beside)
    assert code == 0 and "edge scores on 24 pairs: largest relative error" in said
    assert said.rstrip().endswith("ok")
    u, v = np.unravel_index(int(scores.argmax()), scores.shape)
    other = next(w for w in range(GRAPH.n_backward) if GRAPH.real_edges[u, w] and w != v)
    swapped = scores.clone()
    swapped[u, v], swapped[u, other] = scores[u, other], scores[u, v]
    code, said = parity(stored(tmp_path / f"swapped{suffix}", swapped), *beside)
    assert code == 1 and said.rstrip().endswith("DIFFERS")
    pair = np.zeros_like(GRAPH.real_edges)
    pair[u, [v, other]] = True
    assert any(f"the largest difference at {name}:" in said for name in GRAPH.edge_names(pair))


@pytest.mark.slow
def test_method_path_and_steps_are_those_that_are_asked_for(
    tmp_path: Path, scores: torch.Tensor, parity
) -> None:
    file = stored(tmp_path / "graph.pt", scores)
    beside = ("--model", MODEL, "--pairs", PAIRS)
    assert parity(file, *beside, "--method", "eap-ig", "--path", "0..m-1", "--steps", 5)[0] == 0
    for other in (("--path", "1..m"), ("--steps", 4), ("--method", "eap")):
        assert parity(file, *beside, *other)[0] == 1, other


def test_nodes_and_neurons_are_scored_by_the_steps_of_the_library(tmp_path: Path, parity) -> None:
    bridge, batch = golden_bridge("gpt2_tiny"), golden_batch("gpt2_tiny")
    settings, none = AttributionSettings(path="1..m"), torch.zeros(GRAPH.real_edges.shape)
    nodes = attribute_nodes(bridge, batch, settings)
    file, beside = tmp_path / "nodes.pt", ("--model", MODEL, "--pairs", PAIRS)

    def store(scores: torch.Tensor) -> None:
        write_graph(file, GraphFile(none, top_n(none, GRAPH, 0), 64, node_scores=scores))

    store(nodes)
    assert parity(file, *beside)[0] == 0
    assert parity(file, *beside, "--path", "0..m-1")[0] == 1
    mlp = torch.tensor([name.startswith("m") for name in GRAPH.rows])
    store(torch.where(mlp, nodes / 2, nodes))
    code, said = parity(file, *beside)
    assert code == 1 and "; all but those of MLPs agree" in said
    store(nodes * 1.5)
    code, said = parity(file, *beside)
    assert code == 1 and "all but" not in said


def test_questions_as_mib_has_them_are_pairs_too(tmp_path: Path, parity) -> None:
    bridge, file = golden_bridge("gpt2_tiny"), tmp_path / "graph.json"
    asked = foreign_scores.Scoring(str(MODEL), questions(tmp_path / "q.jsonl"), "x_counterfactual")
    rows = foreign_scores.tasks.read_rows(asked.pairs)
    batch, left_out = foreign_scores.tasks.pairs_of(rows, bridge.tokenizer, asked.counterfactual)
    stored(file, attribute(bridge, batch, AttributionSettings("eap")))
    words = (file, "--model", MODEL, "--pairs", asked.pairs, "--method", "eap")
    code, said = parity(*words, "--counterfactual", "x_counterfactual")
    assert code == 0 and f"edge scores on {len(batch)} pairs" in said
    assert ("left out" in said) == bool(left_out)
    code, said = parity(*words, "--counterfactual", "x_counterfactual", "--double")
    assert code == 1, "float32 scores are not those of float64"
    code, said = parity(*words)
    assert code == 2 and "2 counterfactuals" in said


def test_mistakes_are_one_sentence(tmp_path: Path, scores: torch.Tensor, parity) -> None:
    file, text = stored(tmp_path / "graph.pt", scores), tmp_path / "text.jsonl"
    text.write_text('{"question": 1}\n')
    wide = tmp_path / "wide.jsonl"
    line = json.loads(PAIRS.read_text().splitlines()[0])
    wide.write_text(json.dumps(line | {"right_id": 10**6}))
    small = Graph(3, 2)
    other = stored(
        tmp_path / "other.json",
        torch.rand(small.real_edges.shape) * torch.from_numpy(small.real_edges.copy()),
        small,
    )
    model, pairs = ("--model", MODEL), ("--pairs", PAIRS)
    for words, said in (
        ((file,), "needs --model DIR and --pairs FILE.jsonl"),
        ((file, *model), "needs --model DIR and --pairs FILE.jsonl"),
        ((file, *model, "--pairs", tmp_path / "none.jsonl"), "none.jsonl' to read pairs from"),
        ((file, *model, "--pairs", text), "nor a prompt"),
        ((file, *model, "--pairs", file), "no pairs as JSON lines"),
        ((file, *model, "--pairs", wide), "token id 1000000 is outside"),
        ((file, *model, *pairs, "--counterfactual", "x"), "--counterfactual has no effect"),
        ((file, *model, *pairs, "--method", "ig"), "method='ig' is not one of"),
        ((file, *model, *pairs, "--path", "0..m"), "path='0..m' is not one of"),
        (
            (file, *model, *pairs, "--steps", 0),
            "--steps 0 is not possible; allowed are whole numbers from 1",
        ),
        ((file, "--model", tmp_path / "none", *pairs), "none"),
        ((other, *model, *pairs), "a graph of 3 layers and 2 heads, and the model"),
        ((tmp_path / "none.json", *model, *pairs), "none.json is missing"),
        ((text, *model, *pairs), "A graph file ends in"),
        ((FOLDER, *model), "--model is for one graph file"),
        ((tmp_path / "folder",), "There is no folder"),
    ):
        code, sentence = parity(*words)
        assert code == 2, words
        assert said in sentence and len(sentence.strip().splitlines()) == 1, sentence
