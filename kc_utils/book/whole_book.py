"""The whole book as one HTML file that needs nothing beside it: for disks, phones and paper.

It is put together from the pages that were built: their articles one after another, with anchors
and links inside the file, images and styles in it, and everything that can be folded open.
"""

from __future__ import annotations

import base64
import html
import mimetypes
import posixpath
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlparse

from bs4 import BeautifulSoup, Tag

from kc_utils import artifacts
from kc_utils.errors import KcError

NAME = "whole-book.html"
_POINTERS = ("href", "for", "aria-labelledby", "aria-describedby", "aria-controls", "aria-owns")
_NOT_ON_PAPER = ".headerlink, .whole-book, button, .prev-next-area"
_STYLES = re.compile(r"theme|pygments|mystnb|sphinx-design|book\.css|togglebutton|basic|copybutton")
_FILES = re.compile(r"@font-face\s*\{[^}]*\}|@import[^;]+;|url\((?!['\"]?(?:data:|#))[^)]*\)")
_THEME = (
    "const dark = matchMedia('(prefers-color-scheme: dark)');"
    "const set = on => document.documentElement.dataset.theme = on ? 'dark' : 'light';"
    "set(dark.matches); dark.addEventListener('change', e => set(e.matches));"
)
#: Nothing is fetched: everything is in the file.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; "
    "font-src data:; base-uri 'none'; form-action 'none'"
)


def write_whole_book(folder: Path, files: Sequence[str], title: str) -> Path:
    """Write ``whole-book.html`` into the folder of the built pages and return its path.

    Args:
        folder: the built book; ``<file>.html`` for each of ``files``.
        files: pages in reading order, without suffix, as in ``_toc.yml``.
        title: of the book.

    Raises:
        KcError: a page or an image is missing.
    """
    pages = [f"{file}.html" for file in files]
    parts, contents, styles = [], [], ""
    for page in pages:
        soup = _read(folder, page)
        styles = styles or _styles(folder, page, soup)
        article = soup.select_one("article.bd-article")
        if article is None:
            raise KcError(f"{folder / page} has no article, so it cannot join the whole book.")
        heading = article.find("h1")
        _inline(article, folder, page, set(pages))
        name = heading.get_text(" ", strip=True) if heading else page
        contents.append(f'<li><a href="#{_anchor(page)}">{html.escape(name)}</a></li>')
        parts.append(
            f'<section class="page" id="{_anchor(page)}">{article.decode_contents()}</section>'
        )
    text = _PAGE.format(
        title=html.escape(title), styles=styles, policy=_POLICY, theme=_THEME,
        contents="\n".join(contents), pages="\n".join(parts),
    )  # fmt: skip
    path = folder / NAME
    artifacts.write_atomically(path, lambda partial: partial.write_text(text, encoding="utf-8"))
    return path


_PAGE = """<!DOCTYPE html>
<html lang="en" data-theme="light">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}, the whole book on one page</title>
<meta name="description" content="{title}: the whole book in one file that needs no network.">
<style>{styles}</style>
<script>{theme}</script>
</head>
<body>
<main class="bd-content one-page"><article class="bd-article">
<nav aria-label="Pages of the book"><p class="book-title">{title}</p><ul>
{contents}
</ul></nav>
{pages}
</article></main>
</body>
</html>
"""


def _read(folder: Path, page: str) -> BeautifulSoup:
    path = folder / page
    if not path.is_file():
        raise KcError(f"{path} is missing, so it cannot join the whole book.")
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def _anchor(page: str, fragment: str = "") -> str:
    stem = page.removesuffix(".html").replace("/", "-")
    return f"{stem}--{fragment}" if fragment else stem


def _inline(article: Tag, folder: Path, page: str, pages: set[str]) -> None:
    """Make one article independent of its place: ids, links, images, folded parts."""
    for tag in article.select(_NOT_ON_PAPER):
        tag.decompose()
    own = {str(tag["id"]) for tag in article.find_all(id=True)}
    for tag in article.find_all(True):
        if tag.get("id"):
            tag["id"] = _anchor(page, str(tag["id"]))
        for key in _POINTERS:
            if value := tag.get(key):
                tag[key] = (
                    _link(str(value), page, pages)
                    if key == "href"
                    else _renamed(str(value), page, own)
                )
        if tag.name == "details":
            tag["open"] = ""
        if tag.name == "img":
            tag["src"] = _data(folder, page, str(tag["src"]))
        tag["class"] = [c for c in tag.get("class", []) if c not in ("toggle", "toggle-hidden")]
        if not tag["class"]:
            del tag["class"]


def _renamed(value: str, page: str, own: set[str]) -> str:
    return " ".join(_anchor(page, word) if word in own else word for word in value.split())


def _link(target: str, page: str, pages: set[str]) -> str:
    """A link to a page or an anchor of the book points into this file; others start from here."""
    if urlparse(target).scheme:
        return target
    path, fragment = urldefrag(target)
    folder = posixpath.dirname(page)
    file = posixpath.normpath(posixpath.join(folder, unquote(path))) if path else page
    if file in pages:
        return f"#{_anchor(file, unquote(fragment))}"
    return f"{file}#{fragment}" if fragment else file


def _data(folder: Path, page: str, source: str) -> str:
    if urlparse(source).scheme:
        return source
    path = folder / posixpath.normpath(posixpath.join(posixpath.dirname(page), unquote(source)))
    if not path.is_file():
        raise KcError(f"Image {path} is missing, so it cannot join the whole book.")
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _styles(folder: Path, page: str, soup: BeautifulSoup) -> str:
    """The style sheets of a page without fonts and files that they would load."""
    found = []
    for sheet in soup.select('link[rel~="stylesheet"]'):
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page), str(sheet["href"])))
        file = folder / path.partition("?")[0]
        if file.is_file() and _STYLES.search(file.name):
            found.append(_FILES.sub("", file.read_text(encoding="utf-8")).replace("</", "<\\/"))
    return "\n".join(found)
