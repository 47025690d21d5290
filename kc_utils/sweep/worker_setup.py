"""What a local worker does first; Dask calls ``dask_setup`` before it takes orders."""

from __future__ import annotations

import threading
from typing import Any

_CLOSED = "IOLoop is closed"


def dask_setup(worker: Any) -> None:
    """Let a thread say nothing where it finds that the worker has already ended.

    Dask's thread that waits for the order to stop can be the last to learn that the sweep is gone,
    and would report that on the user's screen.
    """
    before = threading.excepthook

    def hook(args: threading.ExceptHookArgs) -> None:
        if not (isinstance(args.exc_value, RuntimeError) and str(args.exc_value) == _CLOSED):
            before(args)

    threading.excepthook = hook
