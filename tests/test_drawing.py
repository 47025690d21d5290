"""Circuit drawings: the right edges in the right place, words for all, one refusal per mistake."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import plot_tables as tables
import pytest
from drawings import (
    classes,
    contrast,
    edges_of,
    names,
    nodes_of,
    points,
    rules_outside,
    svgs,
    title,
)

from kc_utils.book.figures import keep
from kc_utils.config import profiles
from kc_utils.errors import KcError
from kc_utils.plots import Drawing, circuit_drawing, circuit_drawing_pair, training_loss
from kc_utils.plots.interactive.figure import COLOURS, PAPERS, style_sheet
from kc_utils.runs.folder import Run


@pytest.fixture(scope="module")
def small() -> Drawing:
    return circuit_drawing(tables.edges(), 6, 4, strongest=12, nodes=tables.node_roles())


def test_the_strongest_edges_are_drawn_and_the_widest_lies_on_top(small: Drawing) -> None:
    table, (svg,) = tables.edges(), svgs(small)
    top = table.loc[table["score"].abs().sort_values(ascending=False).index]
    wanted = list(zip(top["source"], top["target"], strict=True))
    assert [names(e) for e in edges_of(svg)] == wanted[:12][::-1]
    assert [names(e) for e in edges_of(svg, everything=True)] == wanted[::-1]


def test_the_slider_reaches_200_edges_or_all_there_are() -> None:
    many = tables.edges(12, 12, 300)
    drawing = circuit_drawing(many, 12, 12)
    assert len(edges_of(svgs(drawing)[0], everything=True)) == 200
    assert 'min="1" max="200" value="40"' in drawing.html
    assert 'max="60" value="60"' in circuit_drawing(tables.edges(), 6, 4, strongest=500).html
    assert 'max="250" value="250"' in circuit_drawing(many, 12, 12, strongest=250).html


def test_width_is_proportional_to_the_score(small: Drawing) -> None:
    score = tables.edges().set_index(["source", "target"])["score"].abs()
    widths = [(float(e.get("stroke-width")), score[names(e)]) for e in edges_of(svgs(small)[0])]
    ratios = [width / value for width, value in widths]
    assert max(ratios) / min(ratios) == pytest.approx(1, abs=0.02)
    thin = circuit_drawing(tables.edges().assign(score=[1.0] + [1e-6] * 59), 6, 4)
    assert min(float(e.get("stroke-width")) for e in edges_of(svgs(thin)[0])) == 0.8


def test_colour_is_the_sign_or_the_reader_and_dashes_are_negative(small: Drawing) -> None:
    score = tables.edges().set_index(["source", "target"])["score"]
    by_reader = circuit_drawing(tables.edges(), 6, 4, strongest=60, colour="reader")
    for edge in edges_of(svgs(small)[0]):
        assert ("neg" in classes(edge)) == ("d1" in classes(edge)) == (score[names(edge)] < 0)
        assert ("pos" in classes(edge)) == (score[names(edge)] > 0)
    seen = set()
    for edge in edges_of(svgs(by_reader)[0]):
        target = edge.get("data-t")
        reader = target[-2] if ">" in target else {"m": "mlp"}.get(target[0], target)
        assert reader in classes(edge) and ("d1" in classes(edge)) == (score[names(edge)] < 0)
        seen.add(reader)
    assert seen == {"q", "k", "v", "mlp", "logits"}


@pytest.mark.parametrize(("n_layers", "n_heads"), [(6, 4), (24, 16)])
def test_edges_go_upwards_and_reach_a_head_as_q_k_v(n_layers: int, n_heads: int) -> None:
    drawing = circuit_drawing(tables.edges(n_layers, n_heads), n_layers, n_heads, strongest=60)
    for edge in edges_of(svgs(drawing)[0]):
        start, *_, end = points(edge)
        assert end[1] < start[1]
    ports = [("m0", f"a3.h1<{x}>", 1.0) for x in "vkq"]
    frame = pd.DataFrame(ports, columns=["source", "target", "score"])
    (svg,) = svgs(circuit_drawing(frame, n_layers, n_heads))
    arrival = {e.get("data-t"): points(e)[-1] for e in edges_of(svg)}
    q, k, v = (arrival[f"a3.h1<{x}>"] for x in "qkv")
    assert q[0] < k[0] < v[0] and q[1] == k[1] == v[1]


def test_every_node_of_the_graph_has_its_place() -> None:
    (svg,) = svgs(circuit_drawing(tables.edges(), 6, 4, strongest=60))
    heads, mlps = (p for p in svg.iter("path") if "dots" in classes(p))
    assert (heads.get("d").count("M"), mlps.get("d").count("M")) == (24, 6)
    at = {}
    for name, node in nodes_of(svg).items():
        at[name] = [float(v) for v in re.findall(r"[\d.]+", node.get("transform"))]
    assert at["logits"][1] < at["m5"][1] < at["a5.h0"][1] < at["m4"][1] < at["a0.h0"][1]
    assert at["a0.h0"][1] < at["input"][1]
    assert at["a5.h0"][0] == at["a0.h0"][0] < at["a0.h1"][0] < at["a0.h3"][0] < at["m0"][0]


@pytest.mark.parametrize(
    ("n_layers", "n_heads", "named"), [(6, 4, True), (12, 12, True), (24, 16, False)]
)
def test_names_stand_in_the_nodes_only_where_there_is_room(
    n_layers: int, n_heads: int, named: bool
) -> None:
    drawing = circuit_drawing(tables.edges(n_layers, n_heads), n_layers, n_heads, strongest=60)
    nodes = nodes_of(svgs(drawing)[0])
    inside = {name for name, node in nodes.items() if node.find("text") is not None}
    assert inside == (set(nodes) if named else {"input", "logits"})
    assert all(title(node).startswith(name) for name, node in nodes.items())


def test_hover_text_says_what_the_table_says(small: Drawing) -> None:
    table = tables.edges()
    order = table["score"].abs().sort_values(ascending=False).index
    top = table.loc[order[:12]]
    (svg,) = svgs(small)
    second, total = top.iloc[1], table["score"].abs().sum()
    assert title(edges_of(svg)[-2]) == (
        f"{second['source']} → {second['target']}: score {second['score']:+.3g}, rank 2, "
        f"{abs(second['score']) / total:.1%} of total |score|"
    )
    roles = tables.node_roles().set_index("node")["role"]
    for name, node in nodes_of(svg).items():
        into = top[top["target"].str.replace(r"<.>", "", regex=True) == name]["score"].abs()
        out = top[top["source"] == name]["score"].abs()
        head = f"{name}, {roles[name]}" if name in roles else name
        facts = f"{head}: edges in {len(into)}, edges out {len(out)}, total |score| "
        assert title(node) == node.get("aria-label")
        assert title(node).startswith(facts)
        assert float(title(node).removeprefix(facts)) == pytest.approx(
            into.sum() + out.sum(), abs=1e-3
        )
        assert node.get("tabindex") == "0"
        idle = not len(into) and not len(out) and name not in ("input", "logits")
        assert ("off" in classes(node)) == idle


def test_roles_have_a_shape_a_colour_and_a_legend(small: Drawing) -> None:
    for name in ("mover", "relation", "mixture"):
        assert f'<g class="role {name}"' in small.html
    assert "mover head (subject)" in small.html
    assert "mover head" not in circuit_drawing(tables.edges(), 6, 4).html


def test_the_drawing_has_a_sentence_for_those_who_cannot_see_it(small: Drawing) -> None:
    (svg,) = svgs(small)
    top = tables.edges().loc[lambda t: t["score"].abs().nlargest(12).index]
    joined = {*top["source"], *top["target"].str.replace(r"<.>", "", regex=True)}
    words = f"join {len(joined)} nodes, {(top['score'] > 0).sum()} with a positive"
    assert svg.get("aria-label") == small.alt
    assert f"the 12 strongest edges {words}" in small.alt
    assert circuit_drawing(tables.edges(), 6, 4, alt="Just this.").alt == "Just this."


def _checkpoints() -> tuple[pd.DataFrame, pd.DataFrame]:
    first = tables.edges(n=20).assign(score=np.linspace(2, 1, 20))
    second = pd.concat([first.iloc[5:], tables.edges(n=20, stream=4).iloc[:3]])
    return first, second.drop_duplicates(["source", "target"]).assign(score=1.0)


def test_a_pair_tells_kept_vanished_and_appeared_edges() -> None:
    first, second = _checkpoints()
    drawing = circuit_drawing_pair(first, second, 6, 4, titles=("epoch 0", "epoch 9"))
    keys = [set(zip(t["source"], t["target"], strict=True)) for t in (first, second)]
    own = [{"gone", "d2"}, {"new", "d1"}]
    for i, svg in enumerate(svgs(drawing)):
        assert len(edges_of(svg)) == len(keys[i])
        for edge in edges_of(svg):
            looks = set(classes(edge)) - {"e"}
            assert looks == ({"kept"} if names(edge) in keys[1 - i] else own[i])
    text = re.sub("<[^>]+>", "", drawing.html)
    assert "epoch 0: 15 kept, 5 vanished" in text and "epoch 9: 15 kept, 3 appeared" in text
    assert "15 kept, 5 vanished" in drawing.alt and "15 kept, 3 appeared" in drawing.alt


def test_an_edge_is_kept_only_when_it_is_among_the_strongest_of_both() -> None:
    first, second = _checkpoints()
    drawing = circuit_drawing_pair(first, second, 6, 4, strongest=6)
    both = set(zip(first["source"][:6], first["target"][:6], strict=True))
    both &= set(zip(second["source"][:6], second["target"][:6], strict=True))
    assert len(both) == 1
    for svg in svgs(drawing):
        assert [names(e) for e in edges_of(svg) if "kept" in classes(e)] == list(both)
        assert len(edges_of(svg)) == 6


def test_the_same_table_gives_the_same_bytes_under_an_id_of_its_own(small: Drawing) -> None:
    again = circuit_drawing(tables.edges(), 6, 4, strongest=12, nodes=tables.node_roles())
    assert again == small
    identifier = re.findall(r' id="(kc-[0-9a-f]{12})"', small.html)
    assert len(identifier) == 1
    for other in (
        circuit_drawing(tables.edges(), 6, 4, strongest=13, nodes=tables.node_roles()),
        circuit_drawing(tables.edges(), 6, 4, strongest=12),
        circuit_drawing(tables.edges(), 6, 4, strongest=12, alt="Another sentence."),
    ):
        assert identifier[0] not in other.html


def test_the_style_reaches_nothing_outside_of_the_drawing(small: Drawing) -> None:
    assert rules_outside(small) == []
    assert rules_outside(Drawing(small.html.replace("</style>", "p {}</style>"), "")) == ["\np "]
    assert "http" not in small.html and "url(" not in small.html and "@import" not in small.html


def test_words_from_outside_are_escaped() -> None:
    nasty = '</p><script>"alert"</script>&'
    first, second = _checkpoints()
    drawing = circuit_drawing_pair(first, second, 6, 4, titles=(nasty, "b"), alt=nasty)
    assert nasty not in drawing.html and nasty not in drawing.page()
    assert drawing.html.count("<script>") == 1
    assert "&lt;script&gt;&quot;alert&quot;&lt;/script&gt;&amp;" in drawing.html
    assert len(svgs(drawing)) == 2  # still well-formed


def test_200_edges_of_gpt2_small_take_less_than_150_kilobytes() -> None:
    drawing = circuit_drawing(tables.edges(12, 12, 200), 12, 12, strongest=200)
    assert len(drawing.html.encode()) < 150_000


def test_a_drawing_is_kept_as_a_whole_page(small: Drawing, tmp_path: Path) -> None:
    run = Run(tmp_path, {"config": profiles.load("smoke").model_dump(mode="json")})
    assert keep(run, "circuit", small) is small
    figure = training_loss(tables.losses())
    assert keep(run, "loss", figure) is figure
    kept = {p.name: p.read_text("utf-8") for p in (tmp_path / "figures").iterdir()}
    assert set(kept) == {"circuit.html", "loss.svg"}
    assert kept["circuit.html"].startswith("<!DOCTYPE html>") and small.html in kept["circuit.html"]
    assert small._repr_html_() == small.html and len(repr(small)) < 400


def _changed(**columns: object) -> pd.DataFrame:
    return tables.edges().iloc[:3].assign(**columns)


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda d: d(tables.edges().drop(columns="score")), r"lacks the column\(s\) score"),
        (lambda d: d(tables.edges().iloc[:0]), "empty"),
        (lambda d: d(pd.concat([tables.edges()] * 2)), "60 repeated rows"),
        (lambda d: d(_changed(source=["b1", "m0", "m1"])), "'b1' is no node name"),
        (lambda d: d(_changed(source=["a9.h0", "m0", "m1"], target="logits")), "outside of 6"),
        (lambda d: d(_changed(source="a0.h4", target=["m1", "m2", "m3"])), "with 4 heads"),
        (lambda d: d(_changed(source="m3", target=["m4", "m2", "m5"])), "the reader comes first"),
        (lambda d: d(_changed(source="m0", target=["m4", "a1.h1", "m5"])), "ends at a writer"),
        (lambda d: d(_changed(source=["m0", "m1", "a0.h0<q>"], target="m5")), "starts at a reader"),
        (lambda d: d(_changed(score=[1.0, float("nan"), 0.5])), "is nan; it must be finite"),
        (lambda d: d(tables.edges(), strongest=0), "strongest is 0; it must be at least 1"),
    ],
)
def test_impossible_requests_say_what_is_allowed(draw: Callable, words: str) -> None:
    def single(table: pd.DataFrame, **extra: int) -> Drawing:
        return circuit_drawing(table, 6, 4, **extra)

    def pair(table: pd.DataFrame, **extra: int) -> Drawing:
        return circuit_drawing_pair(tables.edges(), table, 6, 4, **extra)

    for function in (single, pair):
        with pytest.raises(KcError, match=words):
            draw(function)


def test_unknown_colours_and_roles_are_refused() -> None:
    with pytest.raises(KcError, match="allowed are sign, reader"):
        circuit_drawing(tables.edges(), 6, 4, colour="red")
    boss = tables.node_roles().assign(role="boss")
    with pytest.raises(KcError, match="'boss'; allowed are mover"):
        circuit_drawing(tables.edges(), 6, 4, nodes=boss)
    with pytest.raises(KcError, match="outside of 2 layers"):
        circuit_drawing(tables.edges(2, 4, 9), 2, 4, nodes=tables.node_roles())


@pytest.mark.parametrize("theme", [0, 1])
def test_lines_and_words_stand_out_in_light_and_dark(theme: int) -> None:
    ratio = {name: contrast(pair[theme], PAPERS[theme]) for name, pair in COLOURS.items()}
    back = [ratio.pop(name) for name in ("dot", "grid")]
    assert min(ratio.values()) > 3 and min(ratio["ink"], ratio["mute"]) > 4.5
    assert max(back) < 3  # the check can fail, and what is not in the circuit stays back


def test_every_colour_of_the_style_sheets_is_one_of_the_palette() -> None:
    used = set(re.findall(r"var\(--([\w-]+)", style_sheet("drawing", "slides", "controls")))
    own = {"c", "least", "paper"}  # set on elements of the figure
    theirs = {"pst-color-background", "jp-layout-color0"}  # of the page around it
    assert used - own - theirs <= set(COLOURS) and set(COLOURS) <= used
