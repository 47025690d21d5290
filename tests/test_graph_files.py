"""Files of the published library: read as documented, written to come back, or refused."""

from __future__ import annotations

import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
from bs4 import BeautifulSoup
from hand_written_graphs import BY_HAND, SCORES, by_hand, by_hand_pt
from typer.testing import CliRunner

from kc_utils.circuits import GraphFile, read_graph, top_n, write_graph
from kc_utils.circuits.graph import Graph
from kc_utils.circuits.graph_files import submission_path
from kc_utils.circuits.networks import network
from kc_utils.circuits.score_files import write_scores
from kc_utils.cli.app import app
from kc_utils.cli.parity import check_parity
from kc_utils.errors import KcError

GOLDEN = Path(__file__).parent / "golden" / "gpt2_tiny"


def made(graph: Graph) -> GraphFile:
    generator = torch.Generator().manual_seed(0)
    real = torch.from_numpy(graph.real_edges.copy())
    scores = torch.randn(real.shape, generator=generator, dtype=torch.float64) * real
    return GraphFile(scores, top_n(scores, graph, 20), 32)


@pytest.mark.parametrize("write", [by_hand, by_hand_pt])
def test_a_file_as_documented_is_read(tmp_path: Path, write: Any) -> None:
    found = read_graph(write(tmp_path))
    assert found.graph == Graph(1, 1) and found.d_model == 8
    assert found.scores.tolist() == SCORES
    assert found.circuit.edge_names == ("input->a0.h0<v>", "a0.h0->logits")


@pytest.mark.parametrize("suffix", [".json", ".pt"])
@pytest.mark.parametrize("parallel", [False, True])
def test_what_was_written_comes_back(tmp_path: Path, suffix: str, parallel: bool) -> None:
    file = made(Graph(3, 2, parallel))
    path = tmp_path / f"graph{suffix}"
    write_graph(path, file)
    back = read_graph(path)
    assert torch.equal(back.scores, file.scores)
    assert np.array_equal(back.circuit.edges, file.circuit.edges)
    assert (back.graph, back.d_model) == (file.graph, 32)


def test_what_is_written_has_the_documented_keys(tmp_path: Path) -> None:
    write_graph(tmp_path / "graph.json", read_graph(by_hand_pt(tmp_path)))
    assert json.loads((tmp_path / "graph.json").read_text()) == BY_HAND
    write_graph(tmp_path / "other.pt", read_graph(by_hand(tmp_path)))
    ours = torch.load(tmp_path / "other.pt", weights_only=True)
    theirs = torch.load(by_hand_pt(tmp_path), weights_only=True)
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        same = torch.equal(ours[key], value) if isinstance(value, torch.Tensor) else None
        assert same or ours[key] == value, key


def edge(**entry: Any) -> dict[str, Any]:
    return {"edges": BY_HAND["edges"] | {"a0.h0->m0": entry}}


