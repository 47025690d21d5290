"""The benchmark that the book shows: all of it at once, or single sections into what is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kc_utils.book.stored_results import read_benchmark
from kc_utils.errors import KcError

#: What has to be equal, or times of two benchmarks do not stand beside each other.
ALIKE = ("processor", "device", "threads", "system", "python", "versions")


def to_add_to(path: Path, machine: dict[str, Any]) -> dict[str, Any]:
    """The stored benchmark, if sections that are measured on ``machine`` may go into it.

    KcError if there is none, or if it is of another processor, device or version.
    """
    if not path.is_file():
        raise KcError(
            "--keep --only adds sections to a stored benchmark, and none is stored yet; --keep "
            "alone stores a whole one."
        )
    kept = read_benchmark(path)
    before = {"device": "cpu"} | kept["machine"]
    if differing := [name for name in ALIKE if before.get(name) != machine[name]]:
        name = differing[0]
        raise KcError(
            f"The stored benchmark has {name} {_words(before.get(name))} and this would be "
            f"measured with {_words(machine[name])}; sections of one benchmark need the same, so "
            "store a whole one with --keep alone."
        )
    return kept


def merged(kept: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """``kept`` with the sections of ``new`` in place of its own; each keeps its date."""
    dates = kept.get("section_dates") or dict.fromkeys(kept["section_seconds"], kept["date"])
    seconds = kept["section_seconds"] | new["section_seconds"]
    return (
        kept
        | new
        | {
            "targets": kept["targets"] | new["targets"],
            "machine": {"device": "cpu"} | kept["machine"],
            "date": kept["date"],
            "section_dates": dates | new["section_dates"],
            "seconds": round(sum(seconds.values()), 1),
            "section_seconds": seconds,
        }
    )


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {version}" for name, version in value.items())
    return str(value)
