"""Sphinx extension: pages take scripts, styles, images and data from the book alone.

A content security policy in the head of every page forbids all else, so that text from data which
becomes markup in spite of all escaping can fetch nothing and send nothing. Scripts inside a page
stay allowed: the theme and the figures have them, and a figure's differ from run to run. Links are
no requests of a page and lead anywhere.
"""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx

#: ``file:`` is for pages that are opened from a disk, where some browsers count no file as own.
POLICY = (
    "default-src 'self' file: data: 'unsafe-inline'; object-src 'none'; base-uri 'none'; "
    "form-action 'self' file:"
)
_TAG = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'


def forbid_others(
    app: Sphinx, name: str, template: str, context: dict[str, Any], tree: Any
) -> None:
    """Put the policy before everything that it is about."""
    context["metatags"] = _TAG + context.get("metatags", "")


def setup(app: Sphinx) -> dict[str, Any]:
    """For every page when it is written."""
    app.connect("html-page-context", forbid_others)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
