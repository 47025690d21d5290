"""What a check found: one line of the report."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parents[2]
State = Literal["ok", "warning", "missing"]
GIB = 2**30


@dataclass(frozen=True)
class Finding:
    """A line: what was looked at, its state, what was found, and the one command that repairs it.

    ``missing`` means that a workshop cannot be held; ``warning`` that something is less than it
    could be.
    """

    name: str
    state: State
    found: str
    repair: str = ""


def python() -> str:
    """How to call this interpreter, relative to the project where it lies inside."""
    program = Path(sys.executable)
    if program.is_relative_to(ROOT):
        return program.relative_to(ROOT).as_posix()
    return str(program)


def install() -> str:
    """The command that brings the pinned packages."""
    if sys.prefix == sys.base_prefix:  # the system's Python: make an environment first
        return "make install"
    return f"{python()} -m pip install --no-deps -r requirements.lock"


def safely(name: str, check: Callable[[], Sequence[Finding]]) -> list[Finding]:
    """The findings of ``check``; whatever goes wrong inside is a finding too."""
    try:
        return list(check())
    except ImportError as error:
        return [Finding(name, "missing", f"cannot be checked: {error}", install())]
    except Exception as error:  # the report must go on, that is what it is for
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return [Finding(name, "missing", reason, install())]
