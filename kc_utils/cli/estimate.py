"""What the steps of a run will take, from the runs that are stored with the book.

A stage's time is that of the same profile: in the record that ``kc doctor --keep`` wrote, else in a
stored run, else the mean over the seeds of the sweep. Where a parameter differs from the profile's
and its cost is known to be in proportion, the time is scaled. Notebooks mostly import and draw, so
those of profile tiny stand for a profile without a record.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kc_utils.book.cost_tables import ROWS, Growth
from kc_utils.book.stored_results import stored_references
from kc_utils.cli.doctor.costs import KEPT, Costs, path_of, read, sweep_seconds
from kc_utils.config import Config, profiles
from kc_utils.config.overrides import value_of
from kc_utils.errors import KcError
from kc_utils.runs.machine import notebooks_at_once, usable_cores
from kc_utils.runs.time_left import Outlook, in_words

NOTEBOOK = "notebook "  # before its name: how a run calls this step


def expected_seconds(
    settings: Config, steps: Sequence[str], reference: Path = KEPT.parent
) -> dict[str, float | None]:
    """Step -> seconds, or None where no stored run of this profile has it; in the order of steps.

    A notebook's seconds are those by which it makes the run longer: others are executed beside it.
    """
    try:
        costs = read(reference / KEPT.name)
        own = read(path_of(settings.profile, reference))
        where = costs.machine if costs else ""
        stages = recorded(settings.profile, own, where, reference)
    except KcError:  # a damaged record; kc doctor names it
        return dict.fromkeys(steps)
    scale = scales(settings, costs.growth if costs else {})
    books = dict(costs.notebooks if costs else {}) | dict(own.notebooks if own else {})
    at_once = notebooks_at_once(usable_cores())
    found: dict[str, float | None] = {}
    for step in steps:
        if step.startswith(NOTEBOOK):
            book = books.get(step.removeprefix(NOTEBOOK))
            found[step] = book["seconds"] / at_once if book else None
        else:
            known = stages.get(step)
            found[step] = None if known is None else known * scale.get(step, 1.0)
    return found


def recorded(profile: str, own: Costs | None, machine: str, reference: Path) -> dict[str, float]:
    """Seconds of every stage that a stored run of the profile computed.

    ``own`` is the profile's record; seeds of the sweep count that were computed on ``machine``.
    """
    found = {name: stage["seconds"] for name, stage in own.stages.items()} if own else {}
    for stored in stored_references(reference):
        if stored.record["config"].get("profile") == profile:
            found = stored.record["seconds"] | found
    sweep = sweep_seconds(profile, machine, reference / "sweep" / "sweep.json") or {}
    return {name: float(seconds) for name, seconds in (sweep | found).items()}


def scales(settings: Config, measured: Mapping[str, float]) -> dict[str, float]:
    """Stage -> how many times longer it takes than with the profile's own values.

    ``measured`` maps a parameter to the ratio of times with twice its value.
    """
    usual, found = profiles.load(settings.profile), {}
    for name, growth in ROWS.items():
        ratio = _ratio(name, growth, settings, usual, measured.get(name, 2.0))
        for stage in growth.stages if ratio != 1 else ():
            found[stage] = found.get(stage, 1.0) * ratio
    return found


def _ratio(name: str, growth: Growth, here: Config, usual: Config, twice: float) -> float:
    new, old = (_size(value_of(settings, name)) for settings in (here, usual))
    if not new or not old:
        return 1.0
    ratio = old / new if growth.halves else new / old
    return ratio ** math.log2(twice)


def _size(value: Any) -> float:
    """What a cost is in proportion to: a number itself, of a list its length."""
    if isinstance(value, tuple):
        return float(len(value))
    return float(value) if isinstance(value, int | float) else 0.0


def in_advance(expected: Mapping[str, float | None], profile: str, machine: str) -> str:
    """A sentence about the time of a run before it starts.

    Args:
        expected: step -> seconds, or None where there is no record.
        profile: of the run.
        machine: where the stored runs were made.
    """
    left = Outlook(expected).left()
    if not expected:
        return "Everything is done already."
    lacking = [step for step in expected if expected[step] is None]
    stages = [step for step in lacking if not step.startswith(NOTEBOOK)]
    if len(lacking) == len(expected):
        return (
            f"No run of profile {profile} is stored, so the time of {len(expected)} steps is open."
        )
    words = (
        f"{len(expected)} steps to do: {in_words(left.least, left.most)}, from stored runs "
        f"({machine}) and a machine half to twice as fast; corrected as steps end"
    )
    if stages:
        words += f". Without a record: {', '.join(stages[:4])}"
        words += f" and {len(stages) - 4} more" if len(stages) > 4 else ""
    return words + "."


def machine() -> str:
    """The machine of the recorded run, in words."""
    try:
        costs = read()
    except KcError:
        costs = None
    return costs.machine if costs else "no record"
