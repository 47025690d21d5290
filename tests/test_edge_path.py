"""EAP-IG on one edge of one prompt: the parts multiply and sum to the score."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from families import family_bridge
from matplotlib.figure import Figure
from tiny_models import VOCAB

from kc_utils.background.path import edge_along_path, edge_to_follow
from kc_utils.circuits.adapter import adapter_of, graph_of
from kc_utils.circuits.attribution import AttributionSettings, attribute
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.errors import KcError
from kc_utils.plots.edge_path import edge_path

HOW = AttributionSettings(steps=4)
SHARES = np.union1d(np.linspace(0, 1, 5), HOW.shares_of_clean)


def pairs(n: int = 1) -> PairBatch:
    """Prompts of five tokens that differ in the second."""
    clean = [[3, 4 + i, 5, 6, 7] for i in range(n)]
    corrupted = [[3, (11 + i) % VOCAB, 5, 6, 7] for i in range(n)]
    return PairBatch.from_lists(clean, corrupted, [*range(n)], [*range(n, 2 * n)])


@pytest.mark.parametrize("name", ["gpt2", "gemma2", "phi", "llama3"])
def test_change_times_slope_at_the_points_is_the_score(name: str) -> None:
    bridge, batch = family_bridge(name), pairs()
    adapter, scores = adapter_of(bridge), attribute(bridge, batch, HOW)
    edge = edge_to_follow(scores, adapter.graph)
    path = edge_along_path(adapter, batch, edge, SHARES)
    assert path["product"].to_numpy() == pytest.approx(path["change"] * path["slope"])
    at_points = path[path["share"].isin(HOW.shares_of_clean)]
    score = at_points.groupby("share")["product"].sum().mean()
    assert score == pytest.approx(float(scores[edge]), rel=1e-6)
    eap = attribute(bridge, batch, AttributionSettings(method="eap"))[edge]
    clean = path.loc[path["share"] == 1, "product"].sum()
    assert clean == pytest.approx(float(eap), rel=1e-6)
    assert score != pytest.approx(clean, rel=1e-3), "the control: the path matters"
    before = path[path["position"] < 1]
    assert before["change"].abs().max() < 1e-9, "nothing differs before the second token"
    assert before["product"].abs().max() < 1e-9 < path["product"].abs().max()


def test_the_edge_leads_into_a_head_and_is_the_strongest_of_those() -> None:
    bridge, batch = family_bridge("gpt2"), pairs()
    graph, scores = graph_of(bridge), attribute(bridge, batch, HOW)
    row, column = edge_to_follow(scores, graph)
    assert graph.column_kind[column] in "qkv" and graph.rows[row] != "input"
    rivals = [graph.edges_from_names([f"{u}->{v}"]) for u in ("m0", "a0.h1")
              for v in ("a1.h0<v>", "a1.h2<k>")]  # fmt: skip
    assert all(abs(float(scores[row, column])) >= float(scores.numpy()[r].item()) for r in rivals)
    one_layer = attribute(bridge, batch, HOW) * 0
    one_layer[0, -1] = 1.0
    one_layer[graph.rows.index("m0"), graph.columns.index("a1.h3<v>")] = -0.5
    assert edge_to_follow(one_layer, graph) != (0, graph.n_backward - 1)


def test_one_pair_and_an_edge_that_exists_are_needed() -> None:
    adapter = adapter_of(family_bridge("gpt2"))
    with pytest.raises(KcError, match="not on 2"):
        edge_along_path(adapter, pairs(2), (0, 0), np.ones(1))
    backwards = adapter.graph.rows.index("m1"), adapter.graph.columns.index("m0")
    with pytest.raises(KcError, match="m1->m0 is not a possible edge"):
        edge_along_path(adapter, pairs(), backwards, np.ones(1))


def test_the_figure_shows_score_and_effect_and_names_what_is_missing() -> None:
    rows = [(p, s, c, 2 * s, 2 * s * c) for p, c in enumerate((0.0, 3.0)) for s in (0, 0.5, 1)]
    path = pd.DataFrame(rows, columns=["position", "share", "change", "slope", "product"])
    figure = edge_path(path, ["<a", "b"], [0.5, 1.0], exact=4.0)
    assert isinstance(figure, Figure)
    bars, slopes, products = figure.axes
    assert [bar.get_width() for bar in bars.patches] == [0.0, 3.0]
    assert [text.get_text() for text in bars.get_yticklabels()] == ["<a", "b"]
    heights = [bar.get_height() for bar in products.patches]
    assert heights == [3.0, 6.0] and {bar.get_width() for bar in products.patches} == {0.5}
    assert {text.get_text() for text in products.texts} == {"4.50", "4.00"}
    assert len(slopes.lines) == 4  # both tokens, the points of one of them, zero
    with pytest.raises(KcError, match=r"no row for the share 0\.25"):
        edge_path(path, ["a", "b"], [0.25], 1.0)
    with pytest.raises(KcError, match="lacks the column"):
        edge_path(path.drop(columns="slope"), ["a", "b"], [1.0], 1.0)
