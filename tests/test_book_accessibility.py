"""The built book for people who use a keyboard or a screen reader: axe-core in Chromium."""

from __future__ import annotations

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SERIOUS = {"serious", "critical"}
RULES = {"resultTypes": ["violations"]}  # contrast in the dark theme: tests/test_book_browser.py
# Most of axe's time goes into the contrast of text, and most text of a page looks the same. So of
# texts that agree in colour, size, weight and all that lies behind them, the first is looked at.
MARK_SEEN = """() => {
  const grounds = new Map(), seen = new Set();
  const ground = e => {
    if (!e) return '';
    if (!grounds.has(e)) {
      const s = getComputedStyle(e);
      grounds.set(e, [ground(e.parentElement), s.backgroundColor, s.backgroundImage, s.opacity,
                      s.mixBlendMode, s.filter].join(' '));
    }
    return grounds.get(e);
  };
  for (const e of document.querySelectorAll('body *')) {
    if (e.childElementCount || !e.textContent.trim() || !e.getClientRects().length) continue;
    const s = getComputedStyle(e);
    const look = [ground(e), s.color, s.fontSize, s.fontWeight, s.textShadow, s.position].join('|');
    e.toggleAttribute('data-seen', seen.has(look));
    seen.add(look);
  }
}"""
ONCE = "axe.configure({rules: [{id: 'color-contrast', selector: '*:not([data-seen])'}]});"
AXE = Axe(AXE_SCRIPT + ";" + ONCE)
# The element with the focus: which it is, whether it is on the screen, whether it looks focused.
FOCUS = """() => {
  const e = document.activeElement, box = e.getBoundingClientRect(), style = getComputedStyle(e);
  const ring = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
  const stroke = parseFloat(getComputedStyle(e.querySelector('.box') ?? e).strokeWidth) > 3;
  return {tag: e.tagName, text: (e.innerText || e.ariaLabel || e.title || '').trim().slice(0, 40),
          seen: box.width > 0 && box.bottom > 0 && box.top < innerHeight,
          marked: ring || style.boxShadow !== 'none' || (e.matches('svg *') && stroke)};
}"""


def violations(page: Page) -> list[str]:
    """Serious violations on a page: rule, how many elements, the first of them."""
    page.evaluate(MARK_SEEN)
    found = AXE.run(page, options=RULES).response["violations"]
    return [
        f"{v['id']} ({len(v['nodes'])}): {v['help']}: {v['nodes'][0]['html'][:150]}"
        for v in found
        if v["impact"] in SERIOUS
    ]


def test_no_serious_violation(browser, address, pages) -> None:
    bad = {}
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        for name in sorted(pages.keys() - {"index.html"}):  # it only leads to the front page
            with context.new_page() as page:
                page.goto(address + name, wait_until="load")
                found = violations(page)
            if found:
                bad[name] = found
    assert not bad, "\n".join(f"{name}: {found}" for name, found in bad.items())


def test_a_violation_is_seen(browser) -> None:
    page = browser.new_page()
    page.set_content("<html lang='en'><title>t</title><main><img src='a.png'><button></button>")
    found = [v.split(" ")[0] for v in violations(page)]
    page.close()
    assert {"image-alt", "button-name"} <= set(found)


def test_every_look_of_text_is_looked_at_once(browser) -> None:
    clear, faint = "<p>clear</p>" * 20, "<p style='color: #aaa'>faint</p>" * 20
    grounds = "<div style='background: #666'>{}</div>", "<div style='opacity: 0.4'>{}</div>"
    texts = clear + faint + "".join(ground.format(clear) for ground in grounds)
    page = browser.new_page()
    page.set_content(f"<html lang='en'><title>t</title><main><h1>t</h1>{texts}</main>")
    found = violations(page)
    page.close()
    assert [v.partition(":")[0] for v in found] == ["color-contrast (3)"]


def test_the_keyboard_reaches_everything_and_shows_where_it_is(browser, address) -> None:
    page = browser.new_page()
    page.goto(address + "notebooks/03_circuit_discovery.html", wait_until="load")
    page.keyboard.press("Tab")
    assert "skip to main content" in page.evaluate(FOCUS)["text"].lower()
    page.keyboard.press("Enter")
    stops = []
    for _ in range(40):
        page.keyboard.press("Tab")
        stops.append(page.evaluate(FOCUS))
    page.close()
    lost = [stop for stop in stops if not (stop["seen"] and stop["marked"])]
    assert lost == [], "focus that cannot be seen"
    assert all(stop["tag"] != "BODY" for stop in stops)
