"""Sphinx extension: the first plain use of a glossary term on each page links to the glossary.

Headings, links, code, signatures, formulas, captions and tables are left alone, and so is the
glossary itself.
A term that the author has marked with ``{term}`` at its first use stays as it is. The setting
``first_terms_explicit`` lists terms that are also everyday words: they are linked only where they
are marked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

#: What is not running prose.
SKIPPED = (
    nodes.title, nodes.subtitle, nodes.rubric, nodes.reference, nodes.literal, nodes.literal_block,
    nodes.math, nodes.math_block, nodes.raw, nodes.caption, nodes.table, nodes.term, nodes.image,
    nodes.citation, nodes.comment, nodes.field_name, addnodes.pending_xref, addnodes.glossary,
    addnodes.toctree, addnodes.desc_signature,
)  # fmt: skip


def pattern(term: str) -> re.Pattern[str]:
    """Finds a term in running text, in the plural too, with its first letter in either case."""
    words = term.split()
    first, last = words[0][0], words[-1]
    head = f"[{first.upper()}{first.lower()}]" if first.isalpha() else re.escape(first)
    stem = re.escape(term)[len(re.escape(first)) :].replace(r"\ ", r"\s+")
    if last.endswith("y"):
        stem = f"{stem[:-1]}(?:y|ies)"
    elif last.endswith(("s", "x")):
        stem = f"{stem}(?:es)?"
    else:
        stem = f"{stem}s?"
    return re.compile(rf"(?<![\w@-]){head}{stem}(?![\w@-])")


class FirstTerms(SphinxPostTransform):
    """Before references are resolved, mark the first use of every term that is not marked yet."""

    default_priority = 6  # after myst-nb has chosen what a cell shows (4), before references (10)

    def run(self, **kwargs: Any) -> None:
        """Mark the terms of one page."""
        objects = self.env.get_domain("std").get_objects()
        skipped = {term.lower() for term in self.config.first_terms_explicit}
        terms = [name for name, _, kind, *_ in objects if kind == "term"]
        terms = [term for term in dict.fromkeys(terms) if term.lower() not in skipped]
        longest_first = sorted(terms, key=len, reverse=True)
        self._mark({term: pattern(term) for term in longest_first})

    def _mark(self, patterns: dict[str, re.Pattern[str]]) -> None:
        seen: set[str] = set()
        for parent in list(self.document.findall(nodes.TextElement)):
            _join_texts(parent)
        for node in list(self.document.findall(_text_or_term)):
            if isinstance(node, addnodes.pending_xref):
                seen.add(str(node["reftarget"]).lower())
            elif not _inside(node, SKIPPED):
                found = _first_uses(str(node), patterns, seen)
                if found:
                    seen |= {term.lower() for _, _, term in found}
                    node.parent.replace(node, list(self._pieces(str(node), found)))

    def _pieces(self, text: str, found: list[tuple[int, int, str]]) -> Iterator[nodes.Node]:
        start = 0
        for begin, end, term in found:
            if begin > start:
                yield nodes.Text(text[start:begin])
            link = addnodes.pending_xref(
                text[begin:end], reftype="term", refdomain="std", reftarget=term,
                refexplicit=True, refwarn=True, refdoc=self.env.docname,
            )  # fmt: skip
            yield link.__iadd__(nodes.inline(text[begin:end], text[begin:end], classes=["xref"]))
            start = end
        if start < len(text):
            yield nodes.Text(text[start:])


def _first_uses(
    text: str, patterns: dict[str, re.Pattern[str]], seen: Iterable[str]
) -> list[tuple[int, int, str]]:
    """First uses in one piece of text that overlap no longer term: begin, end, term."""
    taken: list[tuple[int, int, str]] = []
    covered: list[tuple[int, int]] = []
    for term, wanted in patterns.items():
        for match in wanted.finditer(text):
            begin, end = match.span()
            if any(begin < stop and start < end for start, stop in covered):
                continue
            covered.append((begin, end))
            if term.lower() not in seen and term not in {name for *_, name in taken}:
                taken.append((begin, end, term))
    return sorted(taken)


def _join_texts(parent: nodes.TextElement) -> None:
    """Make one text of neighbours: MyST keeps each line of a paragraph apart."""
    if sum(isinstance(child, nodes.Text) for child in parent) < 2:
        return
    joined: list[nodes.Node] = []
    for child in parent.children:
        if isinstance(child, nodes.Text) and joined and isinstance(joined[-1], nodes.Text):
            joined[-1] = nodes.Text(joined[-1] + child)
        else:
            joined.append(child)
    parent.children = []
    parent.extend(joined)


def _text_or_term(node: nodes.Node) -> bool:
    if isinstance(node, addnodes.pending_xref):
        return node.get("reftype") == "term"
    return isinstance(node, nodes.Text)


def _inside(node: nodes.Node, kinds: tuple[type, ...]) -> bool:
    while (node := node.parent) is not None:
        if isinstance(node, kinds):
            return True
    return False


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the transform and its setting."""
    app.add_config_value("first_terms_explicit", [], "env")
    app.add_post_transform(FirstTerms)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
