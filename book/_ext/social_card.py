"""Sphinx extension: every page says in its head what it is about, for search engines and previews.

The description is the first sentence of the page's own text; a chapter opens with its claim in one
sentence. Addresses are those of the published book: ``html_baseurl``, or the GitHub pages of the
repository.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from docutils import nodes
from sphinx.application import Sphinx

#: Previews cut longer texts.
MOST = 200
LEAST = 50
_IMAGE = "readme.png"
_IMAGE_ALT = (
    "First-token accuracy of both kinds of knowledge over training, beside the published curves."
)
_OPENING = re.compile(r"^In one sentence\.\s*")
_CLAIM = re.compile(r"^The claim\.\s*")  # what is claimed is not what was found
#: What the front page is called where its own title would stand beside the book's.
_FRONT = "How language models acquire new knowledge"
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")


def description(tree: nodes.document | None) -> str:
    """The first sentences of a page, at least 50 and at most 200 characters; else an empty text."""
    for paragraph in tree.findall(nodes.paragraph) if tree else ():
        if not isinstance(paragraph.parent, nodes.section):
            continue
        text = _OPENING.sub("", " ".join(_plain(paragraph).split()))
        text = _CLAIM.sub("Does it hold? ", text)
        if len(text) >= LEAST:
            return shortened(text)
    return ""


def shortened(text: str) -> str:
    """Whole sentences of a text, as few as reach 50 characters; a long one is cut at a word."""
    found = ""
    for sentence in _SENTENCE.split(text):
        found = f"{found} {sentence}".strip()
        if len(found) >= LEAST:
            break
    return found if len(found) <= MOST else found[: MOST - 1].rsplit(" ", 1)[0] + " …"


def _plain(paragraph: nodes.paragraph) -> str:
    """The text of a paragraph; formulas would be LaTeX, and are left out."""
    return "".join(
        node.astext()
        for node in paragraph.findall(nodes.Text)
        if not isinstance(node.parent, nodes.math)
    )


def address(app: Sphinx) -> str:
    """Where the book is published, with a slash at the end; empty if nothing says so."""
    if app.config.html_baseurl:
        return app.config.html_baseurl.rstrip("/") + "/"
    options = app.config.html_theme_options
    url = urlparse(options.get("repository_url", ""))
    owner, _, name = url.path.strip("/").partition("/")
    return f"https://{owner}.github.io/{name}/" if url.netloc == "github.com" and name else ""


def describe(
    app: Sphinx, page: str, template: str, context: dict[str, Any], tree: nodes.document | None
) -> None:
    """Put description and card into the head of a page."""
    title = re.sub(r"<[^>]+>", "", html.unescape(str(context.get("title", ""))))
    if title == app.config.html_title:
        context["title"] = title = _FRONT
    words = description(tree) or f"{title or 'A page'} in the book {app.config.html_title}."
    base = address(app)
    card = {
        "og:title": title or app.config.html_title,
        "og:description": words,
        "og:type": "article",
        "og:site_name": app.config.html_title,
    }
    if base:
        card["og:url"] = f"{base}{page}.html"
        if any((Path(app.srcdir) / f / _IMAGE).is_file() for f in app.config.html_static_path):
            card |= {"og:image": f"{base}_static/{_IMAGE}", "og:image:alt": _IMAGE_ALT}
    tags = [f'<meta name="description" content="{html.escape(words)}">']
    tags += [f'<meta property="{k}" content="{html.escape(v)}">' for k, v in card.items()]
    tags.append('<meta name="twitter:card" content="summary_large_image">')
    context["metatags"] = "\n".join([context.get("metatags", ""), *tags])


def setup(app: Sphinx) -> dict[str, Any]:
    """Describe every page when it is written."""
    app.connect("html-page-context", describe)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
