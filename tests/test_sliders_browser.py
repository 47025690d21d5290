"""Figures with a slider in a browser: keyboard, play, links, themes, phones, no script, paper."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from drawings import (
    NAMES,
    circuit_table,
    classes,
    edges_of,
    figure,
    frames,
    nodes_of,
    svgs,
    title,
)
from playwright.sync_api import Browser, Page, expect
from watching import OVERFLOW, watch

from kc_utils.plots import circuit_drawing_epochs
from kc_utils.plots.interactive.attention import CIRCUITSVIS, circuitsvis_source

pytestmark = [pytest.mark.browser, pytest.mark.slow]

STATE = """() => [...document.querySelectorAll('.kc-slides')].map(f =>
  [...f.querySelectorAll('.panels path, .panels g')].map(
    e => ['d', 'transform', 'class'].map(name => e.getAttribute(name)).join()).join())"""
PAPER = "getComputedStyle(document.querySelector('.kc-slides')).backgroundColor"

Open = Callable[..., Page]


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Open figures in one page; at the end nothing may have gone wrong or asked for the network."""
    wrong, contexts = [], []

    def opened(*names: str, head: str = "", width: int = 900, **options: object) -> Page:
        path = tmp_path / "page.html"
        bodies = "".join(figure(name).html for name in names)
        path.write_text(f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">{head}'
                        f'<meta name="viewport" content="width=device-width"></head><body>{bodies}'
                        "</body></html>", encoding="utf-8")  # fmt: skip
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, **options))
        page = contexts[-1].new_page()
        allowed = tmp_path.as_uri()
        watch(page, wrong, lambda url: url.startswith(allowed))
        page.goto(path.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def told(page: Page, at: int = 0) -> str:
    return page.locator(".told").nth(at).text_content()


def ranges(page: Page):
    return page.locator(".time [type=range]")


@pytest.mark.parametrize("name", NAMES)
def test_arrow_keys_change_the_figure_and_what_it_says(show: Open, name: str) -> None:
    page = show(name)
    slider, before = ranges(page).first, (page.evaluate(STATE), told(page))
    page.keyboard.press("Tab")
    assert slider.evaluate("e => document.activeElement === e")
    assert slider.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"  # focus is visible
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    steps = frames(figure(name))["steps"]
    assert slider.input_value() == str(len(steps) - 3)
    assert page.locator("output").text_content() == steps[-3]
    assert slider.get_attribute("aria-valuetext") == steps[-3]
    after = (page.evaluate(STATE), told(page))
    assert after[0] != before[0] and after[1] != before[1]
    if sentences := frames(figure(name))["told"]:
        assert after[1] == sentences[-3]
    page.keyboard.press("End")
    assert (page.evaluate(STATE), told(page)) == before  # back to what was drawn without a script
    page.keyboard.press("Home")
    assert ranges(page).first.input_value() == "0"


def test_the_slider_draws_the_circuit_that_a_new_drawing_would(show: Open) -> None:
    page, table = show("circuit"), circuit_table()
    for at, strongest in ((12, 40), (12, 15), (3, 15)):
        ranges(page).fill(str(at))
        page.locator(".slide input").fill(str(strongest))
        fresh = circuit_drawing_epochs(table[table["epoch"] <= at], 6, 4, strongest)
        (svg,) = svgs(fresh)
        wanted = {}
        for e in edges_of(svg):
            wanted[e.get("data-s"), e.get("data-t")] = (sorted(classes(e)), title(e))
        seen = page.evaluate("""() => [...document.querySelectorAll('.circuit .e:not(.off)')].map(
            e => [e.dataset.s, e.dataset.t, e.getAttribute('class'), e.textContent])""")
        assert {(s, t): (sorted(c.split()), text) for s, t, c, text in seen} == wanted
        nodes = page.evaluate("""() => [...document.querySelectorAll('.circuit .n:not(.off)')].map(
            n => [n.dataset.n, n.getAttribute('aria-label')])""")
        labels = {n: title(e) for n, e in nodes_of(svg).items() if "off" not in classes(e)}
        digits = r"(?<=score. )[\d.]+"  # as many as the last epoch needs
        assert {n: re.sub(digits, "", text) for n, text in nodes} == {
            n: re.sub(digits, "", text) for n, text in labels.items()
        }
        assert fresh.alt.endswith(told(page))
    ranges(page).fill("0")
    assert "Nothing comes before this checkpoint" in told(page)
    assert page.locator(".circuit .e.new:visible, .circuit .came").count() == 0


def test_play_goes_on_to_the_end_and_stops(show: Open) -> None:
    page = show("entropy")
    page.clock.install()
    button, slider = page.locator(".time button"), ranges(page).first
    button.click()
    assert (slider.input_value(), button.text_content()) == ("0", "Pause")
    assert page.locator(".told").get_attribute("aria-live") == "off"
    page.clock.run_for(2_200)
    assert slider.input_value() == "3"
    button.click()
    page.clock.run_for(5_000)
    assert (slider.input_value(), button.text_content()) == ("3", "Play")
    assert page.locator(".told").get_attribute("aria-live") == "polite"
    button.click()
    page.clock.run_for(30_000)
    assert (slider.input_value(), button.text_content()) == ("20", "Play")
    button.click()
    page.clock.run_for(1_500)
    slider.press("ArrowRight")  # a hand on the slider stops it
    at = slider.input_value()
    page.clock.run_for(5_000)
    assert (slider.input_value(), button.text_content()) == (at, "Play")


def test_nothing_plays_for_those_who_want_less_motion(show: Open) -> None:
    page = show("entropy", reduced_motion="reduce")
    button = page.locator(".time button")
    assert not button.is_visible()
    button.evaluate("b => b.click()")
    assert ranges(page).first.input_value() == "20"
    ranges(page).first.press("ArrowLeft")
    assert told(page).startswith("Epoch 19")


def test_figures_on_one_page_do_not_interfere_until_they_are_linked(show: Open) -> None:
    page = show("entropy", "lens", "activation", "circuit", "entropy", "attention")
    before = page.evaluate(STATE)
    ranges(page).nth(1).fill("4")
    after = page.evaluate(STATE)
    assert [a != b for a, b in zip(after, before, strict=True)] == [False, True] + [False] * 4
    links = page.locator(".link input")
    assert links.count() == 5 and all(link.is_visible() for link in links.all())
    links.nth(2).check()
    assert all(link.is_checked() for link in links.all())
    ranges(page).nth(0).fill("7")
    values = [slider.input_value() for slider in ranges(page).all()]
    assert values == ["7"] * 5 + ["7"]  # the last is the eighth of eight tokens, untouched
    assert all("Epoch 7" in told(page, i) for i in range(5))
    links.nth(4).uncheck()
    ranges(page).nth(0).fill("9")
    assert ranges(page).nth(1).input_value() == "7"


def test_a_figure_alone_offers_no_link(show: Open) -> None:
    assert not show("entropy", "attention").locator(".link").is_visible()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_leaves_a_narrow_screen(show: Open, name: str) -> None:
    page = show(name, name, width=390)
    assert page.evaluate(OVERFLOW) == 0
    for part in page.locator(".panel, .circuit, .time *:visible").all():
        box = part.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    size = """e => { const m = e.getCTM();
        return parseFloat(getComputedStyle(e).fontSize) * Math.hypot(m.a, m.b); }"""
    sizes = [text.evaluate(size) for text in page.locator(".panel text").all()[:40]]
    assert all(s > 9 for s in sizes)
    page.evaluate("document.body.style.width = '1200px'")
    assert page.evaluate(OVERFLOW) > 0  # the check can fail


@pytest.mark.parametrize("name", ["lens", "circuit"])
def test_light_and_dark_follow_the_page_or_the_system(show: Open, name: str) -> None:
    light, dark = "rgb(255, 255, 255)", "rgb(20, 24, 30)"
    for system, expected in (("light", light), ("dark", dark)):
        page = show(name, color_scheme=system)
        assert page.evaluate(PAPER) == expected
        for theme, there in (("light", light), ("dark", dark)):
            page.evaluate("t => document.documentElement.dataset.theme = t", theme)
            assert page.evaluate(PAPER) == there


@pytest.mark.parametrize("name", NAMES)
def test_without_scripts_the_last_step_is_there_and_no_dead_control(show: Open, name: str) -> None:
    page = show(name, java_script_enabled=False)
    assert page.locator("input:visible, button:visible").count() == 0
    assert page.locator(".panels svg").first.is_visible() and len(told(page)) > 40


def test_paper_shows_the_figure_without_its_controls(show: Open) -> None:
    page = show("activation", "attention")
    page.emulate_media(media="print")
    assert page.locator("input:visible, button:visible").count() == 0
    assert page.locator(".panel:visible").count() == 6


def test_circuitsvis_is_loaded_once_and_only_on_request(show: Open, tmp_path: Path) -> None:
    static = tmp_path / "_static"
    static.mkdir()
    (static / "book.css").write_text("")
    (static / CIRCUITSVIS).write_text(circuitsvis_source(), encoding="utf-8")
    head = '<link rel="stylesheet" href="_static/book.css">'
    page = show("attention", "attention", head=head, width=390)
    asked = []
    page.on("request", lambda r: asked.append(Path(r.url).name))
    assert page.locator("canvas").count() == 0 and page.locator(".more:visible").count() == 2
    for button in page.locator(".more button").all():
        button.click()
    expect(page.locator("canvas")).to_have_count(10)  # four small maps and a large one, twice
    assert asked == [CIRCUITSVIS]
    assert page.locator(".image").first.get_attribute("role") == "img"
    assert page.evaluate(OVERFLOW) == 0


def test_where_circuitsvis_is_not_at_hand_it_is_not_offered(show: Open) -> None:
    page = show("attention")
    assert page.locator(".more").count() == 1 and not page.locator(".more").is_visible()
