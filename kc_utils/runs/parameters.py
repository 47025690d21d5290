"""Checking what a notebook is asked for, before anything is computed.

papermill sets parameters without looking at them. Each check takes them by name, as in
``one_of(KINDS, kind=kind)``, and raises :class:`~kc_utils.errors.KcError` with the name, the value
and what is allowed.
"""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

from kc_utils.errors import KcError, shown
from kc_utils.runs.folder import Run


def choose_task(run: Run, task: str) -> str:
    """``task`` if the run studies it; otherwise an error that names the tasks it does study."""
    return _studied(run, "task", task, run.config.circuit.tasks)


def choose_band(run: Run, band: str | None) -> str:
    """``band`` if the run studies it, its first one for None; otherwise an error as above."""
    bands = run.config.circuit.bands
    return bands[0] if band is None else _studied(run, "band", band, bands)


def one_of(allowed: Iterable[Any], **given: Any) -> None:
    """Each given value is one of the ``allowed`` ones."""
    allowed = list(dict.fromkeys(allowed))
    _refuse({k: v for k, v in given.items() if v not in allowed}, ", ".join(map(str, allowed)))


def some_of(allowed: Iterable[float], **given: Any) -> None:
    """Each given value is None, one of the ``allowed`` numbers, or a list of at least one."""
    allowed = sorted({*allowed})
    wrong = {}
    for name, value in given.items():
        values = value if isinstance(value, list | tuple) else [value]
        known = all(_is(Real, v) and v in allowed for v in values)
        if value is not None and not (values and known):
            wrong[name] = value
    _refuse(wrong, f"null, or a list of {', '.join(f'{number:g}' for number in allowed)}")


def whole_number(least: int, **given: Any) -> None:
    """Each given value is a whole number from ``least`` on."""
    wrong = {k: v for k, v in given.items() if not _is(Integral, v) or v < least}
    _refuse(wrong, f"whole numbers from {least} on")


def positive(**given: Any) -> None:
    """Each given value is a finite number above 0."""
    wrong = {k: v for k, v in given.items() if not _is(Real, v) or not 0 < v < float("inf")}
    _refuse(wrong, "numbers above 0")


def fraction(**given: Any) -> None:
    """Each given value is a number from 0 to 1."""
    wrong = {k: v for k, v in given.items() if not _is(Real, v) or not 0 <= v <= 1}
    _refuse(wrong, "numbers from 0 to 1")


def _studied(run: Run, name: str, value: Any, studied: tuple[str, ...]) -> Any:
    if value not in studied:
        raise KcError(
            f"{name} = {shown(value)} is not studied in run {run.name!r}; allowed are "
            f"{', '.join(studied)}."
        )
    return value


def _is(kind: type, value: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _refuse(wrong: dict[str, Any], allowed: str) -> None:
    for name, value in wrong.items():
        raise KcError(f"{name} = {shown(value)} is not possible; allowed are {allowed}.")
