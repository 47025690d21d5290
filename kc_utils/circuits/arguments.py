"""Numbers that callers choose: checked where they are given, not where they would do harm."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from kc_utils.errors import KcError, shown


def whole(value: Any, name: str, least: int) -> int:
    """``value`` as Python's integer; NumPy's are taken too, which have few bits and other names.

    Raises:
        KcError: it is no integer, or smaller than ``least``.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise KcError(f"{name}={shown(value)} is not an integer of at least {least}.")
    return int(value)
