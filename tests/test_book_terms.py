"""In the built book, the first plain use of every glossary term on a page leads to the glossary."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from bs4 import BeautifulSoup, NavigableString, Tag

from kc_utils.book import contents as book_chapters

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
GLOSSARY = "book/glossary.html"
#: Headings, code, formulas, captions, tables, names in lists of definitions: no running prose.
NOT_PROSE = ["h1", "h2", "h3", "h4", "h5", "h6", "code", "pre", "math", "table", "figcaption", "dt",
             "svg", "script", "style", "iframe", "button", "summary", "figure"]  # fmt: skip


def late_links(article: Tag, terms: dict[str, str]) -> list[str]:
    """Terms (text -> anchor) whose first use in running prose is no link to their anchor."""
    texts = list(_prose(article))
    names = sorted(terms, key=len, reverse=True)
    inside = {term: [t for t in names if t != term and term.lower() in t.lower()] for term in names}
    late = []
    for term in names:
        longer = re.compile("|".join(map(_wanted, inside[term]))) if inside[term] else None
        for text, link in texts:
            left = longer.sub(" ", text) if longer else text
            linked = link is not None and link.endswith(f"#{terms[term]}")
            if linked:
                break
            if link is None and re.search(_wanted(term), left):
                late.append(f"{term}: {' '.join(text.split())[:80]}")
                break
    return late


def _prose(article: Tag) -> Iterator[tuple[str, str | None]]:
    """Pieces of running prose in order, with the address if they are a link."""
    for node in article.descendants:
        if not isinstance(node, NavigableString) or node.find_parent(NOT_PROSE):
            continue
        link = node.find_parent("a")
        if link is None and node.find_parent(["p", "li", "dd"]):
            if node.find_parent(class_="citation") or node.find_parent(class_="admonition-title"):
                continue
            yield str(node), None
        elif link is not None:
            yield str(node), str(link.get("href", ""))


def _wanted(term: str) -> str:
    spaced = r"\s+".join(re.escape(word) for word in term.split())
    first = f"[{term[0].upper()}{term[0].lower()}]" if term[0].isalpha() else re.escape(term[0])
    return rf"(?<![\w@-]){first}{spaced[len(re.escape(term[0])) :]}(?![\w@-])"


@pytest.fixture(scope="module")
def book(built_book: Path) -> dict[str, BeautifulSoup]:
    """The pages of the contents, parsed."""
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    files = [contents["root"], *(entry["file"] for _, entry in book_chapters.entries(contents))]
    return {
        f"{file}.html": BeautifulSoup(
            (built_book / f"{file}.html").read_text("utf-8"), "html.parser"
        )
        for file in files
    }


def test_first_uses_lead_to_the_glossary(book) -> None:
    explicit = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["sphinx"]["config"][
        "first_terms_explicit"
    ]
    terms = {
        "".join(dt.find_all(string=True, recursive=False)).strip(): str(dt["id"])
        for dt in book[GLOSSARY].select("dl.glossary dt[id]")
    }
    terms = {name: anchor for name, anchor in terms.items() if name not in explicit}
    assert len(terms) > 40
    late = {
        page: found
        for page, soup in book.items()
        if page != GLOSSARY and (found := late_links(soup.select_one("article.bd-article"), terms))
    }
    assert late == {}


def test_a_first_use_that_is_no_link_is_seen() -> None:
    html = (
        "<article><h1>An edge</h1><p>The {0} of an edge activation ratio, <code>node</code>.</p>"
        '<p>A <a href="g.html#term-node">node</a> and an <a href="g.html#term-edge">edge</a>.</p>'
    )
    terms = {"edge": "term-edge", "node": "term-node", "edge activation ratio": "term-ratio"}
    found = [
        late_links(BeautifulSoup(html.format(word), "html.parser").article, terms)
        for word in ("thing", "Edge")
    ]
    assert [[late.partition(":")[0] for late in page] for page in found] == [
        ["edge activation ratio"], ["edge activation ratio", "edge"],
    ]  # fmt: skip
