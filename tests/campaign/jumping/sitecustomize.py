"""Python imports this by itself where the folder is on its path: a wall clock that goes back.

Every two seconds it shows an hour less, after a day 23 hours more, in all processes at once.
"""

import time

STEP, HOURS = 2, 24
_time, _time_ns = time.time, time.time_ns


def late() -> int:
    """By how many seconds the clock is behind."""
    return 3600 * (int(time.monotonic() / STEP) % HOURS)


time.time = lambda: _time() - late()
time.time_ns = lambda: _time_ns() - late() * 10**9
