"""The whole book in one file in a real browser, opened from disk; and pages as they are printed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from screens import DESK, LOW_CONTRAST, PHONE
from watching import OVERFLOW, watch

from kc_utils.book.whole_book import NAME

pytestmark = pytest.mark.browser

MOST_BYTES = 40 * 2**20
SHOWN = "name => [...document.querySelectorAll(name)].filter(e => e.getClientRects().length).length"
FOLDED = "() => document.querySelectorAll('details:not([open])').length"
# Anchors that are linked and missing, and names that are used twice.
UNRESOLVED = """() => {
  const ids = [...document.querySelectorAll('[id]')].map(e => e.id), known = new Set(ids);
  const links = [...document.querySelectorAll('a[href^="#"]')];
  const lost = links.map(a => a.getAttribute('href').slice(1)).filter(id => !known.has(id));
  return [...lost, ...ids.filter((id, i) => ids.indexOf(id) !== i)].slice(0, 10);
}"""
# Colour of the text of a paragraph.
INK = "() => getComputedStyle(document.querySelector('article p')).color"


@pytest.fixture(scope="module")
def alone(built_book: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file in a folder of its own, as somebody would keep it."""
    folder = tmp_path_factory.mktemp("alone")
    return Path(shutil.copy(built_book / NAME, folder))


@pytest.fixture(scope="module")
def opened(browser: Browser, alone: Path) -> Iterator[tuple[Page, list[str]]]:
    """The page in the browser, and what went wrong or was asked for on the way."""
    trouble: list[str] = []
    with browser.new_context(viewport={"width": DESK, "height": 900}) as context:
        page = context.new_page()
        watch(page, trouble, lambda url: not _loaded(url, alone))
        page.goto(alone.as_uri(), wait_until="load", timeout=120_000)
        yield page, trouble


def _loaded(url: str, alone: Path) -> bool:
    return not url.startswith(("data:", "blob:", "about:")) and url != alone.as_uri()


def test_it_is_one_file_of_bearable_size(alone: Path, opened) -> None:
    assert alone.stat().st_size < MOST_BYTES
    assert opened[1] == []


def test_every_link_inside_it_leads_somewhere(opened) -> None:
    assert opened[0].evaluate(UNRESOLVED) == []


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_it_fits_the_screen(opened, width: int) -> None:
    page = opened[0]
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate(OVERFLOW) <= 0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_its_text_can_be_read(opened, theme: str) -> None:
    opened[0].emulate_media(color_scheme=theme)
    assert opened[0].evaluate("document.documentElement.dataset.theme") == theme
    assert opened[0].evaluate(LOW_CONTRAST) == []


def test_nothing_is_folded_in_it(opened) -> None:
    assert opened[0].evaluate(FOLDED) == 0


def test_paper_is_white_whatever_the_theme(browser: Browser, built_book: Path) -> None:
    page = browser.new_page(color_scheme="dark")
    page.goto((built_book / "notebooks" / "05_performance.html").as_uri())
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    on_screen = page.evaluate(INK), page.evaluate(SHOWN, ".bd-sidebar-primary")
    page.emulate_media(media="print")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    on_paper = page.evaluate(INK), page.evaluate(SHOWN, ".bd-sidebar-primary")
    assert on_paper == ("rgb(0, 0, 0)", 0) and on_screen[0] != "rgb(0, 0, 0)" and on_screen[1]
    assert page.evaluate(SHOWN, "article figure img") and page.evaluate(LOW_CONTRAST) == []
    page.emulate_media(media="screen")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.close()
