"""Figures with a slider: frames are the table's numbers, the last is drawn, mistakes are named."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from xml.etree import ElementTree

import drawings
import numpy as np
import pandas as pd
import plot_tables as tables
import pytest
from drawings import (
    EPOCHS,
    NAMES,
    classes,
    edges_of,
    figure,
    frames,
    is_line_through,
    names,
    nodes_of,
    rules_outside,
    svgs,
    title,
)

from kc_utils.book.figures import keep
from kc_utils.config import profiles
from kc_utils.errors import KcError
from kc_utils.plots import (
    activation_slider,
    attention_figure,
    circuit_drawing_epochs,
    entropy_slider,
    lens_slider,
)
from kc_utils.plots.interactive.attention import circuitsvis_props, circuitsvis_source
from kc_utils.plots.interactive.axes import nice
from kc_utils.runs.folder import Run


def test_a_wrong_number_is_not_on_the_line() -> None:
    values = np.linspace(0, 1, 21)
    assert is_line_through(values, 100 * values) and not is_line_through(values, values**2 * 100)


def test_entropy_rings_move_along_the_table() -> None:
    table, moves = drawings.entropy_table(), frames(figure("entropy"))["moves"]
    lines = [moves[3 * band + 1 + kind] for band in range(3) for kind in range(2)]
    cells = [(b, k) for b in tables.BANDS for k in tables.KINDS]
    for (x, y), (band, kind) in zip(lines, cells, strict=True):
        part = table[(table["band"] == band) & (table["kind"] == kind)].sort_values("epoch")
        assert is_line_through(part["epoch"].to_numpy(float), np.array(x))
        assert is_line_through(part["entropy"].to_numpy(), np.array(y))
    assert [moves[0][0], moves[3][0]] == [lines[0][0], lines[0][0]]  # the cursors go along


def test_activation_profiles_are_the_rows_of_the_table() -> None:
    table, lines = drawings.activation_table(), frames(figure("activation"))["lines"]
    assert len(lines) == 2 * 3  # random circuits, first epoch, epoch of the slider
    for i, kind in enumerate(tables.KINDS):
        grid = table[table["kind"] == kind].pivot(index="epoch", columns="layer", values="ratio")
        area, first, now = (np.array(x) for x, _ in lines[3 * i : 3 * i + 3])
        assert is_line_through(grid.to_numpy().ravel(), now.ravel())
        assert (first == now[0]).all()
        assert (area[:, :7] < area[:, :6:-1]).all()
        height = lines[3 * i + 2][1]
        assert (np.diff(height) < 0).all() and len(height) == 7  # deep layers on top


def test_lens_lines_are_the_rows_of_the_table() -> None:
    table, lines = drawings.lens_table(), frames(figure("lens"))["lines"]
    cells = [(k, b, c) for k in tables.KINDS for b in tables.BANDS
             for c in ("log10_rank", "probability")]  # fmt: skip
    assert len(lines) == 2 * len(cells)
    for (first, now), (kind, band, column) in zip(
        zip(lines[::2], lines[1::2], strict=True), cells, strict=True
    ):
        part = table[(table["kind"] == kind) & (table["band"] == band)]
        grid = part.pivot(index="epoch", columns="layer", values=column).to_numpy()
        units = np.array(now[1])
        assert is_line_through(grid.ravel(), units.ravel())
        assert (np.array(first[1]) == units[0]).all()
        better = np.argmin(grid[-1]) if column == "log10_rank" else np.argmax(grid[-1])
        assert units[-1].argmin() == better  # the best is on top


@pytest.mark.parametrize("name", ["entropy", "activation", "lens"])
def test_every_epoch_has_its_sentence_with_numbers_of_the_table(name: str) -> None:
    told = frames(figure(name))["told"]
    assert len(told) == len(EPOCHS) and all(t.startswith(f"Epoch {e}") for e, t in enumerate(told))
    assert len(set(told)) == len(EPOCHS) and all(t[-1] == "." for t in told)
    entropy = drawings.entropy_table().query("epoch == 7 and band == 'low' and kind == 'K_rel'")
    lens = drawings.lens_table().query("epoch == 7 and band == 'low' and layer == 6")
    ratio = drawings.activation_table().query("epoch == 7 and kind == 'K_compl'")["ratio"]
    rank = 10 ** lens["log10_rank"].iloc[0]
    wanted = {
        "entropy": f"low band: K_rel {entropy['entropy'].iloc[0]:.2f}",
        "activation": f"({ratio.max():.2f})",
        "lens": f"low band {rank:,.0f} ({lens['probability'].iloc[0]:.2f})",
    }
    assert wanted[name] in told[7] and wanted[name] not in told[20]


def test_the_circuit_of_every_epoch_is_the_table_by_rank() -> None:
    table, found = drawings.circuit_table(), frames(figure("circuit"))
    (svg,) = svgs(figure("circuit"))
    edges = [names(e) for e in edges_of(svg, everything=True)][::-1]
    assert len(edges) == len(set(edges))
    for epoch, frame in enumerate(found["circuit"]):
        part = table[table["epoch"] == epoch]
        top = part.loc[part["score"].abs().sort_values(ascending=False).index[:100]]
        assert [edges[i] for i, _ in frame] == list(zip(top["source"], top["target"], strict=True))
        assert [s for _, s in frame] == pytest.approx(top["score"].tolist(), rel=1e-3)
        assert found["totals"][epoch] == pytest.approx(part["score"].abs().sum(), rel=1e-3)


def test_the_circuit_marks_what_came_and_went() -> None:
    table = drawings.circuit_table()
    keys = []
    for epoch in (19, 20):
        part = table[table["epoch"] == epoch]
        top = part.loc[part["score"].abs().nlargest(40).index]
        keys.append(set(zip(top["source"], top["target"], strict=True)))
    (svg,) = svgs(figure("circuit"))
    looks: dict[str, set] = {"kept": set(), "new": set(), "gone": set()}
    for edge in edges_of(svg):
        (look,) = set(classes(edge)) & set(looks)
        looks[look].add(names(edge))
    assert looks["kept"] == keys[0] & keys[1]
    assert looks["new"] == keys[1] - keys[0] and looks["gone"] == keys[0] - keys[1]
    assert looks["new"] and looks["gone"]
    ends = [{n for s, t in k for n in (s, re.sub("<.>", "", t))} for k in keys]
    marked = {
        css: {n for n, node in nodes_of(svg).items() if css in classes(node)}
        for css in ("came", "went")
    }
    assert marked == {"came": ends[1] - ends[0], "went": ends[0] - ends[1]}
    said = [title(e) for e in edges_of(svg) if "gone" in classes(e)]
    assert all("not among the strongest now" in t or int(re.search(r"rank (\d+)", t)[1]) > 40
               for t in said)  # fmt: skip
    count = f"{len(keys[1] - keys[0])} came since epoch 19, and {len(keys[0] - keys[1])} went"
    assert count in figure("circuit").html and count in figure("circuit").alt


def test_attention_sentences_name_what_is_read_most() -> None:
    told, values = frames(figure("attention"))["told"], drawings.patterns()
    for row, sentence in enumerate(told):
        for head, pattern in zip(drawings.HEADS, values, strict=True):
            most = int(pattern[row].argmax())
            words = f"{head} reads “{drawings.TOKENS[most].strip()}” {pattern[row, most]:.2f}"
            assert words in sentence.replace("&lt;", "<")


@pytest.mark.parametrize("name", NAMES)
def test_without_a_script_the_last_step_is_drawn(name: str) -> None:
    drawing, found = figure(name), frames(figure(name))
    body = drawing.html.replace("&lt;", "<").replace("&gt;", ">").replace("&#x27;", "'")
    if found["told"]:
        assert f'aria-live="polite">{found["told"][-1]}</p>' in body
    for panel in re.findall(r'<svg class="panel".*?</svg>', drawing.html, flags=re.DOTALL):
        root = ElementTree.fromstring(panel)
        assert root.get("role") == "img" and root.get("aria-label")
        for group in (g for g in root.iter("g") if g.get("data-line") is not None):
            x, y = found["lines"].pop(0)
            x, y = (v[-1] if isinstance(v[0], list) else v for v in (x, y))
            drawn = re.findall(r"-?[\d.]+", group[0].get("d"))
            assert [float(v) for v in drawn] == [v for pair in zip(x, y, strict=True) for v in pair]
        for group in (g for g in root.iter("g") if g.get("data-move") is not None):
            x, y = found["moves"].pop(0)
            assert group.get("transform") == f"translate({x[-1]:g} {y[-1]:g})"
    assert found["lines"] == found["moves"] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_is_small_complete_and_closed(name: str) -> None:
    drawing = figure(name)
    assert len(drawing.html.encode()) < 150_000
    assert '<input type="range"' in drawing.html and drawing.html.count('aria-live="polite"') == 1
    assert not re.search(r"https?://|url\(|@import|\son\w+=", drawing.html)
    assert len(drawing.alt) > 60 and drawing.alt[-1] == "."
    assert rules_outside(drawing) == []


def test_the_same_table_gives_the_same_bytes_and_another_one_another_id() -> None:
    draw = [
        lambda t: entropy_slider(t, tables.shift()), activation_slider, lens_slider,
        lambda t: circuit_drawing_epochs(t, 6, 4),
    ]  # fmt: skip
    made = [drawings.entropy_table, drawings.activation_table, drawings.lens_table,
            drawings.circuit_table]  # fmt: skip
    identifiers = set()
    for name, function, table in zip(NAMES, draw, made, strict=False):
        assert function(table()).html == figure(name).html
        shorter = function(table().query("epoch < 20"))
        identifiers |= {re.search(r'id="(kc-\w+)"', d.html)[1] for d in (figure(name), shorter)}
    assert len(identifiers) == 8


def test_tables_without_kinds_and_bands_make_one_panel() -> None:
    for function, table in (
        (entropy_slider, drawings.entropy_table()[["epoch", "entropy", "kind", "band"]]),
        (activation_slider, drawings.activation_table().drop(columns=["low", "high"])),
        (lens_slider, drawings.lens_table()),
    ):
        one = table[table["kind"] == "K_rel"].drop(columns="kind")
        one = one[one["band"] == "high"].drop(columns="band") if "band" in one else one
        assert function(one).html.count('<svg class="panel"') == 1


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda: entropy_slider(drawings.entropy_table().iloc[1:]),
         "The entropy of K_rel, high has no row for epoch 0; every line needs all of the epochs"),
        (lambda: activation_slider(drawings.activation_table().query(
            "not (epoch == 3 and kind == 'K_compl')")),
         "ratio of K_compl has no row for epoch 3"),
        (lambda: lens_slider(drawings.lens_table().query("not (epoch > 18 and band == 'low')")),
         "K_rel, low has no row for epoch 19, 20"),
        (lambda: entropy_slider(drawings.entropy_table().drop(columns="entropy")), "lacks"),
        (lambda: activation_slider(pd.concat([drawings.activation_table()] * 2)), "repeated rows"),
        (lambda: lens_slider(drawings.lens_table().iloc[:0]), "is empty"),
        (lambda: circuit_drawing_epochs(drawings.circuit_table(60, 1), 6, 4),
         "needs two epochs or more; the table has epoch 0 only"),
        (lambda: circuit_drawing_epochs(drawings.circuit_table(60, 2), 2, 4),
         "outside of 2 layers"),
        (lambda: attention_figure(drawings.patterns(), drawings.TOKENS[:-1], drawings.HEADS),
         r"needs the shape \(4, 7, 7\)"),
        (lambda: attention_figure(2 * drawings.patterns(), drawings.TOKENS, drawings.HEADS),
         "shares between 0 and 1"),
        (lambda: attention_figure(np.zeros((1, 65, 65)), ["a"] * 65, ["a0.h0"]), "has 65 tokens"),
    ],
)  # fmt: skip
def test_impossible_requests_are_refused_in_one_sentence(draw: Callable, words: str) -> None:
    with pytest.raises(KcError, match=words):
        draw()


def test_words_from_outside_are_escaped() -> None:
    nasty = '</script><script>"x"</script>&'
    drawing = attention_figure(drawings.patterns(1), [nasty] * 8, [nasty], alt=nasty)
    assert nasty not in drawing.html and drawing.html.count("<script>") == 1
    assert frames(drawing)["steps"][0] == f"1: {nasty}"


def test_a_figure_is_kept_as_a_whole_page(tmp_path) -> None:
    run = Run(tmp_path, {"config": profiles.load("smoke").model_dump(mode="json")})
    assert keep(run, "entropy", figure("entropy")) is figure("entropy")
    page = (tmp_path / "figures" / "entropy.html").read_text("utf-8")
    assert page.startswith("<!DOCTYPE html>") and figure("entropy").html in page


def test_ticks_are_round_and_reach_around_the_values() -> None:
    for low, high in ((4.2, 6.9), (0.0, 0.37), (0.0, 1.0), (5.0, 5.0)):
        values = [v for v, _ in nice(low, high)]
        assert values[0] <= low and values[-1] >= high and 2 <= len(values) <= 7


def test_circuitsvis_comes_from_its_package_and_asks_no_network(monkeypatch) -> None:
    monkeypatch.setattr("urllib.request.urlopen", lambda *a, **k: pytest.fail("network asked"))
    props = circuitsvis_props(
        drawings.patterns(2), ["a", "</script>", *"cdefgh"], ["a1.h0, mover head", "b"]
    )
    assert "</script>" not in props and json.loads(props)["tokens"][1] == "</script>"
    assert json.loads(props)["attentionHeadNames"] == ["a1.h0", "b"]
    assert "sourceMappingURL" not in circuitsvis_source()
    assert len(circuitsvis_source()) > 1_000_000  # why pages do not carry it
