"""Where nothing can be written: one sentence about the path that was asked for, and no remains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
import torch

from kc_utils import artifacts
from kc_utils.book.figures import keep
from kc_utils.book.student import write_student
from kc_utils.circuits import GraphFile, top_n, write_graph, write_scores
from kc_utils.circuits.graph import Graph
from kc_utils.config import profiles
from kc_utils.errors import KcError
from kc_utils.plots.interactive.figure import assemble
from kc_utils.runs.folder import Run
from kc_utils.runs.replaced import replace_folder

GRAPH = Graph(2, 2)
SCORES = torch.ones(GRAPH.n_forward, GRAPH.n_backward) * torch.from_numpy(GRAPH.real_edges.copy())
FILE = GraphFile(SCORES, top_n(SCORES, GRAPH, 5), 8)
WRITERS: dict[str, Callable[[Path], None]] = {
    "scores.safetensors": lambda path: write_scores(path, {"a": SCORES}, GRAPH),
    "graph.json": lambda path: write_graph(path, FILE),
    "graph.pt": lambda path: write_graph(path, FILE),
}


@pytest.mark.parametrize("name", WRITERS)
def test_functions_that_users_call_say_which_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "text").write_text("mine")
    (tmp_path / name).mkdir()
    (tmp_path / name / "mine").touch()
    for path in (tmp_path / "text" / name, tmp_path / name):  # below a file, over a full folder
        with pytest.raises(KcError, match="cannot be written") as error:
            WRITERS[name](path)
        assert f"{path} cannot be written: " in str(error.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["text", name])
    WRITERS[name](tmp_path / "new" / name)  # the control: elsewhere it can be
    assert (tmp_path / "new" / name).is_file()


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_no_traceback(tmp_path: Path, name: str) -> None:
    with pytest.raises(KcError, match=r"cannot be written: .*([Nn]o space|space left)"):
        artifacts.write_or_say(tmp_path / name, _full)
    assert not any(tmp_path.iterdir())


def _full(path: Path) -> None:
    Path("/dev/full").write_text("a" * 10_000)


@pytest.mark.parametrize("figure", [plt.Figure(), assemble("kc", "<p>x</p>", "x", [])])
def test_a_figure_that_a_run_cannot_keep_is_a_sentence(tmp_path: Path, figure: Any) -> None:
    run = Run.draft(tmp_path / "run", profiles.load("smoke"))
    run.path.mkdir()
    (run.path / "figures").write_text("no folder")
    with pytest.raises(KcError, match=r"figures/one\.(svg|html) cannot be written: "):
        keep(run, "one", figure)
    (run.path / "figures").unlink()
    assert keep(run, "one", figure) is figure and len(list((run.path / "figures").iterdir())) == 1


def test_a_folder_is_named_as_it_was_typed(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("mine")
    out = tmp_path / "text" / "out"
    for write in (write_student, lambda path: replace_folder(path, lambda folder: None)):
        with pytest.raises(KcError, match="out' is not possible: nothing can be written into"):
            write(out)
