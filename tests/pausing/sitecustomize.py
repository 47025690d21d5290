"""Python imports this by itself where the folder is on its path: see ``tests/moments.py``.

The first process that moves a file to a place that matches a pattern says who it is, and waits.
"""

import os
import time
from pathlib import Path, PurePath

PATTERN, SAID = os.environ["KC_TEST_PAUSE_AT"], Path(os.environ["KC_TEST_PAUSE_SAID"])
SECONDS = 1200  # then whoever looks for it is gone
replace = os.replace


def paused(source, target, **options):
    replace(source, target, **options)
    if not PurePath(target).match(PATTERN):
        return
    try:
        with SAID.with_suffix(".taken").open("x"):
            pass
    except FileExistsError:  # another process was the first
        return
    partial = SAID.with_suffix(".partial")
    partial.write_text(str(os.getpid()))
    replace(partial, SAID)
    end = time.monotonic() + SECONDS
    while SAID.exists() and time.monotonic() < end:
        time.sleep(0.01)


os.replace = paused
