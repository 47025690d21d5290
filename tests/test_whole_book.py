"""The whole book in one file: it needs nothing beside it, and its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from kc_utils.book.whole_book import NAME, write_whole_book
from kc_utils.errors import KcError

PAGE = """\
<html><head><link rel="stylesheet" href="../_static/book.css?digest=1"></head><body>
<nav>not wanted</nav><article class="bd-article"><section id="{id}"><h1>{title}
<a class="headerlink" href="#{id}">#</a></h1>{body}</section></article></body></html>
"""
FIRST = """\
<p id="same">See <a href="two.html#same">there</a>, <a href="two.html">page</a>,
<a href="#same">here</a>, <a href="https://example.org/x">out</a>,
<a href="../genindex.html">index</a>.</p>
<a class="whole-book" href="../whole-book.html">self</a>
<details class="toggle"><summary>Show</summary>
<p aria-describedby="same other">hidden</p></details>
<img src="../_images/a.svg" alt="A picture of nothing."><button>Copy</button>
"""


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """Two pages as Jupyter Book leaves them, with a style sheet and an image."""
    for folder in ("book", "_static", "_images"):
        (tmp_path / folder).mkdir()
    (tmp_path / "_static" / "book.css").write_text(
        "@font-face { src: url(f.woff2) } p { color: red; background: url('x.png') }"
    )
    (tmp_path / "_images" / "a.svg").write_text("<svg/>")
    pages = {"one": ("One", FIRST), "two": ("Two & more", '<p id="same">Second.</p>')}
    for name, (title, body) in pages.items():
        text = PAGE.format(id=name, title=title, body=body)
        (tmp_path / "book" / f"{name}.html").write_text(text)
    return tmp_path


@pytest.fixture
def whole(built: Path) -> BeautifulSoup:
    path = write_whole_book(built, ["book/one", "book/two"], "A book")
    assert path == built / NAME
    return BeautifulSoup(path.read_text("utf-8"), "html.parser")


def unresolved(soup: BeautifulSoup) -> list[str]:
    """Links into the file that lead nowhere, and names that are used twice."""
    ids = [tag["id"] for tag in soup.find_all(id=True)]
    links = [a["href"].removeprefix("#") for a in soup.find_all("a", href=re.compile("^#"))]
    return [x for x in links if x not in ids] + [x for x in set(ids) if ids.count(x) > 1]


def outside(text: str) -> list[str]:
    """Files that a page would load: images, scripts, style sheets, fonts."""
    soup = BeautifulSoup(text, "html.parser")
    loaded = [tag.get("src", "") for tag in soup.find_all(["img", "script", "iframe", "source"])]
    loaded += [tag.get("href", "") for tag in soup.find_all("link")]
    styles = "".join(tag.get_text() for tag in soup.find_all("style"))
    loaded += re.findall(r"url\(['\"]?([^)'\"]+)", styles)
    return [name for name in loaded if name and not name.startswith(("data:", "#"))]


def test_pages_follow_in_order_with_a_table_of_contents(whole: BeautifulSoup) -> None:
    assert [s["id"] for s in whole.select("section.page")] == ["book-one", "book-two"]
    entries = whole.select("nav a")
    assert [(a["href"], a.get_text()) for a in entries] == [
        ("#book-one", "One"), ("#book-two", "Two & more"),
    ]  # fmt: skip
    assert "not wanted" not in whole.get_text()


def test_links_lead_into_the_file_or_out_of_the_book(whole: BeautifulSoup) -> None:
    links = {a.get_text(): a["href"] for a in whole.select("section.page a")}
    assert links == {
        "there": "#book-two--same", "page": "#book-two", "here": "#book-one--same",
        "out": "https://example.org/x", "index": "genindex.html",
    }  # fmt: skip
    assert unresolved(whole) == []


def test_its_policy_lets_nothing_be_fetched(whole: BeautifulSoup) -> None:
    first = whole.head.find_all(["meta", "style", "script", "link"])[1]
    assert first["http-equiv"] == "Content-Security-Policy"  # after the character set
    assert first["content"].startswith("default-src 'none'; ")
    allowed = first["content"].split()
    assert not {"'self'", "*", "http:", "https:", "file:"} & set(allowed)


def test_nothing_is_folded_and_nothing_is_loaded(built: Path, whole: BeautifulSoup) -> None:
    assert whole.select_one("details").has_attr("open")
    assert whole.select_one("[aria-describedby]")["aria-describedby"] == "book-one--same other"
    assert not whole.select("button, .headerlink, .toggle, a.whole-book")
    assert whole.img["src"].startswith("data:image/svg+xml;base64,")
    assert outside((built / NAME).read_text()) == []


def test_what_is_loaded_or_leads_nowhere_is_seen(built: Path) -> None:
    page = (built / "book" / "one.html").read_text()
    assert outside(page) == ["../_images/a.svg", "../_static/book.css?digest=1"]
    broken = BeautifulSoup('<i id="a"></i><i id="a"></i><a href="#b">x</a>', "html.parser")
    assert unresolved(broken) == ["b", "a"]


@pytest.mark.parametrize(
    ("file", "message"),
    [("book/two.html", "two.html is missing"), ("_images/a.svg", "a.svg is missing")],
)
def test_a_missing_part_is_named_and_nothing_is_written(built: Path, file, message) -> None:
    (built / file).unlink()
    with pytest.raises(KcError, match=message):
        write_whole_book(built, ["book/one", "book/two"], "A book")
    assert not (built / NAME).exists()
