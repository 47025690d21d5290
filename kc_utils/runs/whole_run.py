"""One bar over a whole run on a terminal; a line per step where the output goes to a file.

The bars of single stages appear below it. Only what is shown depends on the clock.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from tqdm import tqdm

from kc_utils.runs.time_left import Outlook

_EVERY = 2.0  # seconds between two looks at the clock
_FORMAT = "{desc} {percentage:3.0f}% |{bar}| {elapsed}{postfix}"


class WholeRun:
    """Told which step begins and ends; says what share of the run is done and what is left."""

    def __init__(self, expected: Mapping[str, float | None], console: Console) -> None:
        self.outlook = Outlook(expected)
        self.console = console
        self.bar: tqdm | None = None
        self._began: dict[str, float] = {}
        self._guard = threading.Lock()

    def begin(self, *steps: str, title: str) -> None:
        """Steps are under way from now on; ``title`` is Rich markup for the line about them."""
        with self._guard:
            self._began = dict.fromkeys(steps, time.monotonic())
        if self.bar is None and self.outlook.expected:
            share = f"{self.outlook.share():.0%} done, {self.outlook.left().words()}"
            self.console.print(f"{title} ({escape(share)})", highlight=False)
        else:
            with tqdm.external_write_mode(file=sys.stdout):
                self.console.print(title)
        self.look()

    def done(self, step: str, seconds: float) -> None:
        """A step has ended."""
        with self._guard:
            self._began.pop(step, None)
            self.outlook.done(step, seconds)
        self.look()

    def look(self) -> None:
        """Draw the bar anew."""
        if self.bar is None:
            return
        with self._guard:
            now = time.monotonic()
            running = {step: now - began for step, began in self._began.items()}
            self.bar.n = self.outlook.share(running)
            words = self.outlook.left(running).words()
        self.bar.set_postfix_str(words, refresh=False)
        self.bar.refresh()


@contextmanager
def whole_run(expected: Mapping[str, float | None], console: Console) -> Iterator[WholeRun]:
    """Show a bar over the steps of ``expected`` until the block ends, on a terminal.

    Args:
        expected: step -> seconds that it is expected to take, or None; in order.
        console: gets a line per step.
    """
    run = WholeRun(expected, console)
    if not (expected and sys.stderr.isatty()):
        yield run
        return
    stop = threading.Event()

    def tick() -> None:
        while not stop.wait(_EVERY):
            run.look()

    with tqdm(desc="whole run", total=1.0, bar_format=_FORMAT, dynamic_ncols=True) as run.bar:
        thread = threading.Thread(target=tick, daemon=True)
        thread.start()
        try:
            yield run
        finally:
            stop.set()
            thread.join()
