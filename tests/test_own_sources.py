"""Pages say that they take nothing from elsewhere, before anything else, and browsers obey."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from conftest import ROOT
from sphinx.application import Sphinx

CONFIG = """\
import sys
sys.path.insert(0, {folder!r})
extensions = ["myst_parser", "own_sources"]
html_theme = "basic"
"""
ELSEWHERE = "http://192.0.2.1/data.json"
#: Asks for something elsewhere, and for something inside; what was forbidden, and what came.
ASK = """async ([elsewhere, inside]) => {
  const forbidden = [];
  document.addEventListener("securitypolicyviolation", e => forbidden.push(e.blockedURI));
  const image = new Image();
  const loaded = new Promise(r => { image.onload = () => r(true); image.onerror = r; });
  image.src = inside;
  const asked = fetch(elsewhere, {signal: AbortSignal.timeout(1000)}).catch(() => null);
  return [await loaded, await asked, forbidden];
}"""
PICTURE = "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' width='1' height='1'/>"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page that Sphinx wrote with the extension."""
    source = tmp_path_factory.mktemp("source")
    (source / "conf.py").write_text(CONFIG.format(folder=str(ROOT / "book" / "_ext")))
    (source / "index.md").write_text("# A page\n\n[A link](https://example.org)\n")
    before = list(sys.path)
    Sphinx(source, source, source / "html", source / "trees", "html", status=None).build()
    sys.path[:] = before
    return source / "html" / "index.html"


def policy(text: str) -> str:
    """The policy of a page; nothing that it could forbid stands before it."""
    named = BeautifulSoup(text, "html.parser").head.find_all(True)
    (place,) = [i for i, e in enumerate(named) if e.get("http-equiv") == "Content-Security-Policy"]
    fetching = {"script", "style", "link"}
    assert not fetching & {e.name for e in named[:place]}
    assert fetching & {e.name for e in named[place:]}
    return str(named[place]["content"])


def test_the_policy_of_a_page_comes_first_and_names_no_host(page: Path) -> None:
    allowed = policy(page.read_text())
    assert allowed.startswith("default-src 'self' ") and "http" not in allowed
    assert "*" not in allowed
    assert "own_sources: book/_ext" in (ROOT / "_config.yml").read_text()
    assert "- own_sources\n" in (ROOT / "_config.yml").read_text()


@pytest.mark.browser
def test_a_browser_fetches_nothing_from_elsewhere(page: Path, browser, tmp_path: Path) -> None:
    found = {}
    text = page.read_text()
    for name, content in (("with", text), ("without", text.replace(policy(text), "img-src data:"))):
        file = tmp_path / f"{name}.html"
        file.write_text(content)
        tab = browser.new_page()
        tab.goto(file.as_uri())
        found[name] = tab.evaluate(ASK, [ELSEWHERE, PICTURE])
        tab.close()
    assert found["with"] == [True, None, [ELSEWHERE]]
    assert ELSEWHERE not in found["without"][2]
