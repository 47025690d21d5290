"""What Ctrl-C does, from the first import to the end of the interpreter.

Python raises ``KeyboardInterrupt`` wherever it happens to be. During imports that is a traceback
from the middle of a library, and while the interpreter ends the process dies of the signal. In
between, libraries whose threads and connections are closed half-way report it, each in its own
way. So: while nothing is under way the process ends at once; later the interrupt is raised, and
what libraries say from then on is not shown; at the end it is ignored.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from types import FrameType

INTERRUPTED = 130  # the exit code: 128 and the number of the signal
SENTENCE = "interrupted."
#: How long open files, connections and other processes may take to be closed.
SECONDS_TO_CLOSE = 4.0


def end_at_once() -> None:
    """Ctrl-C says so and ends the process, without closing anything: nothing is open yet."""
    _handle(_exit)


def end_in_order(seconds: float = SECONDS_TO_CLOSE) -> Callable[[], None]:
    """Ctrl-C raises ``KeyboardInterrupt``, once; ``seconds`` later the process ends in any case.

    To be called when the command has ended: what is returned. From then on Ctrl-C comes too late.

    What was caught half-way is then as after a kill, which every command is made for. It happens:
    Python drops exceptions that are raised while it frees an object, this one too.
    """
    waiting, asked = os.pipe()
    done = over = False

    def interrupt(signum: int, frame: FrameType | None) -> None:
        nonlocal done
        if not done:  # pressed again, it would only disturb the end that is under way
            done = True
            _silence()
            os.write(asked, b"!")
            raise KeyboardInterrupt

    def watch() -> None:
        os.read(waiting, 1)
        time.sleep(seconds)
        os._exit(INTERRUPTED if over else said())

    def end() -> None:
        nonlocal over
        over = True
        if _ours():
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    threading.Thread(target=watch, name="Ctrl-C", daemon=True).start()
    _handle(interrupt)
    return end


def said() -> int:
    """Say that the command was interrupted; its exit code."""
    with contextlib.suppress(OSError):
        os.write(2, f"kc: {SENTENCE}\n".encode())
    return INTERRUPTED


def leave() -> None:
    """End the process after what is registered for its end, without taking all else apart.

    Objects of libraries that are freed last, when nothing can silence them, complain about that.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(INTERRUPTED)


def _handle(handler: Callable[[int, FrameType | None], None]) -> None:
    """Set the handler, unless Ctrl-C is ignored, as it is in a shell's background jobs."""
    if _ours():
        signal.signal(signal.SIGINT, handler)


def _ours() -> bool:
    main = threading.current_thread() is threading.main_thread()
    return main and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN


def _exit(signum: int, frame: FrameType | None) -> None:
    os._exit(said())


def _silence() -> None:
    """From now on nothing but the command's own sentence: not from loggers, threads or warnings."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    threading.excepthook = lambda args: None
    sys.unraisablehook = lambda unraisable: None
