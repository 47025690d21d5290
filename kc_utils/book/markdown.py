"""What generated pages of the book share: Markdown tables, and how values and costs are written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kc_utils.plots.markup import visible

_ROLE = re.compile(r":\w+:`~?([^`]+)`")
_MIB = 2**20
# What CommonMark, GitHub's additions and MyST take for markup inside a line; an underscore between
# letters or digits is none.
_MARKS = re.compile(r"[\\`*{}\[\]<>&$|~]|(?<![^\W_])_|_(?![^\W_])")


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table; cells are Markdown, and those that are not text are shown as code."""
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def text(value: object) -> str:
    """Text from data for the inside of a line of Markdown: all of it is shown, none is markup.

    Marks become character references rather than backslashes, which would be read as mathematics
    by notebooks.
    """
    return _MARKS.sub(lambda found: f"&#{ord(found[0])};", visible(value).strip())


def code(value: object) -> str:
    """Text from data as inline code."""
    line = visible(value)
    longest = max(map(len, re.findall("`+", line)), default=0)
    fence = "`" * (longest + 1)
    room = " " if not line.strip() or "`" in (line[0], line[-1]) else ""
    return f"{fence}{room}{line or room}{room}{fence}"


def as_markdown(docstring: str | None) -> str:
    """A docstring as Markdown: roles and double backquotes become code."""
    plain = _ROLE.sub(lambda m: f"`{m[1].rpartition('.')[2]}`", docstring or "")
    return " ".join(plain.replace("``", "`").split())


def written(value: Any) -> str:
    """A value of the configuration as it is written in TOML or JSON; numbers have four digits."""
    if isinstance(value, list):
        return "[" + ", ".join(written(item) for item in value) + "]"
    if value is None or isinstance(value, bool):
        return {True: "true", False: "false", None: "null"}[value]
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def minutes(seconds: float | int) -> str:
    """Seconds in minutes, with one digit."""
    return f"{seconds / 60:.1f}"


def mebibytes(n_bytes: float | int, digits: int = 0) -> str:
    """Bytes in MiB."""
    return f"{n_bytes / _MIB:,.{digits}f} MiB"


def peak_memory(steps: Iterable[Mapping[str, Any]]) -> str:
    """Most memory that one of the recorded steps of a run held, in words."""
    found = [step["peak_bytes"] for step in steps if "peak_bytes" in step]
    return mebibytes(max(found)) if found else "not recorded"


def _cell(value: Any) -> str:
    shown = value if isinstance(value, str) else code(written(value))
    return " ".join(shown.replace("|", "\\|").split())
