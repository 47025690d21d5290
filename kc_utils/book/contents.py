"""The pages of ``_toc.yml`` in reading order."""

from __future__ import annotations

from typing import Any


def entries(contents: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Part and entry of every page of a ``_toc.yml`` after the first, in its order."""
    parts = contents.get("parts") or [contents]
    return [(part, entry) for part in parts for entry in part.get("chapters", [])]
