"""The attribution graph of one prompt: which edges at which tokens, and what is drawn of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from drawings import classes, edges_of, nodes_of, rules_outside, svgs, title
from tiny_models import tokenizer
from watching import OVERFLOW, watch

from kc_utils.analysis.token_edges import attention_links, strongest_token_edges
from kc_utils.benchmark.linear import wired_batch, wired_model
from kc_utils.circuits.attribution import AttributionSettings
from kc_utils.circuits.bridge import boot_bridge
from kc_utils.circuits.by_position import attribute_by_token
from kc_utils.circuits.graph import Graph
from kc_utils.errors import KcError
from kc_utils.plots import Drawing, attribution_graph

GRAPH = Graph(2, 4)
TOKENS = ["Ida", " <b>", " of"]
ROLES = pd.DataFrame({"node": ["a0.h1", "a1.h2"], "role": ["mover", "relation"]})
#: The wired model's circuit at its tokens: the prompts differ in the second of three.
WIRED = {(1, "input", "a0.h1<v>"), (1, "a0.h1", "a1.h2<v>"), (2, "a0.h1", "a1.h2<v>"),
         (2, "a0.h1", "m0"), (2, "m0", "logits"), (2, "a1.h2", "logits")}  # fmt: skip


def found(first: int, most: int = 6) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Edges and links of the wired model with its head ``first`` of layer 0."""
    bridge, pair = boot_bridge(wired_model(first), tokenizer()), wired_batch().slice(0, 1)
    scores = attribute_by_token(bridge, pair, AttributionSettings(method="eap"))
    edges = strongest_token_edges(scores, GRAPH, most)
    return edges, attention_links(bridge, pair.clean_ids[0], edges)


def named(edges: pd.DataFrame) -> set[tuple[int, str, str]]:
    return set(edges[["position", "source", "target"]].itertuples(index=False, name=None))


@pytest.fixture(scope="module")
def wired() -> tuple[pd.DataFrame, pd.DataFrame]:
    return found(1)


@pytest.fixture(scope="module")
def drawn(wired: tuple[pd.DataFrame, pd.DataFrame]) -> Drawing:
    edges, links = wired
    return attribution_graph(edges, TOKENS, 2, 4, links, ROLES, ("right", "wrong"))


def test_the_wired_circuit_is_found_at_its_tokens(wired) -> None:
    edges, links = wired
    assert named(edges) == WIRED and edges["score"].abs().is_monotonic_decreasing
    assert edges["share"].sum() == pytest.approx(1)
    assert links.drop(columns="share").to_numpy().tolist() == [["a0.h1", 1, 2], ["a1.h2", 1, 2]]
    assert links["share"].to_numpy() == pytest.approx(1 / 3)  # all tokens attend alike
    other = {(t, u.replace("a0.h1", "a0.h3"), v.replace("a0.h1", "a0.h3")) for t, u, v in WIRED}
    assert named(found(3)[0]) == other != WIRED, "the control: another head is wired"


def matrix(edges: dict[tuple[int, str, str], float]) -> torch.Tensor:
    scores = torch.zeros(3, GRAPH.n_forward, GRAPH.n_backward)
    for (position, source, target), score in edges.items():
        scores[position, GRAPH.rows.index(source), GRAPH.columns.index(target)] = score
    return scores


def test_what_leads_nowhere_is_left_out() -> None:
    path = {(0, "input", "a0.h1<k>"): 3.0, (2, "a0.h1", "logits"): -4.0}
    dead = {
        (2, "a1.h0", "logits"): 9.0,  # nothing feeds it
        (1, "input", "m1"): 8.0,  # nobody reads it
        (0, "input", "a0.h2<q>"): 7.0, (2, "a0.h2", "logits"): 6.0,  # a query crosses no tokens
        (2, "input", "a0.h3<v>"): 5.0, (1, "a0.h3", "a1.h1<v>"): 5.0,  # nobody reads ahead
    }  # fmt: skip
    edges = strongest_token_edges(matrix(path | dead), GRAPH)
    assert named(edges) == set(path) and edges["score"].tolist() == [-4.0, 3.0]
    assert edges["share"].tolist() == pytest.approx([4 / 47, 3 / 47])
    assert named(strongest_token_edges(matrix(path | dead), GRAPH, most=2)) == set(path)
    assert strongest_token_edges(matrix(dead), GRAPH).empty
    alive = dead | {(2, "input", "a1.h0<q>"): 1.0}
    assert named(strongest_token_edges(matrix(alive), GRAPH)) == {
        (2, "a1.h0", "logits"), (2, "input", "a1.h0<q>")
    }  # fmt: skip
    with pytest.raises(KcError, match="most=0 is not at least 1"):
        strongest_token_edges(matrix(path), GRAPH, 0)


