"""What a local worker does first; Dask calls ``dask_setup`` before it takes orders."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

_CLOSED = "IOLoop is closed"


def dask_setup(worker: Any) -> None:
    """Let nothing be said about an event loop that has ended before what still uses it.

    Dask's thread that waits for the order to stop can be the last to learn that the sweep is gone,
    and a task that connects to the scheduler while its worker stops leaves a client that nobody
    closes. Python would report both on the user's screen.
    """
    threading.excepthook = _unless_closed(threading.excepthook)
    sys.unraisablehook = _unless_closed(sys.unraisablehook)


def _unless_closed(before: Callable[[Any], Any]) -> Callable[[Any], None]:
    """A hook that is silent where the loop has ended, and otherwise does what ``before`` does."""

    def hook(raised: Any) -> None:
        if not (isinstance(raised.exc_value, RuntimeError) and str(raised.exc_value) == _CLOSED):
            before(raised)

    return hook
