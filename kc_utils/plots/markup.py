"""Text from data on a page: it is shown as it is, and is never markup.

Names of relations and models, tokens and paths are whatever somebody wrote. Characters that cannot
be seen but turn or break what stands around them (control characters, marks of direction,
separators of lines) are shown by their code point, so that a reader sees that they are there.
"""

from __future__ import annotations

import html
import re

# Control characters; marks, embeddings, overrides and isolates of direction; line and paragraph
# separators; byte order mark; lone surrogates, which no file can hold.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_SPACES = re.compile("[\t\n\r\f]+")


def visible(text: object) -> str:
    """``text`` on one line, with what cannot be seen written as ``U+202E``."""
    line = _SPACES.sub(" ", str(text))
    return _UNSEEN.sub(lambda found: f"U+{ord(found[0]):04X}", line)


def escape(text: object) -> str:
    """``text`` for the inside of an HTML or SVG element, or of an attribute in quotes."""
    return html.escape(visible(text))
