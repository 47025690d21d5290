"""Stops ``kc`` at a moment, so that a test does there what it likes, on a busy machine too."""

from __future__ import annotations

import os
import time
from pathlib import Path

from conftest import Forked, environment


class Moment:
    """When the first file (or folder) that matches ``pattern`` is in its place.

    The process that put it there waits for :meth:`go_on`; others do not. ``folder`` must be empty.
    """

    def __init__(self, folder: Path, pattern: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._said, self._pattern = folder / "said", pattern

    def environment(self) -> dict[str, str]:
        """For the command and all processes that it starts."""
        here = str(Path(__file__).with_name("pausing"))
        path = os.environ.get("PYTHONPATH")
        return environment() | {
            "PYTHONPATH": os.pathsep.join([here, path] if path else [here]),
            "KC_TEST_PAUSE_AT": self._pattern, "KC_TEST_PAUSE_SAID": str(self._said),
        }  # fmt: skip

    def reached(self, process: Forked) -> int:
        """Wait until the command or a process below it is there; its process id."""
        while not self._said.exists():
            output = "".join(process.communicate()) if process.poll() is not None else ""
            assert process.poll() is None, f"{self._pattern} was never there:\n{output}"
            time.sleep(0.02)
        return int(self._said.read_text())

    def go_on(self) -> None:
        self._said.unlink()
