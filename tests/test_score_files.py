"""Score files: what was written comes back, small, and nothing else is taken for it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from kc_utils.circuits.graph import Graph
from kc_utils.circuits.score_files import read_scores, write_scores
from kc_utils.errors import KcError

GRAPH = Graph(3, 2)


def scores_of(graph: Graph, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    real = torch.from_numpy(graph.real_edges.copy())
    return torch.randn(real.shape, generator=generator, dtype=dtype) * real


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "scores" / "step-000001.safetensors"
    write_scores(path, {"a|b": scores_of(GRAPH), "c": 2 * scores_of(GRAPH)}, GRAPH)
    return path


def with_graph(path: Path, graph: str) -> None:
    """Write other metadata over a file's own."""
    with safe_open(path, "pt") as stored:
        (key,) = stored.metadata()
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}
    save_file(tensors, str(path), metadata={key: graph})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("parallel", [False, True])
def test_scores_come_back_bit_by_bit(tmp_path: Path, dtype: torch.dtype, parallel: bool) -> None:
    graph = Graph(3, 2, parallel)
    scores = {"city|new|high": scores_of(graph, dtype), "zero": scores_of(graph, dtype) * 0}
    write_scores(tmp_path / "scores", scores, graph)
    back = read_scores(tmp_path / "scores", graph)
    assert back.keys() == scores.keys()
    for name, matrix in scores.items():
        assert back[name].dtype == dtype
        assert torch.equal(back[name], matrix)


def test_paths_may_be_texts(tmp_path: Path) -> None:
    path = str(tmp_path / "new" / "scores.safetensors")
    write_scores(path, {"a": scores_of(GRAPH)}, GRAPH)
    assert torch.equal(read_scores(path, GRAPH)["a"], scores_of(GRAPH))
    with pytest.raises(KcError, match="absent is missing"):
        read_scores("absent")


def test_scores_of_gpt2_small_take_less_than_200_kb(tmp_path: Path) -> None:
    graph = Graph(12, 12)
    scores = scores_of(graph)
    write_scores(tmp_path / "sparse", {"all": scores}, graph)
    save_file({"all": scores}, str(tmp_path / "dense"))
    assert 4 * 32_491 <= (tmp_path / "sparse").stat().st_size <= 200_000
    assert (tmp_path / "dense").stat().st_size > 200_000


def test_the_same_scores_give_the_same_bytes(file: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    write_scores(again, read_scores(file), GRAPH)
    assert again.read_bytes() == file.read_bytes()


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_a_file_that_was_cut_is_refused(file: Path, keep: int) -> None:
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(KcError, match=r"step-000001\.safetensors is damaged"):
        read_scores(file)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KcError, match=r"none is missing"):
        read_scores(tmp_path / "none")


def test_scores_of_another_graph_are_refused(file: Path) -> None:
    assert read_scores(file, GRAPH)
    with pytest.raises(KcError, match=r"3 layers and 2 heads, not of a graph of 2 layers"):
        read_scores(file, Graph(2, 2))
    with pytest.raises(KcError, match=r"not of .* in parallel"):
        read_scores(file, Graph(3, 2, parallel=True))


@pytest.mark.parametrize(
    ("graph", "words"),
    [
        ('{"n_layers": 4, "n_heads": 2, "parallel": false}', r"'a\|b' have shape .* 4 layers"),
        ('{"n_layers": "many", "n_heads": 2, "parallel": false}', "names no graph"),
        ('{"n_layers": 3, "n_heads": 0, "parallel": false}', "names no graph"),
        ('{"n_layers": 3}', "names no graph"),
        ("three layers", "names no graph"),
        ("3", "names no graph"),
    ],
)
def test_metadata_that_does_not_fit_is_refused(file: Path, graph: str, words: str) -> None:
    with_graph(file, graph)
    with pytest.raises(KcError, match=rf"is damaged: .*{words}"):
        read_scores(file)


def test_a_dense_file_is_refused_with_the_way_out(file: Path) -> None:
    save_file({"a": scores_of(GRAPH)}, str(file))
    with pytest.raises(KcError, match=r"does not say which graph.*computed again"):
        read_scores(file)


def test_scores_that_the_file_cannot_hold_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "scores"
    impossible = scores_of(GRAPH)
    impossible[-1, 0] = 1.0
    with pytest.raises(KcError, match=r"'x' are not 0 everywhere"):
        write_scores(path, {"x": impossible}, GRAPH)
    with pytest.raises(KcError, match=r"'x' have shape \(3, 3\)"):
        write_scores(path, {"x": torch.zeros(3, 3)}, GRAPH)
    assert not path.exists()
    with pytest.raises(KcError, match="safetensors keeps for itself"):
        write_scores(path, {"__metadata__": scores_of(GRAPH)}, GRAPH)
