"""Circuit drawings in a real browser: slider, pointer, keyboard, themes, phones, no script."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import plot_tables as tables
import pytest
from drawings import nodes_of, svgs, title
from playwright.sync_api import Browser, Page
from watching import OVERFLOW, watch

from kc_utils.plots import Drawing, circuit_drawing, circuit_drawing_pair

pytestmark = [pytest.mark.browser, pytest.mark.slow]

EDGES = ".circuit .e:visible"
OPACITY = "e => Number(getComputedStyle(e).opacity)"
SHOWN = """() => [...document.querySelectorAll('.circuit .n')].map(
  n => [n.dataset.n, n.getAttribute('aria-label'), n.classList.contains('off')])"""

Open = Callable[..., Page]


def single(strongest: int = 12) -> Drawing:
    return circuit_drawing(tables.edges(), 6, 4, strongest, nodes=tables.node_roles())


def pair(strongest: int = 20) -> Drawing:
    first = tables.edges()
    scale = np.random.default_rng([8, 1]).lognormal(0, 1, len(first))
    second = first.assign(score=first["score"] * scale)
    return circuit_drawing_pair(first, second, 6, 4, strongest)


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Open a saved drawing; at the end nothing may have gone wrong or asked for the network."""
    wrong, contexts = [], []

    def opened(drawing: Drawing, html: str = "", width: int = 900, **options: object) -> Page:
        path = tmp_path / "drawing.html"
        drawing.save(path)
        if html:
            path.write_text(html, encoding="utf-8")
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, **options))
        page = contexts[-1].new_page()
        watch(page, wrong, lambda url: url == path.as_uri())
        page.goto(path.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def slide(page: Page, n: int) -> None:
    page.locator("input").first.fill(str(n))


def test_the_slider_draws_what_a_new_drawing_would(show: Open) -> None:
    page = show(single(12))
    for n in (12, 1, 37, 60):
        slide(page, n)
        assert page.locator(EDGES).count() == n
        fresh = nodes_of(svgs(single(n))[0])
        seen = {name: (label, off) for name, label, off in page.evaluate(SHOWN)}
        assert {name for name, (_, off) in seen.items() if not off} == {
            name for name, node in fresh.items() if "off" not in node.get("class")
        }
        assert all(seen[name][0] == title(node) for name, node in fresh.items())
        assert page.locator(".count").all_text_contents() == [str(n)] * 2


def test_the_slider_of_a_pair_counts_anew(show: Open) -> None:
    page = show(pair(20))
    for n in (20, 5, 45):
        slide(page, n)
        fresh = pair(n)
        tallies = page.locator(".tally").all_text_contents()
        assert all(f"({tally})" in fresh.alt for tally in tallies) and len(tallies) == 2
        for side in (0, 1):
            for look in ("kept", "gone d2", "new d1"):
                css = ".".join(["", "e", *look.split()])
                panel = page.locator(".circuit").nth(side)
                wanted = sum(e.get("class") == f"e {look}" for e in svgs(fresh)[side].iter("path"))
                assert panel.locator(f"{css}:visible").count() == wanted


def test_focus_lights_up_the_edges_of_a_node_and_dims_the_others(show: Open) -> None:
    page = show(single(30))
    node = page.locator('.n[data-n="m0"]')
    mine = page.locator('.circuit .e[data-s="m0"]:visible, .circuit .e[data-t="m0"]:visible')
    everything = page.locator(EDGES)
    assert {e.evaluate(OPACITY) for e in everything.all()} == {0.8}
    for light, rest in ((node.focus, node.blur), (node.hover, lambda: page.mouse.move(1, 1))):
        light()
        on = [e for e in everything.all() if e.evaluate(OPACITY) == 1]
        assert len(on) == mine.count() > 0
        assert {e.evaluate(OPACITY) for e in everything.all()} == {0.07, 1}
        assert page.locator(".say").text_content().startswith(node.get_attribute("aria-label"))
        rest()
        assert {e.evaluate(OPACITY) for e in everything.all()} == {0.8}
        assert page.locator(".say").text_content().startswith("Point at")


def test_a_focused_node_looks_different(show: Open) -> None:
    page = show(single())
    box = page.locator('.n[data-n="a5.h0"] > .box')
    width = "e => parseFloat(getComputedStyle(e).strokeWidth)"
    before = box.evaluate(width)
    page.locator('.n[data-n="a5.h0"]').focus()
    assert box.evaluate(width) > before + 1


def test_an_edge_can_be_tapped_near_its_line(show: Open) -> None:
    page = show(single(1), has_touch=True)
    edge = page.locator(EDGES)
    at = edge.evaluate(
        """e => { const p = e.getPointAtLength(e.getTotalLength() / 2);
        const q = new DOMPoint(p.x, p.y).matrixTransform(e.getScreenCTM()); return [q.x, q.y]; }"""
    )
    page.touchscreen.tap(at[0] + 4, at[1])
    assert page.locator(".say").text_content() == edge.locator("title").text_content()
    assert edge.evaluate(OPACITY) == 1
    page.locator(".keys").tap()
    assert page.locator(".say").text_content().startswith("Point at")


def test_the_tab_key_stops_once_and_arrows_go_from_node_to_node(show: Open) -> None:
    page = show(single(40))
    focused = "document.activeElement.dataset.n"
    page.keyboard.press("Tab")  # the slider
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == "input"
    seen = []
    for key in ("ArrowUp", "ArrowUp", "ArrowRight", "ArrowLeft", "ArrowDown"):
        page.keyboard.press(key)
        seen.append(page.evaluate(focused))
    assert None not in seen and "off" not in page.evaluate(
        "document.activeElement.className.baseVal"
    )
    assert seen[1] != seen[0] and seen[3] == seen[1] and seen[4] == seen[0]
    page.keyboard.press("Escape")
    assert page.locator(".lit").count() == 0
    page.keyboard.press("Tab")
    assert page.evaluate(focused) is None


def test_one_node_lights_up_in_both_drawings_of_a_pair(show: Open) -> None:
    page = show(pair(60))
    page.locator('.n[data-n="m0"]').first.hover()
    lit = [p.locator('.n.on[data-n="m0"]').count() for p in page.locator(".circuit.lit").all()]
    assert lit == [1, 1]


@pytest.mark.parametrize("make", [single, pair])
def test_nothing_leaves_a_narrow_screen(show: Open, make: Callable[[], Drawing]) -> None:
    page = show(make(), width=390)
    assert page.evaluate(OVERFLOW) == 0
    boxes = [svg.bounding_box() for svg in page.locator(".circuit").all()]
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= 390 for box in boxes)
    if len(boxes) == 2:
        assert boxes[1]["y"] > boxes[0]["y"] + boxes[0]["height"]  # stacked
        page.set_viewport_size({"width": 900, "height": 900})
        boxes = [svg.bounding_box() for svg in page.locator(".circuit").all()]
        assert boxes[1]["y"] == boxes[0]["y"] and boxes[1]["x"] > boxes[0]["x"]
    page.evaluate("document.body.style.width = '1200px'")
    assert page.evaluate(OVERFLOW) > 0  # the check can fail


