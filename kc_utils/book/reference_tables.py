"""Generated tables of what the project offers and is made of: profiles, exercises, rooms.

They are read from the configuration, the contracts in ``pyproject.toml`` and the source itself, so
they cannot go stale. Prose pages include them from ``book/generated/``.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kc_utils.book.exercises import MOST_DOTS, all_exercises
from kc_utils.book.markdown import as_markdown, table
from kc_utils.config import profiles

PACKAGE = "kc_utils"


def pages(root: Path) -> dict[str, str]:
    """File name -> MyST text, for the project in ``root``."""
    return {
        "exercises.md": exercise_table(root),
        "profiles.md": profile_table(),
        "rooms.md": room_table(root),
    }


def profile_table() -> str:
    """What each profile is for, and the numbers that matter most."""
    header = ("profile", "what", "machine", "people", "epochs", "rate", "top-n", "pairs")
    rows = []
    for name, profile in profiles.PROFILES.items():
        c = profiles.load(name)
        numbers = (c.world.n_people, c.training.epochs, c.training.learning_rate)
        numbers += (c.circuit.top_n, c.circuit.n_pairs)
        shown = (_number(n) for n in numbers)
        rows.append((f"`{name}`", profile.summary, profile.machine, *shown))
    return table(header, rows)


def _number(value: int | float | None) -> str:
    """A number of a profile; what a rule chooses has none."""
    if value is None:
        return "by rule"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def exercise_table(root: Path) -> str:
    """Every exercise with its chapter, difficulty and minutes; links are from ``book/``."""
    header = ("exercise", "title", "chapter", "difficulty", "minutes")
    rows = []
    for e in all_exercises(root):
        dots = f'<span aria-hidden="true">{e.dots}</span>'
        difficulty = f"{dots}&nbsp;{e.difficulty}&nbsp;of&nbsp;{MOST_DOTS}"
        title = f"{{ref}}`{e.title} <{e.anchor}>`"
        chapter = f"[{int(e.chapter.partition('_')[0])}](../notebooks/{e.chapter}.ipynb)"
        rows.append((e.number, title, chapter, difficulty, str(e.minutes)))
    return table(header, rows) if rows else "There are no exercises.\n"


def room_table(root: Path) -> str:
    """Every room with what it holds, the rooms that it may import, and its rule, if it has one."""
    contracts = _contracts(root)
    rows = []
    for room, names in may_import(root).items():
        package = root / PACKAGE
        file = package / f"{room}.py"
        holds = _sentence(file if file.is_file() else package / room / "__init__.py")
        may = ", ".join(f"`{name}`" for name in names) or "nothing"
        rules = "; ".join(c["name"] for c in _forbidding(contracts, room))
        rows.append((f"`{room}`", holds, may, rules))
    return table(("room", "what it holds", "may import", "rule"), rows)


def may_import(root: Path) -> dict[str, tuple[str, ...]]:
    """The rooms that each room may import: all in lower layers but those that are forbidden.

    Args:
        root: project root; its ``pyproject.toml`` holds the contracts that ``lint-imports`` checks.
    """
    contracts = _contracts(root)
    layers = next(c["layers"] for c in contracts if c["type"] == "layers")
    lines = [re.split(r"\s*[|:]\s*", layer) for layer in layers]
    found = {}
    for i, line in enumerate(lines):
        below = [room for lower in lines[i + 1 :] for room in lower]
        for room in line:
            forbidden = {m for c in _forbidding(contracts, room) for m in c["forbidden_modules"]}
            found[room] = tuple(r for r in below if f"{PACKAGE}.{r}" not in forbidden)
    return found


def _contracts(root: Path) -> list[dict[str, Any]]:
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)["tool"]["importlinter"]["contracts"]


def _forbidding(contracts: Sequence[dict[str, Any]], room: str) -> list[dict[str, Any]]:
    """The contracts that forbid a room to import something."""
    forbidding = (c for c in contracts if c["type"] == "forbidden")
    return [c for c in forbidding if f"{PACKAGE}.{room}" in c["source_modules"]]


def _sentence(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return as_markdown(docstring.split("\n\n")[0])
