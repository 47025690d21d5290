"""Sphinx extension: markup of docutils that screen readers stumble over is put right."""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx

#: A list whose entries have the role ``doc-biblioentry``, which a ``list`` may not contain.
_CITATIONS = '<div role="list" class="citation-list">'


def mend_lists(app: Sphinx, name: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Take the role from lists of citations; their entries keep theirs."""
    if body := context.get("body"):
        context["body"] = body.replace(_CITATIONS, '<div class="citation-list">')


def setup(app: Sphinx) -> dict[str, Any]:
    """Mend every page when it is written."""
    app.connect("html-page-context", mend_lists)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
