"""Sphinx extension: formulas become MathML while the book is built.

Browsers draw MathML themselves, so a page needs no script, no font and no network for its
formulas, and screen readers can read them. A formula that cannot be converted is a warning,
which fails a strict build.
"""

from __future__ import annotations

import html
import re
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)
_UNREAD = re.compile(r"<m[a-z]+[^>]*>(?:[^<]*\\[A-Za-z]+|&</)")
#: A function's name without parentheses behind it: browsers set "ln n" without a space.
_BARE = re.compile(
    r"(<mi>(?:ln|log|exp)</mi>|<msub><mi>log</mi><m[ni]>[^<]*</m[ni]></msub>)"
    r"(?=<m(?:i|n|sub|sup|frac)\b|<mo[^>]*>(?:&#x0007C;|\|))"
)


def to_mathml(latex: str, display: str, location: nodes.Node | None = None) -> str:
    """A ``<math>`` element; ``display`` is ``inline`` or ``block``. Warns of unread commands."""
    source = " ".join(latex.split())
    readable = source.replace("{aligned}", "{split}")
    if display == "block" and "\\\\" in source and "\\begin" not in source:
        readable = rf"\begin{{split}}{source}\end{{split}}"
    try:
        markup = convert(readable, display=display)
    except Exception as error:  # the converter's exceptions have no common base
        logger.warning("formula %r: %r", source, error, location=location, type="mathml")
        return f"<code>{html.escape(source)}</code>"
    if found := _UNREAD.search(markup):
        logger.warning("formula %r: %s", source, found[0], location=location, type="mathml")
    markup = _BARE.sub(r'\1<mspace width="0.167em" />', markup)
    return markup.replace("<math ", f'<math alttext="{html.escape(source)}" ', 1)


def visit_inline(self: HTML5Translator, node: nodes.math) -> None:
    """Write a formula inside a sentence."""
    self.body.append(self.starttag(node, "span", "", CLASS="math"))
    self.body.append(to_mathml(node.astext(), "inline", node) + "</span>")
    raise nodes.SkipNode


def visit_block(self: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula on its own line, with its number and a link to it if it has a label."""
    self.body.append(self.starttag(node, "div", CLASS="math math-block"))
    self.body.append('<div class="formula" tabindex="0" role="region" aria-label="Formula">')
    self.body.append(to_mathml(node.astext(), "block", node) + "</div>")
    if node.get("number"):
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    self.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer; ``html_math_renderer: mathml`` selects it."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
