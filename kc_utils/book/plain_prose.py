"""Prose of a notebook as JupyterLab shows it: MyST's roles and directives in plain Markdown.

Chapters are written for the book, where a term, a figure or an equation leads to another page.
A folder that is handed out has no pages, and JupyterLab would show ``{term}`` as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

_ROLE = re.compile(r"\{([a-z:]+)\}`([^`<]*?)\s*(?:<([^>`]+)>)?`")
_FORMULA = re.compile(
    r"^```\{math\}\n(?::label: (?P<label>\S+)\n)?(?P<tex>.*?)^```$", flags=re.DOTALL | re.MULTILINE
)
_BOX = re.compile(
    r"^(?P<colons>:{3,})\{\w+\} ?(?P<title>[^\n]*)\n(?P<inside>.*?)^(?P=colons)$",
    flags=re.DOTALL | re.MULTILINE,
)
_TARGET = re.compile(r"^\([\w-]+\)=\n", flags=re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s#:]+)(?:#[^)\s]*)?\)")


def plain_notebook(notebook: dict[str, Any], there: Callable[[str], str | None]) -> dict[str, Any]:
    """The notebook with the prose of every cell as :func:`plain` writes it."""
    cells = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            text = plain("".join(cell["source"]), there)
            cell = cell | {"source": text.splitlines(keepends=True)}
        cells.append(cell)
    return notebook | {"cells": cells}


def plain(text: str, there: Callable[[str], str | None]) -> str:
    """A cell of prose without anything that only the book can show.

    A term is its text, an equation is cited by its name, which stands beside it as its number, and
    a figure is cited by its name. A box is a quotation with a bold title.

    Args:
        text: MyST Markdown.
        there: what to link to instead of a file or a target of the book; None where nothing is
            there, and the link becomes its text.
    """
    text = _FORMULA.sub(_formula, _TARGET.sub("", text))
    text = _LINK.sub(lambda found: _linked(found[1], there(found[2])), _BOX.sub(_quotation, text))
    return _ROLE.sub(lambda found: _role(*found.groups(), there), text)


def _formula(found: re.Match[str]) -> str:
    tag = f" \\tag{{{found['label']}}}" if found["label"] else ""
    return f"$$\n{found['tex'].strip()}{tag}\n$$"


def _quotation(found: re.Match[str]) -> str:
    lines = found["inside"].strip().splitlines()
    title = [f"**{found['title']}**", ""] if found["title"] else []
    return "\n".join(f"> {line}".rstrip() for line in [*title, *lines])


def _role(name: str, said: str, target: str | None, there: Callable[[str], str | None]) -> str:
    if name == "eq":
        return f"({said})"
    if name == "numref":
        return f"Fig. *{(target or said).removeprefix('fig-')}*"
    if name.startswith("cite"):
        return _cited(said.split(","), textual=name == "cite:t")
    return _linked(said, there(target) if target else None)


def _cited(keys: list[str], *, textual: bool) -> str:
    """Names and years, which the keys of the bibliography are made of: ``ou2025``."""
    works = [(key.strip()[:-4].capitalize(), key.strip()[-4:]) for key in keys]
    if textual:
        return ", ".join(f"{name} ({year})" for name, year in works)
    return f"({'; '.join(f'{name} {year}' for name, year in works)})"


def _linked(said: str, place: str | None) -> str:
    return f"[{said}]({place})" if place else said
