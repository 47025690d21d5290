"""Methods against exact patching: what is read from tables of scores and effects."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_models import VOCAB, tiny_model, tokenizer

from kc_utils.analysis.agreement import (
    queries_against_values,
    scaled_control,
    scores_by_edge,
    without_strongest,
)
from kc_utils.analysis.attribution_cost import per_token_and_layer
from kc_utils.analysis.positions import shares_by_position, tokens_by_position
from kc_utils.circuits.adapter import graph_of
from kc_utils.circuits.attribution import AttributionSettings
from kc_utils.circuits.bridge import boot_bridge
from kc_utils.circuits.by_position import attribute_by_position
from kc_utils.circuits.graph import Graph
from kc_utils.circuits.pair_batch import PairBatch


def edges(kind: str = "K_rel", size: float = 1.0) -> pd.DataFrame:
    """Effects of 40 edges, one of them large, with a method that sees only that one."""
    rng = np.random.default_rng(0)
    exact = size * np.concatenate([[50.0], rng.standard_normal(39)])
    scores = {"good": exact, "outlier": np.concatenate([[50.0], rng.standard_normal(39)]),
              "random": rng.standard_normal(40)}  # fmt: skip
    names = {"writer": [f"m{i}" for i in range(40)], "reader": "logits", "kind": kind}
    tables = [pd.DataFrame({**names, "method": m, "score": s, "exact": exact})
              for m, s in scores.items()]  # fmt: skip
    return pd.concat(tables, ignore_index=True)


def test_random_scores_get_the_spread_of_the_effects_of_their_kind() -> None:
    table = pd.concat([edges("K_rel"), edges("K_compl", 7.0)], ignore_index=True)
    scaled = scaled_control(table)
    assert scaled[scaled["method"] != "random"].equals(table[table["method"] != "random"])
    for _, part in scaled[scaled["method"] == "random"].groupby("kind"):
        assert part["score"].std() == pytest.approx(part["exact"].std(), rel=0.05)
    assert scaled_control(table.iloc[:0]).empty


def test_a_correlation_that_hangs_on_one_edge_is_gone_without_it() -> None:
    by_edge = scores_by_edge(edges())
    assert by_edge.index[0] == ("m0", "logits") and by_edge["effect"].iloc[0] == 50
    assert by_edge["effect"].abs().is_monotonic_decreasing
    found = without_strongest(by_edge, [0, 1])
    assert found.loc["outlier", 0] > 0.9 > 0.5 > abs(found.loc["outlier", 1])
    assert found.loc["good"].tolist() == pytest.approx([1, 1])


def test_edges_into_queries_are_compared_with_those_into_values() -> None:
    def rows(method: str, q: float, k: float, v: float) -> pd.DataFrame:
        values = [q, k, v]
        return pd.DataFrame({"model": "a", "kind": "K_rel", "method": method, "spearman": values,
                             "reader_kind": ["q", "k", "v"], "pearson": values})  # fmt: skip

    worse, better, left_out = rows("EAP", 0.1, 0.5, 0.4), rows("b", 0.5, 0.5, 0.4), "RelP"
    found = queries_against_values(pd.concat([worse, better, rows(left_out, 0, 0, 1)]))
    assert found["pearson"].to_dict() == {("a", "K_rel", "EAP"): True, ("a", "K_rel", "b"): False}


def test_shares_by_position_add_up_and_logits_are_read_at_the_last_token() -> None:
    bridge = boot_bridge(tiny_model("gpt2", torch.float64), tokenizer())
    ids = torch.randint(VOCAB, (2, 2, 6), generator=torch.Generator().manual_seed(5)).tolist()
    batch = PairBatch.from_lists(*ids, [0, 1], [2, 3], [1, 1], [3, 3])
    parts = attribute_by_position(bridge, batch, AttributionSettings(steps=2))
    shares = shares_by_position(parts, graph_of(bridge), batch)
    found = shares.pivot(index="reader_kind", columns="position", values="value")
    assert np.allclose(found.sum(axis=1), 1)
    assert found.loc["logits", "last"] == pytest.approx(1)
    assert found.loc["v", "last"] < 0.9  # the control: other readers hear other tokens
    assert tokens_by_position(batch) == {"subject": 4, "relation": 6, "last": 2}
    assert found.loc["tokens", "subject"] == pytest.approx(4 / 12)


def test_the_factored_form_holds_and_multiplies_less() -> None:
    graph = Graph(2, 4)  # 1 writer before layer 0, 6 before layer 1
    found = per_token_and_layer(32, graph, steps=3)
    assert found["held at q, k, v, copies"] == 12 * 32
    assert found["held at q, k, v, factored"] == 3 * 32 + 3 * (12 + 32)
    assert found["multiplications by writers, copies"] == 3 * 3.5 * 12 * 32
    large = per_token_and_layer(768, Graph(12, 12), steps=5)
    for what in ("held at q, k, v", "multiplications by writers"):
        assert large[f"{what}, factored"] < 0.5 * large[f"{what}, copies"]
