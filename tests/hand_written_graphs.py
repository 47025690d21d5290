"""A small graph in the files of the published library, written by hand as documented."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

#: One layer of one head, as the documented format spells it: written by hand, not by this code.
BY_HAND: dict[str, Any] = {
    "cfg": {"n_layers": 1, "n_heads": 1, "parallel_attn_mlp": False, "d_model": 8},
    "nodes": {
        "input": {"in_graph": True},
        "a0.h0": {"in_graph": True},
        "m0": {"in_graph": False},
        "logits": {"in_graph": True},
    },
    "edges": {
        "input->a0.h0<q>": {"score": 0.0, "in_graph": False},
        "input->a0.h0<k>": {"score": -0.25, "in_graph": False},
        "input->a0.h0<v>": {"score": 2.0, "in_graph": True},
        "input->m0": {"score": 0.125, "in_graph": False},
        "a0.h0->m0": {"score": 0.5, "in_graph": False},
        "input->logits": {"score": 1.0, "in_graph": False},
        "a0.h0->logits": {"score": 3.0, "in_graph": True},
        "m0->logits": {"score": -1.0, "in_graph": False},
    },
}
SCORES = [[0.0, -0.25, 2.0, 0.125, 1.0], [0.0, 0.0, 0.0, 0.5, 3.0], [0.0, 0.0, 0.0, 0.0, -1.0]]


def early(folder: Path, suffix: str, **changes: Any) -> Path:
    """The same graph as early versions wrote it, among them the code of the paper."""
    path = folder / f"early{suffix}"
    cfg = {"n_layers": 1, "n_heads": 1, "parallel_attn_mlp": False}
    marks = {name: node["in_graph"] for name, node in BY_HAND["nodes"].items()}
    if suffix == ".json":
        content = {"cfg": cfg, "nodes": marks, "edges": BY_HAND["edges"]}
        path.write_text(json.dumps(content | changes))
        return path
    del marks["logits"]
    edges = torch.zeros(3, 5, dtype=torch.bool)
    edges[0, 2] = edges[1, 4] = True
    content = {
        "cfg": cfg, "src_nodes": marks, "edges": torch.tensor(SCORES), "edges_in_graph": edges,
        "dst_nodes": ["a0.h0<q>", "a0.h0<k>", "a0.h0<v>", "m0", "logits"],
    }  # fmt: skip
    torch.save(content | changes, path)
    return path


def by_hand(folder: Path, **changes: Any) -> Path:
    path = folder / "graph.json"
    path.write_text(json.dumps(BY_HAND | changes))
    return path


def by_hand_pt(folder: Path, **changes: Any) -> Path:
    edges = torch.zeros(3, 5, dtype=torch.bool)
    edges[0, 2] = edges[1, 4] = True
    content = {
        "cfg": BY_HAND["cfg"],
        "src_nodes": ["input", "a0.h0", "m0"],
        "dst_nodes": ["a0.h0<q>", "a0.h0<k>", "a0.h0<v>", "m0", "logits"],
        "edges_scores": torch.tensor(SCORES),
        "edges_in_graph": edges,
        "nodes_in_graph": torch.tensor([True, True, False]),
    }
    path = folder / "graph.pt"
    torch.save(content | changes, path)
    return path
