"""A line per step of a run, and one bar over all of them on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from tqdm import tqdm


class WholeRun:
    """Told which step begins and ends."""

    def __init__(self, console: Console, bar: tqdm) -> None:
        self.console = console
        self.bar = bar

    def begin(self, title: str) -> None:
        """A step is under way; ``title`` is Rich markup for the line about it."""
        with tqdm.external_write_mode(file=sys.stdout):
            self.console.print(title)

    def done(self) -> None:
        """A step has ended."""
        self.bar.update()


@contextmanager
def whole_run(steps: Sequence[str], console: Console) -> Iterator[WholeRun]:
    """Count ``steps`` in a bar until the block ends, on a terminal; ``console`` gets the lines."""
    hidden = not (steps and sys.stderr.isatty())
    with tqdm(desc="whole run", total=len(steps), disable=hidden, dynamic_ncols=True) as bar:
        yield WholeRun(console, bar)
