"""What generated pages of the book share: Markdown tables, and how values and costs are written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_ROLE = re.compile(r":\w+:`~?([^`]+)`")
_MIB = 2**20


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table; cells that are not text are shown as code."""
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def as_markdown(docstring: str | None) -> str:
    """A docstring as Markdown: roles and double backquotes become code."""
    text = _ROLE.sub(lambda m: f"`{m[1].rpartition('.')[2]}`", docstring or "")
    return " ".join(text.replace("``", "`").split())


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
    text = value if isinstance(value, str) else f"`{written(value)}`"
    return " ".join(text.replace("|", "\\|").split())
