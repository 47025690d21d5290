"""Sphinx extension: markup of docutils that screen readers stumble over is put right."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

#: A list whose entries have the role ``doc-biblioentry``, which a ``list`` may not contain.
_CITATIONS = '<div role="list" class="citation-list">'
#: The parameters of a long signature: a list of definitions that defines nothing.
_PARAMETERS = re.compile(
    r'(?<=<span class="sig-paren">\(</span>)\s*<dl>(.*?)</dl>\s*(?=<span class="sig-paren">)', re.S
)


def mend_lists(app: Sphinx, name: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Take the role from lists of citations, whose entries keep theirs; parameters become lines."""
    if body := context.get("body"):
        body = body.replace(_CITATIONS, '<div class="citation-list">')
        context["body"] = _PARAMETERS.sub(_lines, body)


def _lines(found: re.Match[str]) -> str:
    lines = found[1].replace("<dd>", '<span class="sig-line">').replace("</dd>", "</span>")
    return f'<span class="sig-lines">{lines}</span>'


def setup(app: Sphinx) -> dict[str, Any]:
    """Mend every page when it is written."""
    app.connect("html-page-context", mend_lists)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
