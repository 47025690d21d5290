"""The commands that the campaign disturbs, and what they make when nobody does."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from .outcome import digests, finish, start

sys.path.append(str(Path(__file__).resolve().parents[1]))  # what it shares with the tests
from facts_case import facts, folders, write
from small_runs import SETTINGS

SECONDS_UNDISTURBED = 1_800  # no command takes longer


@dataclass(frozen=True)
class Command:
    """Arguments of ``kc`` that fill a folder.

    ``goes_on``: it does when one of its processes dies alone; others end in a sentence.
    """

    name: str
    words: tuple[str, ...]
    option: str
    goes_on: bool = False

    def into(self, folder: Path) -> list[str]:
        """All arguments."""
        return [*self.words, self.option, str(folder)]


@dataclass(frozen=True)
class Unbroken:
    """SHA-256 of every table that the undisturbed command made, and its seconds."""

    tables: dict[str, str]
    seconds: float


def run_command() -> Command:
    """The study of profile smoke."""
    return Command("run", ("run", "--profile", "smoke", "--no-notebooks"), "--run-dir")


def sweep_command() -> Command:
    """The smallest study that goes through, of two seeds over two workers."""
    small = [part for value in SETTINGS for part in ("--set", value)]
    words = ("sweep", "--profile", "smoke", "--seeds", "2", "--workers", "2", "--no-experiments")
    return Command("sweep", (*words, "--to", "components", *small), "--out", goes_on=True)


def facts_command(folder: Path) -> Command:
    """A study of facts that a tiny model learns by heart, at three checkpoints; made below
    ``folder``."""
    earlier, later, last = folders(folder, (0, 30, None))
    asked = write(folder / "facts.jsonl", facts())
    words = ("facts", "--model", str(last), "--facts", str(asked), "--steps", "2")
    given = ("--checkpoint", str(earlier), "--checkpoint", str(later))
    return Command("facts", (*words, *given), "--out")


class References:
    """What every command makes undisturbed, computed when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._commands: dict[str, Command] = {}
        self._found: dict[str, Unbroken] = {}

    def command(self, name: str) -> Command:
        """``run``, ``sweep`` or ``facts``."""
        if name not in self._commands:
            made = {"run": run_command, "sweep": sweep_command}
            self._commands[name] = (
                made[name]() if name in made else facts_command(self.folder / "models")
            )
        return self._commands[name]

    def path(self, name: str) -> Path:
        """The folder that the undisturbed command filled."""
        return self.folder / "whole" / name

    def execute_first_notebook(self) -> None:
        """Let the undisturbed run hold an executed notebook; the others take long."""
        words = ("run", "--profile", "smoke", "--to", "world", "--run-dir", str(self.path("run")))
        code, said = finish(start(*words), SECONDS_UNDISTURBED)
        if code != 0:
            sys.exit(f"kc run executes no notebook: {said[-500:]}")

    def of(self, command: Command) -> Unbroken:
        """Compute it, or what was found before."""
        if command.name not in self._found:
            path, started = self.path(command.name), time.monotonic()
            code, said = finish(start(*command.into(path)), SECONDS_UNDISTURBED)
            if code != 0:
                sys.exit(f"kc {command.name} fails undisturbed: {said[-500:]}")
            self._found[command.name] = Unbroken(digests(path), time.monotonic() - started)
        return self._found[command.name]