REFUSED = {
    "another shape": ({"cfg": BY_HAND["cfg"] | {"n_layers": 2}}, "do not have 3 nodes"),
    "a huge shape": ({"cfg": BY_HAND["cfg"] | {"n_layers": 10**9}}, "do not have 3 nodes"),
    "a number that is a word": ({"cfg": BY_HAND["cfg"] | {"n_heads": "1"}}, "positive numbers"),
    "no cfg": ({"cfg": None}, "'cfg' is NoneType"),
    "an unknown edge": ({"edges": {"m0->a0.h0<q>": {"score": 0, "in_graph": False}}}, "not one of"),
    "a score that is no number": (edge(score="much", in_graph=True), "'much', not a finite"),
    "a score that is not finite": (edge(score=float("nan"), in_graph=True), "not a finite number"),
    "a mark that is no truth": (edge(score=0.5, in_graph="yes"), "not true or false"),
    "edges in a list": ({"edges": []}, "'edges' is list"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_graph_that_is_none_is_named(tmp_path: Path, case: str) -> None:
    changes, words = REFUSED[case]
    with pytest.raises(KcError, match=words):
        read_graph(by_hand(tmp_path, **changes))


PT_REFUSED = {
    "other names": ({"dst_nodes": ["logits"] * 5}, "other names"),
    "another order": ({"src_nodes": ["a0.h0", "input", "m0"]}, "another order"),
    "another shape": ({"edges_scores": torch.zeros(3, 4)}, "not a matrix of shape"),
    "no scores": ({"edges_scores": None}, "not a matrix of shape"),
    "scores that are not finite": ({"edges_scores": torch.full((3, 5), torch.inf)}, "not finite"),
    "code": ({"extra": print}, "damaged, or holds more than tensors"),
}


@pytest.mark.parametrize("case", PT_REFUSED)
def test_a_pt_file_that_is_no_graph_is_named(tmp_path: Path, case: str) -> None:
    changes, words = PT_REFUSED[case]
    with pytest.raises(KcError, match=words):
        read_graph(by_hand_pt(tmp_path, **changes))


@pytest.mark.parametrize("content", [b"no archive", b"PK\x03\x04 cut", None])
def test_why_a_pt_file_cannot_be_read_is_one_plain_sentence(
    tmp_path: Path, content: bytes | None
) -> None:
    path = by_hand_pt(tmp_path, extra=print)
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(KcError) as caught:
        read_graph(path)
    message = str(caught.value)
    assert message.isprintable() and ". " not in message and "weights_only" not in message


@pytest.mark.parametrize("name", ["graph.json", "graph.pt"])
def test_paths_may_be_texts(tmp_path: Path, name: str) -> None:
    file, path = made(Graph(2, 2)), str(tmp_path / "new" / name)
    write_graph(path, file)
    assert torch.equal(read_graph(path).scores, file.scores)
    with pytest.raises(KcError, match=r"absent\.json is missing"):
        read_graph("absent.json")
    with pytest.raises(KcError, match="not 'absent'"):
        read_graph("absent")
    assert submission_path("all", "eap", "ioi", "gpt2") == submission_path(
        Path("all"), "eap", "ioi", "gpt2"
    )


@pytest.mark.parametrize("name", ["graph.json", "graph.pt", "graph.txt"])
def test_damaged_missing_and_other_files_are_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with pytest.raises(KcError):
        read_graph(path)
    path.write_bytes(b'{"cfg": ')
    with pytest.raises(KcError, match=name):
        read_graph(path)
    path.write_text("[" * 100_000)
    with pytest.raises(KcError, match=name):
        read_graph(path)


def test_scores_that_are_not_finite_are_not_written(tmp_path: Path) -> None:
    file = made(Graph(2, 2))
    with pytest.raises(KcError, match="not finite"):
        write_graph(tmp_path / "g.json", GraphFile(file.scores * torch.nan, file.circuit, 8))
    stray = file.scores.clone()
    stray[-1, 0] = 1.0
    with pytest.raises(KcError, match="1 scores are not 0 where the graph has no edge"):
        write_graph(tmp_path / "g.pt", GraphFile(stray, file.circuit, 8))
    assert not [*tmp_path.iterdir()]


def test_a_submission_lies_where_mib_looks(tmp_path: Path) -> None:
    path = submission_path(tmp_path, "EAP-IG", "ioi", "gpt2")
    assert path == tmp_path / "EAP-IG_patching_edge" / "ioi_gpt2" / "importances.json"
    write_graph(path, made(Graph(2, 2)))
    assert read_graph(path).circuit.n_edges == made(Graph(2, 2)).circuit.n_edges
    for wrong in ({"task": "cities"}, {"model": "../gpt2"}, {"method": ""}):
        with pytest.raises(KcError):
            submission_path(**{"folder": tmp_path, "method": "EAP", "task": "ioi", "model": "gpt2"}
                            | wrong)  # fmt: skip


def test_a_network_has_the_edges_of_the_circuit() -> None:
    file = made(Graph(3, 2))
    drawn = network(file.circuit, file.scores)
    names = {f"{a}->{b}" + (f"<{key}>" if key in "qkv" else "")
             for a, b, key in drawn.edges(keys=True)}  # fmt: skip
    assert names == set(file.circuit.edge_names)
    assert nx.is_directed_acyclic_graph(drawn)
    assert all(nx.has_path(drawn, "input", node) for node in drawn.nodes), "nothing is cut off"
    table = file.circuit.table()
    assert sum(d["score"] for *_, d in drawn.edges(data=True)) == pytest.approx(
        sum(float(file.scores[file.graph.rows.index(w), file.graph.columns.index(r)])
            for w, r in zip(table["writer"], table["reader"], strict=True))
    )  # fmt: skip


def run(*words: str | Path) -> str:
    result = CliRunner().invoke(app, ["draw", *map(str, words)], catch_exceptions=True)
    if isinstance(result.exception, KcError):
        return str(result.exception)
    assert result.exit_code == 0, result.exception
    return result.stdout


def test_draw_makes_a_page_and_files_for_others(tmp_path: Path) -> None:
    file = made(Graph(3, 2))
    write_graph(tmp_path / "graph.pt", file)
    assert f"{file.circuit.n_edges} of {file.graph.n_edges} edges" in run(tmp_path / "graph.pt")
    page = BeautifulSoup((tmp_path / "graph.html").read_text(), "html.parser")
    assert page.find("svg") and not page.find_all(["script", "link", "img"], src=True)
    run(tmp_path / "graph.pt", "--out", tmp_path / "c.graphml", "--top", "7")
    content = (tmp_path / "graph.pt").read_bytes()
    (tmp_path / "link.pt").symlink_to("graph.pt")
    for same in ("graph.pt", "link.pt"):
        said = run(tmp_path / "graph.pt", "--out", tmp_path / same, "--top", "7")
        assert "is FILE itself" in said and (tmp_path / "graph.pt").read_bytes() == content
    root = ElementTree.parse(tmp_path / "c.graphml").getroot()
    cut = top_n(file.scores, file.graph, 7)
    assert len(root.findall(".//{*}edge")) == cut.n_edges
    run(tmp_path / "graph.pt", "--out", tmp_path / "c.json")
    assert read_graph(tmp_path / "c.json").circuit.edge_names == file.circuit.edge_names


def test_draw_cuts_a_circuit_from_scores(tmp_path: Path) -> None:
    file, path = made(Graph(3, 2)), tmp_path / "scores.safetensors"
    write_scores(path, {"a": file.scores, "b": -2 * file.scores}, file.graph)
    assert "--name: a, b" in run(path)
    assert "no scores 'c'" in run(path, "--name", "c")
    assert "--top N" in run(path, "--name", "a")
    assert "width of the model" in run(
        path, "--name", "a", "--top", "9", "--out", tmp_path / "a.pt"
    )
    cut = top_n(file.scores, file.graph, 9)
    assert f"{cut.n_edges} of" in run(path, "--name", "b", "--top", "9")
    assert "ends in none of" in run(path, "--out", tmp_path / "a.png")
    assert "ends in none of" in run("") and "ends in none of" in run(tmp_path / "a.txt")
    assert "no effect" in run(by_hand(tmp_path), "--name", "a")
    assert "--top 0 is not possible" in run(path, "--name", "a", "--top", "0")
    most = file.graph.n_edges
    said = run(path, "--name", "a", "--top", most + 1)
    assert f"--top {most + 1} is not possible; allowed are whole numbers from 1 to {most}" in said
    assert "no folder" in run(path, "--out", path / "a.html")
    alone = torch.zeros_like(file.scores)
    alone[file.graph.mlp(0), file.graph.mlp_column(1)] = 1.0  # no edge into m0, none out of m1
    write_scores(path, {"a": alone}, file.graph)
    assert "--top 1 keeps no path from the input" in run(path, "--top", "1")


def test_the_example_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Path(__file__).parents[1] / "book" / "published_library.md"
    (code,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    write_graph(tmp_path / "theirs.pt", made(Graph(3, 2)))
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(code, names)
    assert names["larger"].n == 2 * names["circuit"].n_edges > 0


@pytest.mark.slow
def test_parity_takes_graphs_instead_of_arrays(tmp_path: Path) -> None:
    folder = shutil.copytree(GOLDEN, tmp_path / "set")
    graph = Graph(4, 4)
    for stored in sorted(folder.glob("scores_*.npz")):
        scores = torch.from_numpy(np.load(stored)["scores"])
        suffix = ".json" if "m_minus" in stored.name else ".pt"
        write_graph(stored.with_suffix(suffix), GraphFile(scores, top_n(scores, graph, 50), 64))
        stored.unlink()
    assert all(found.ok for found in check_parity(folder))
    scores[0, 0] += 1.0  # the control: other scores are other scores
    write_graph(stored.with_suffix(".pt"), GraphFile(scores, top_n(scores, graph, 50), 64))
    assert not all(found.ok for found in check_parity(folder))
