"""Prose of the book in plain Markdown, for a folder without its pages."""

from __future__ import annotations

import pytest

from kc_utils.book.plain_prose import plain, plain_notebook

PLACES = {
    "01.ipynb": "01.ipynb",
    "exercise-1-1": "exercises/e1.ipynb",
    "../book/x.md": "../README.md",
}


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("a {term}`knowledge circuit`", "a knowledge circuit"),
        ("the {term}`halves <discover and\nevaluate>`", "the halves"),
        ("- {ref}`1.1 Bands <exercise-1-1>`", "- [1.1 Bands](exercises/e1.ipynb)"),
        ("{ref}`weak spots <weak-spots>`", "weak spots"),
        ("see {eq}`lead`", "see (lead)"),
        ("{numref}`fig-hits` shows", "Fig. *hits* shows"),
        ("{cite:t}`ou2025` says {cite:p}`wang2022,conmy2023`",
         "Ou (2025) says (Wang 2022; Conmy 2023)"),
        ("```{math}\n:label: lead\na = b\n```", "$$\na = b \\tag{lead}\n$$"),
        ("```{math}\na = b\n```", "$$\na = b\n$$"),
        (":::{admonition} Before you start\nKnow *this*.\n\nAnd that.\n:::",
         "> **Before you start**\n>\n> Know *this*.\n>\n> And that."),
        ("(mark)=\n## Heading", "## Heading"),
        ("[one](01.ipynb), [list](../book/x.md), [method](../book/method.md)",
         "[one](01.ipynb), [list](../README.md), method"),
        ("[out](https://example.org/a.md)", "[out](https://example.org/a.md)"),
        ("plain `code`, $x_{i}$", "plain `code`, $x_{i}$"),
    ],
)  # fmt: skip
def test_what_only_the_book_can_show(written: str, shown: str) -> None:
    assert plain(written, PLACES.get) == shown


def test_code_stays_as_it_is() -> None:
    cells = [{"cell_type": kind, "source": ["{eq}`a`"]} for kind in ("code", "markdown")]
    made = plain_notebook({"cells": cells, "metadata": {}}, PLACES.get)
    assert [cell["source"] for cell in made["cells"]] == [["{eq}`a`"], ["(a)"]]
    assert cells[1]["source"] == ["{eq}`a`"]
