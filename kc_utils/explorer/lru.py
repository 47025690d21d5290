"""Things that are dear to make, kept until too many others were asked for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from kc_utils.errors import KcError

Value = TypeVar("Value")


class Lru(Generic[Value]):
    """At most ``limit`` values by key; the one that was not asked for the longest goes first.

    KcError for a limit below 1.
    """

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise KcError(f"A cache of {limit} values keeps nothing; at least 1 is needed.")
        self.limit = limit
        self._values: OrderedDict[Hashable, Value] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._values

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of ``key``; ``make`` is called when it is not there. An error keeps nothing."""
        if key not in self._values:
            self.put(key, make())
        self._values.move_to_end(key)
        return self._values[key]

    def put(self, key: Hashable, value: Value) -> None:
        """Keep ``value``, in the place of an older one of the same key."""
        self._values[key] = value
        self._values.move_to_end(key)
        while len(self._values) > self.limit:
            self._values.popitem(last=False)
