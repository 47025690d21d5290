"""Greedy construction against a search spelled out, and the published roles by a second way."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_models import golden_batch, golden_bridge

from kc_utils.analysis.published_roles import published_head_sums, published_roles
from kc_utils.circuits.circuit import circuit_from_edges, top_n
from kc_utils.circuits.graph import Graph
from kc_utils.circuits.greedy import greedy
from kc_utils.errors import KcError

GRAPH = Graph(2, 2)


def scores(seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=GRAPH.real_edges.shape)
    return np.where(GRAPH.real_edges, values, 0.0)


def spelled_out(values: np.ndarray, n: int) -> np.ndarray:
    """Every step looks at all edges again."""
    edges = np.zeros_like(GRAPH.real_edges)
    inside = {GRAPH.n_forward}  # the logits, whose row is -1
    for _ in range(n):
        best = None
        for writer, column in np.argwhere(GRAPH.real_edges & ~edges):
            row = int(GRAPH.column_row[column]) % (GRAPH.n_forward + 1)
            if row in inside and (best is None or abs(values[writer, column]) > abs(values[best])):
                best = (writer, column)
        if best is None:
            break
        edges[best] = True
        inside.add(int(best[0]))
    return circuit_from_edges(GRAPH, edges, n).edges


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("n", [1, 5, 12, 40])
def test_greedy_takes_the_strongest_edge_that_reaches_the_circuit(seed: int, n: int) -> None:
    values = scores(seed)
    assert np.array_equal(greedy(values, GRAPH, n).edges, spelled_out(values, n))


def test_a_strong_edge_far_from_the_logits_waits_where_top_n_takes_it() -> None:
    values = scores(0) * 0.01
    writer, column = GRAPH.rows.index("input"), GRAPH.columns.index("a0.h0<q>")
    values[writer, column] = 9.0
    values[GRAPH.rows.index("input"), GRAPH.columns.index("logits")] = 5.0
    assert greedy(values, GRAPH, 1).edge_names == ("input->logits",)
    assert top_n(values, GRAPH, 1).n_edges == 0  # the strongest edge leads nowhere


@pytest.mark.parametrize("n", [-1, GRAPH.n_edges + 1])
def test_more_edges_than_there_are_is_refused(n: int) -> None:
    with pytest.raises(KcError, match=f"n={n}"):
        greedy(scores(0), GRAPH, n)


def test_all_edges_taken_are_all_edges() -> None:
    assert np.array_equal(greedy(scores(1), GRAPH, GRAPH.n_edges).edges, GRAPH.real_edges)


@pytest.mark.parametrize("name", ["gpt2_tiny", "llama_tiny"])
def test_published_sums_are_those_of_head_results_projected_one_by_one(name: str) -> None:
    bridge, batch = golden_bridge(name), golden_batch(name)
    batch = type(batch)(
        **{k: v for k, v in vars(batch).items() if k not in ("subject_start", "subject_stop")},
        subject_start=torch.ones_like(batch.last),
        subject_stop=torch.full_like(batch.last, 3),
    )
    found = published_head_sums(bridge, batch).set_index(["layer", "head"])
    layer, head, pair = 1, 0, 0
    _, cache = bridge.run_with_cache(batch.clean_ids[pair : pair + 1])
    z = cache[f"blocks.{layer}.attn.o.hook_in"]
    n_heads = bridge.cfg.n_heads
    z = z.reshape(1, z.shape[1], n_heads, -1)[0, :, head]
    w_o = bridge.blocks[layer].attn.o.original_component.weight
    gpt2 = name.startswith("gpt2")
    d = z.shape[-1]
    rows = w_o[head * d : (head + 1) * d] if gpt2 else w_o[:, head * d : (head + 1) * d].T
    pattern = cache[f"blocks.{layer}.attn.hook_pattern"][0, head, int(batch.last[pair])]
    logits = (z * pattern[:, None]) @ rows @ bridge.W_U + bridge.b_U  # [pos, vocabulary]
    total = logits.detach().sum(-1)
    alone = published_head_sums(bridge, batch.slice(0, 1)).set_index(["layer", "head"])
    assert alone.loc[(layer, head), "subject"] == pytest.approx(float(total[1:3].sum()), rel=1e-3)
    rest = float(total[3 : int(batch.last[pair]) + 1].sum())
    assert alone.loc[(layer, head), "relation"] == pytest.approx(rest, rel=1e-3)
    assert len(found) == bridge.cfg.n_layers * n_heads


def test_published_ratios_keep_their_sign() -> None:
    import pandas as pd

    sums = pd.DataFrame({"subject": [11.0, -11.0, 0.05, 2.0], "relation": [1.0, 1.0, 1.0, 1.0]})
    assert published_roles(sums)["role"].tolist() == ["mover", "relation", "relation", "mixture"]
    with pytest.raises(KcError, match="role_ratio=1"):
        published_roles(sums, 1.0)
