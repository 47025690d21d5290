"""The stored report of a rehearsal, and parts of another put into it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kc_utils.errors import KcError

#: What has to be the same for two rehearsals to be one.
_SAME = ("profile", "machine", "processor", "versions")
_PARTS = ("notebooks", "exercises", "commands")


def added(stored: Mapping[str, Any], report: Mapping[str, Any]) -> dict[str, Any]:
    """``stored`` with the parts of ``report`` instead of its own.

    The load beforehand is the larger of both, so that a busy machine stays named.

    Raises:
        KcError: they were made elsewhere, with other versions or another profile.
    """
    if other := [name for name in _SAME if stored[name] != report[name]]:
        raise KcError(
            f"The stored rehearsal has {other[0]} {stored[other[0]]!r}, this one "
            f"{report[other[0]]!r}; without --only everything is rehearsed and stored anew."
        )
    parts = {name: stored.get(name, {}) | report.get(name, {}) for name in _PARTS}
    load = max(stored["load_before"], report["load_before"])
    return {**stored, **report, **parts, "load_before": load}
