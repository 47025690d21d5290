"""Files of early versions of the published library, as the code of the paper writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hand_written_graphs import BY_HAND, by_hand, early
from typer.testing import CliRunner

from kc_utils.circuits import read_graph, write_graph
from kc_utils.cli.app import app
from kc_utils.errors import KcError


@pytest.mark.parametrize("suffix", [".json", ".pt"])
def test_a_file_of_an_early_version_is_read_and_drawn(tmp_path: Path, suffix: str) -> None:
    path = early(tmp_path, suffix)
    found, later = read_graph(path), read_graph(by_hand(tmp_path))
    assert found.graph == later.graph and torch.equal(found.scores, later.scores)
    assert np.array_equal(found.circuit.edges, later.circuit.edges)
    assert found.d_model == 0, "which such a file does not give"
    with pytest.raises(KcError, match="d_model=0 is not an integer of at least 1"):
        write_graph(tmp_path / "again.json", found)
    for name, works in (("early.graphml", True), ("early.html", True), ("again.pt", False)):
        done = CliRunner().invoke(app, ["draw", str(path), "--out", str(tmp_path / name)])
        assert (done.exit_code == 0) == (tmp_path / name).exists() == works
    assert "an early EAP-IG" in str(done.exception) + done.output


EARLY_REFUSED = {
    "two kinds of nodes": (".json", {"nodes": {"input": True, "a0.h0": {}, "m0": True}}, "bool"),
    "edges in a list": (".json", {"edges": []}, "'edges' is list"),
    "an unknown node": (".json", {"nodes": {"input": True, "a0.h0": True, "m7": True}}, "'m7'"),
    "another order": (".pt", {"src_nodes": {"m0": True, "a0.h0": True, "input": True}}, "order"),
    "another shape": (".pt", {"edges": torch.zeros(3, 4)}, "not a matrix of shape"),
    "a width that is none": (".pt", {"cfg": BY_HAND["cfg"] | {"d_model": "8"}}, "positive"),
}


@pytest.mark.parametrize("case", EARLY_REFUSED)
def test_an_early_file_that_is_no_graph_is_named(tmp_path: Path, case: str) -> None:
    suffix, changes, words = EARLY_REFUSED[case]
    with pytest.raises(KcError, match=words):
        read_graph(early(tmp_path, suffix, **changes))


def test_scores_that_are_null_are_none_at_all(tmp_path: Path) -> None:
    edges = {name: entry | {"score": None} for name, entry in BY_HAND["edges"].items()}
    found = read_graph(early(tmp_path, ".json", edges=edges))
    assert not found.scores.any() and found.circuit.n_edges == 2
    some = edges | {"m0->logits": {"score": 1.0, "in_graph": False}}
    with pytest.raises(KcError, match="None, not a finite number"):
        read_graph(early(tmp_path, ".json", edges=some))
