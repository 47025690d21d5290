"""The built book in a real browser: offline, on a phone and on a desk, in light and dark."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlparse

import pytest
import yaml
from bs4 import BeautifulSoup
from playwright.sync_api import Browser, Page, Request
from screens import DESK, LOW_CONTRAST, PHONE
from watching import OVERFLOW, watch

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parent.parent
HEAVIEST = 3_000_000  # bytes that a page may load, all of its files together

# Formulas without a size, without an alternative text, or left as LaTeX.
UNRENDERED_MATH = """() => {
  const bad = [];
  for (const box of document.querySelectorAll('article span.math, article div.math')) {
    const math = box.querySelector('math');
    const size = math ? math.getBoundingClientRect() : {width: 0, height: 0};
    if (!(size.width > 2 && size.height > 4 && math.getAttribute('alttext')))
      bad.push(box.textContent.slice(0, 80));
  }
  const text = document.querySelector('article')?.cloneNode(true);
  text?.querySelectorAll('pre, code, math, script').forEach(e => e.remove());
  const left = text?.textContent.match(/\\\\(frac|sum|text|begin)|\\$\\$|\\\\\\(/);
  return left ? [...bad, left[0]] : bad;
}"""
# Text whose contrast with its background is below WCAG AA (4.5, or 3 when large).


@dataclass
class Visit:
    """What one page did in the browser."""

    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    overflow: dict[int, int] = field(default_factory=dict)
    math: list[str] = field(default_factory=list)
    n_math: int = 0
    contrast: dict[str, list[str]] = field(default_factory=dict)
    loaded: set[str] = field(default_factory=set)


@pytest.fixture(scope="session")
def visits(browser: Browser, address: str, pages: dict[str, BeautifulSoup]) -> dict[str, Visit]:
    """Each page opened once, measured at two widths and in two themes."""
    result = {}
    with browser.new_context(viewport={"width": DESK, "height": 900}) as context:
        for name in sorted(pages.keys() - {"index.html"}):  # it only leads to the front page
            with context.new_page() as page:
                result[name] = _visit(page, address, name)
    return result


def _visit(page: Page, address: str, name: str) -> Visit:
    visit = Visit()
    _watch(page, address, visit)
    page.set_viewport_size({"width": DESK, "height": 900})
    page.goto(address + name, wait_until="load")
    visit.math = page.evaluate(UNRENDERED_MATH)
    visit.n_math = page.locator("article math").count()
    visit.overflow[DESK] = page.evaluate(OVERFLOW)
    page.set_viewport_size({"width": PHONE, "height": 900})
    visit.overflow[PHONE] = page.evaluate(OVERFLOW)
    for theme in ("light", "dark"):
        page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
        visit.contrast[theme] = page.evaluate(LOW_CONTRAST)
    return visit


def _watch(page: Page, address: str, visit: Visit) -> None:
    def request(request: Request) -> None:
        if not request.url.startswith((address, "data:", "blob:")):
            visit.outside.append(request.url)
        visit.loaded.add(request.url)

    page.on("request", request)
    watch(page, visit.errors)
    page.route(lambda url: not url.startswith(address), lambda route: route.abort())


def _bad(visits: dict[str, Visit], name: str) -> dict[str, object]:
    return {page: value for page, v in visits.items() if (value := getattr(v, name))}


def test_every_page_of_the_contents_is_there(pages) -> None:
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    files = [c["file"] for part in contents["parts"] for c in part["chapters"]]
    assert {f"{file}.html" for file in [contents["root"], *files]} <= set(pages)
    assert "index.html" in pages and "search.html" in pages


def test_no_page_reports_an_error(visits) -> None:
    assert _bad(visits, "errors") == {}


def test_no_request_leaves_the_machine(visits) -> None:
    assert _bad(visits, "outside") == {}


def test_a_request_that_leaves_the_machine_is_seen(browser, address) -> None:
    page, visit = browser.new_page(), Visit()
    _watch(page, address, visit)
    page.goto("about:blank")  # pages of the book have a policy that forbids it
    page.evaluate("() => fetch('http://192.0.2.1/font.woff2').catch(() => null)")
    page.close()
    assert visit.outside == ["http://192.0.2.1/font.woff2"]


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_no_page_is_wider_than_the_screen(visits, width) -> None:
    assert {page: v.overflow[width] for page, v in visits.items() if v.overflow[width] > 0} == {}


def test_no_page_is_heavy(visits, built_book, address) -> None:
    def weight(visit: Visit) -> int:
        names = (urlparse(url).path.lstrip("/") for url in visit.loaded if url.startswith(address))
        return sum((built_book / unquote(name)).stat().st_size for name in set(names))

    weights = {page: weight(visit) for page, visit in visits.items()}
    assert min(weights.values()) > 100_000, "style sheets and scripts are part of the weight"
    assert {page: w for page, w in weights.items() if w > HEAVIEST} == {}


@pytest.mark.parametrize("name", ["book/index.html", "notebooks/03_circuit_discovery.html"])
def test_pages_open_from_disk(browser, built_book, name) -> None:
    page, errors = browser.new_page(), []
    watch(page, errors)
    page.goto((built_book / name).as_uri(), wait_until="load")
    styled = page.evaluate("getComputedStyle(document.querySelector('article')).display")
    page.close()
    assert errors == [] and styled != "inline"


def test_all_formulas_are_drawn(visits) -> None:
    assert _bad(visits, "math") == {}
    assert visits["book/method.html"].n_math > 10


def test_an_undrawn_formula_is_seen(browser) -> None:
    page = browser.new_page()
    page.set_content(r"<article><span class='math'>x</span><p>\frac{1}{2}</p></article>")
    assert page.evaluate(UNRENDERED_MATH) == ["x", r"\frac"]
    page.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out_from_its_background(visits, theme) -> None:
    assert {page: v.contrast[theme] for page, v in visits.items() if v.contrast[theme]} == {}


def test_faint_text_is_seen(browser) -> None:
    page = browser.new_page()
    page.set_content("<article><p style='color:#999'>faint</p><p>clear</p></article>")
    found = page.evaluate(LOW_CONTRAST)
    page.close()
    assert len(found) == 1 and "faint" in found[0]


def test_no_internal_link_is_broken(pages, built_book) -> None:
    broken = []
    anchors = {name: _anchors(soup) for name, soup in pages.items()}
    for name, soup in pages.items():
        for target in _targets(soup):
            path, fragment = urldefrag(urljoin(name, target))
            path = unquote(path).partition("?")[0] or name
            if not (built_book / path).is_file():
                broken.append(f"{name}: {target}")
            elif fragment and path in anchors and unquote(fragment) not in anchors[path]:
                broken.append(f"{name}: {target} (no such anchor)")
    assert broken == []


def _targets(soup: BeautifulSoup) -> set[str]:
    links = {tag.get("href") for tag in soup.find_all(["a", "link"])}
    links |= {tag.get("src") for tag in soup.find_all(["img", "script"])}
    return {link for link in links if link and not urlparse(link).scheme and link != "#"}


def _anchors(soup: BeautifulSoup) -> set[str]:
    return {tag[key] for key in ("id", "name") for tag in soup.find_all(attrs={key: True})}


def test_images_have_words_for_those_who_cannot_see_them(pages) -> None:
    silent = []
    for name, soup in pages.items():
        for image in soup.find_all("img"):
            alternative = image.get("alt", "").strip()
            inside = image.find_parent("article") is not None
            if not alternative or (inside and not _is_sentence(alternative)):
                silent.append(f"{name}: {image.get('src')} {alternative!r}")
    assert silent == []


def _is_sentence(text: str) -> bool:
    return len(text) >= 20 and len(text.split()) >= 4 and text[0].isupper() and text[-1] in ".!?"


def test_figures_are_numbered_and_captioned(pages) -> None:
    notebooks = {n: s for n, s in pages.items() if n.startswith("notebooks/")}
    figures = [f for soup in notebooks.values() for f in soup.find_all("figure")]
    assert figures
    for figure in figures:
        caption = figure.find("figcaption")
        assert caption and caption.find(class_="caption-number"), str(figure)[:200]
        assert len(caption.find(class_="caption-text").get_text(strip=True)) > 20


def test_exercises_show_the_stub_and_fold_the_rest(pages) -> None:
    shown = {n: s for n, s in pages.items() if n.startswith("notebooks/exercises/")}
    assert len(shown) == 6
    for name, soup in shown.items():
        folded = soup.find("article").find_all("details", class_=False)
        labels = [d.find("summary").get_text() for d in folded]
        assert labels == ["Hint", "Common mistakes", "Solution"] * (len(labels) // 3), name
        assert not [d for d in folded if d.has_attr("open")]
        assert soup.get_text().count("Passed. A plausible wrong") == len(labels) // 3 > 2
        code = [pre.get_text() for pre in soup.select("article .cell_input pre")]
        assert sum("raise NotImplementedError" in text for text in code) == len(labels) // 3


def test_search_finds_a_glossary_term(browser, address) -> None:
    page = browser.new_page()
    page.goto(address + "search.html?q=faithfulness")
    page.wait_for_selector("#search-results a[href*='glossary']", timeout=15_000)
    page.close()


def test_launch_buttons_open_this_project(pages) -> None:
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["repository"]
    path = urlparse(config["url"]).path
    links = [a["href"] for a in pages["notebooks/05_performance.html"].find_all("a", href=True)]
    binder = [link for link in links if "mybinder.org" in link]
    colab = [link for link in links if "colab.research" in link]
    assert binder and f"/gh{path}/{config['branch']}" in binder[0]
    assert "notebooks/05_performance.ipynb" in binder[0]
    assert colab and f"/github{path}/blob/{config['branch']}/.colab/start.ipynb" in colab[0]
    assert (ROOT / ".colab" / "start.ipynb").is_file()