def test_every_edge_and_node_is_drawn_at_its_token(drawn: Drawing, wired) -> None:
    edges, _ = wired
    (svg,) = svgs(drawn)
    seen = {(e.get("data-s"), e.get("data-t")): e for e in edges_of(svg)}
    assert set(seen) == {
        (f"{u}@{t}", f"{v[:-3]}@{t}{v[-3:]}" if v.endswith(">") else f"{v}@{t}")
        for t, u, v in WIRED
    }
    largest = edges["score"].abs().max()
    for edge in edges.itertuples():
        (path,) = [e for e in seen.values() if title(e).startswith(
            f"{edge.source} → {edge.target} at “{TOKENS[edge.position].strip()}”")]  # fmt: skip
        assert float(path.get("stroke-width")) == pytest.approx(
            10 * abs(edge.score) / largest, abs=0.01
        )
        assert "pos" in classes(path) and f"score {edge.score:+.3g}, " in title(path)
    nodes = nodes_of(svg)
    assert set(nodes) == {"input@1", "a0.h1@1", "a1.h2@1", "a0.h1@2", "m0@2", "a1.h2@2", "logits@2"}
    place = {n: [float(x) for x in e.get("transform")[10:-1].split()] for n, e in nodes.items()}
    assert place["input@1"][0] < place["m0@2"][0] and place["a0.h1@1"][0] < place["a0.h1@2"][0]
    up = [place[n][1] for n in ("input@1", "a0.h1@2", "m0@2", "a1.h2@2", "logits@2")]
    assert up == sorted(up, reverse=True) and len(set(up)) == 5
    assert place["a0.h1@1"][1] == place["a0.h1@2"][1]
    links = [e for e in svg.iter("path") if "link" in classes(e)]
    assert [(e.get("data-a"), e.get("data-b")) for e in links] == [
        ("a0.h1@1", "a0.h1@2"), ("a1.h2@1", "a1.h2@2")
    ]  # fmt: skip
    assert all("33%" in title(e) for e in links)


def test_it_is_said_in_words_and_tokens_are_no_markup(drawn: Drawing) -> None:
    (svg,) = svgs(drawn)
    assert svg.get("role") == "group" and svg.get("aria-label") == drawn.alt
    assert "6 edges join 7 nodes at 2 tokens, 6 with a positive and 0" in drawn.alt
    for name, node in nodes_of(svg).items():
        assert node.get("aria-label") == title(node) and node.get("tabindex") == "0"
        role = {"a0.h1": ", mover", "a1.h2": ", relation"}.get(name.partition("@")[0], "")
        token = "<b>" if name.endswith("@1") else "of"
        assert f"at “{token}” (token {int(name[-1]) + 1}){role}: edges in" in title(node)
    assert "<b> " not in drawn.html and "&lt;b&gt;" in drawn.html
    assert "mover head" in drawn.html and "mixture head" not in drawn.html
    assert "6</b> strongest edges for “right” over “wrong” (all 6: 100% of" in drawn.html
    assert rules_outside(drawn) == []


def test_negative_edges_are_dashed_and_faint_attention_is_no_link(wired) -> None:
    edges, links = wired
    turned = edges.assign(score=edges["score"] * np.where(edges["source"] == "m0", -1, 1))
    (svg,) = svgs(attribution_graph(turned, TOKENS, 2, 4, links.assign(share=[0.04, 0.9])))
    for edge in edges_of(svg):
        negative = edge.get("data-s") == "m0@2"
        assert ("neg" in classes(edge)) == ("d1" in classes(edge)) == negative
    (link,) = [e for e in svg.iter("path") if "link" in classes(e)]
    assert link.get("data-a") == "a1.h2@1"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"position": 3}, r"read at position 3; the prompt has positions 0 to 2"),
        ({"target": "m0"}, r"repeated rows"),
        ({"source": "logits"}, "starts at a reader"),
        ({"source": "a0.h9"}, "outside of 2 layers with 4 heads"),
        ({"score": np.nan}, "not finite"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(wired, change: dict, message: str) -> None:
    edges = wired[0].copy()
    if "target" in change:
        edges = pd.concat([edges, edges.head(1)])
    else:
        edges.loc[1, list(change)] = list(change.values())
    with pytest.raises(KcError, match=message):
        attribution_graph(edges, TOKENS, 2, 4)
    with pytest.raises(KcError, match="The prompt has 65 tokens"):
        attribution_graph(wired[0], ["x"] * 65, 2, 4)


@pytest.mark.browser
@pytest.mark.slow
def test_slider_keyboard_and_phone(browser, drawn: Drawing, tmp_path: Path) -> None:
    page, wrong = browser.new_page(viewport={"width": 390, "height": 800}), []
    watch(page, wrong)
    with page:
        drawn.save(tmp_path / "page.html")
        page.goto((tmp_path / "page.html").as_uri())
        assert page.evaluate(OVERFLOW) == 0
        node = page.locator('.n[data-n="a0.h1@2"]')
        label, links = node.get_attribute("aria-label"), page.locator(".link:visible")
        assert links.count() == 2 and page.locator(".link.on").count() == 0
        node.focus()
        assert page.locator(".say").text_content().startswith(label)
        assert page.locator(".link.on").count() == 1
        assert page.locator('.n.on[data-n="a0.h1@1"]').count() == 1, "the other end of the link"
        page.keyboard.press("ArrowUp")
        assert page.evaluate("document.activeElement.dataset.n") in {"m0@2", "a1.h2@2"}
        page.keyboard.press("Escape")
        page.locator("input").fill("4")  # without what the head brings to a1.h2
        assert page.locator(".e:visible").count() == 4
        assert page.locator(".n:visible").count() == 6 and links.count() == 1
        assert node.get_attribute("aria-label") != label
    assert wrong == []
