"""The built book in the dark theme: sheets of figures vanish in the page, tables lie on it."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator

import pytest
from drawings import DARK_PAGE
from PIL import Image
from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.browser

WHITE = "#ffffff"
DRAWN = "article figure img[src*='.svg']"
PAGES = ["notebooks/06_topology.html", "book/index.html"]


@pytest.fixture(scope="module")
def opened(browser, address) -> Iterator[dict[str, Page]]:
    """Pages with figures, a bitmap in the first figure of each."""
    buffer = io.BytesIO()
    Image.new("RGB", (60, 40), "white").save(buffer, format="png")
    source = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    pages = {}
    for name in PAGES:
        page = pages[name] = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(address + name, wait_until="load")
        page.evaluate(
            """source => document.querySelector("article figure img[src*='.svg']")
            .insertAdjacentHTML("afterend", `<img id="bitmap" alt="" src="${source}">`)""",
            source,
        )
    yield pages
    for page in pages.values():
        page.close()


def theme(page: Page, name: str) -> None:
    page.evaluate("name => document.documentElement.dataset.theme = name", name)


def corner(image: Locator) -> str:
    """The colour at the upper left corner of a picture."""
    image.scroll_into_view_if_needed()
    box = image.bounding_box()
    clip = {"x": box["x"] + 3, "y": box["y"] + 3, "width": 2, "height": 2}
    pixel = Image.open(io.BytesIO(image.page.screenshot(clip=clip))).convert("RGB")
    return "#" + bytes(pixel.getpixel((0, 0))).hex()


@pytest.mark.parametrize("name", PAGES)
def test_sheets_are_the_page_in_both_themes(opened, name) -> None:
    page = opened[name]
    figure, bitmap = page.locator(DRAWN).first, page.locator("#bitmap")
    for look, ground in (("light", WHITE), ("dark", DARK_PAGE)):
        theme(page, look)
        body = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert body == "rgb({}, {}, {})".format(*bytes.fromhex(ground[1:]))
        assert corner(figure) == ground
        assert corner(bitmap) == WHITE  # a picture that is not drawn stays as it is


def test_paper_is_white_in_the_dark_theme_too(opened) -> None:
    page = opened[PAGES[0]]
    theme(page, "dark")
    page.emulate_media(media="print")
    try:
        assert corner(page.locator(DRAWN).first) == WHITE
    finally:
        page.emulate_media(media="screen")


def test_without_its_rule_a_figure_would_be_a_sheet(opened) -> None:
    page = opened[PAGES[0]]
    theme(page, "dark")
    figure = page.locator(DRAWN).first
    figure.evaluate("e => { e.style.filter = 'none'; e.style.mixBlendMode = 'normal'; }")
    assert corner(figure) == WHITE
    figure.evaluate("e => { e.style.filter = e.style.mixBlendMode = ''; }")
    assert corner(figure) == DARK_PAGE


def test_tables_of_cells_lie_on_the_page(opened) -> None:
    page = opened[PAGES[0]]
    theme(page, "dark")
    box = page.locator(".cell_output .text_html:has(table)").first
    ground, words = box.evaluate(
        """e => [getComputedStyle(e).backgroundColor,
        [...e.querySelectorAll('caption, th, td')].map(c => getComputedStyle(c).color)]"""
    )
    assert ground == "rgba(0, 0, 0, 0)"
    assert len(words) > 10 and all(min(map(int, w[4:-1].split(", "))) > 160 for w in words)