def test_light_and_dark_follow_the_page_or_the_system(show: Open) -> None:
    paper = "getComputedStyle(document.querySelector('.kc-drawing')).backgroundColor"
    light, dark = "rgb(255, 255, 255)", "rgb(20, 24, 30)"
    for system, expected in (("light", light), ("dark", dark)):
        page = show(single(), color_scheme=system)
        assert page.evaluate(paper) == expected
        for theme, there in (("light", light), ("dark", dark)):  # the book's own switch
            page.evaluate("t => document.documentElement.dataset.theme = t", theme)
            assert page.evaluate(paper) == there
        page.evaluate("delete document.documentElement.dataset.theme")
        for flag, there in (("true", light), ("false", dark)):  # JupyterLab's
            page.evaluate("f => document.body.dataset.jpThemeLight = f", flag)
            assert page.evaluate(paper) == there


def test_without_scripts_everything_is_there(show: Open) -> None:
    page = show(single(12), java_script_enabled=False)
    assert page.locator(EDGES).count() == 12
    assert page.locator("input:visible").count() == 0
    assert "rank 1," in page.locator(EDGES).last.locator("title").text_content()


def test_the_same_drawing_twice_on_a_page_works_twice(show: Open) -> None:
    drawing = single(12)
    page = show(drawing, html=f"<!DOCTYPE html><body>{drawing.html}{drawing.html}</body>")
    page.locator("input").nth(1).fill("3")
    counts = [p.locator(".e:visible").count() for p in page.locator(".circuit").all()]
    assert counts == [12, 3]
