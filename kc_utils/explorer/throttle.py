"""Of several calls in quick succession only the last is made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Throttle:
    """Calls ``function`` once, ``seconds`` after the last time that it was asked for.

    In a kernel, changes that arrive while a figure is drawn wait in a queue; a slider that is
    dragged would draw each of them. Without a running event loop the call is made at once.
    """

    def __init__(self, function: Callable[[], None], seconds: float = 0.05) -> None:
        self.function, self.seconds = function, seconds
        self._waiting: asyncio.TimerHandle | None = None

    def __call__(self) -> None:
        """Ask for a call."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.function()
            return
        self.cancel()
        self._waiting = loop.call_later(self.seconds, self.now)

    def now(self) -> None:
        """Make the call at once, in the place of one that waits."""
        self.cancel()
        self.function()

    def cancel(self) -> None:
        """Forget a call that waits."""
        if self._waiting:
            self._waiting.cancel()
        self._waiting = None
