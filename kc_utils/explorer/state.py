"""The explorer without its widgets: a run, a choice, and views of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from kc_utils import ROOT
from kc_utils.explorer.curve import measure, missing_sizes
from kc_utils.explorer.data import Choice, RunData, finished_runs, label
from kc_utils.explorer.views import VIEWS


class State:
    """What is looked at, and everything that was read for it; nothing is kept elsewhere.

    Args:
        run_dir: folder of the run to begin with.
        root: folder below which other runs are found.
        wanted: first values of controls, such as ``task="company"`` or ``prompt="..."``.

    Raises:
        KcError: no run with circuits is there, or it does not hold a wanted value.
    """

    def __init__(self, run_dir: str | Path, root: Path = ROOT / "runs", **wanted: Any) -> None:
        self.data = RunData(run_dir)
        self.choice: Choice = self.data.first_choice(**wanted)
        self.root = root

    def runs(self) -> dict[str, Path]:
        """Runs that can be opened, by what they are called; the open one is among them."""
        here = self.data.run
        found = {label(run): run.path for run in finished_runs(self.root)}
        return found if here.path in found.values() else {label(here): here.path} | found

    def open(self, path: Path) -> None:
        """Look at another run, with the same values where it holds them; KcError as RunData."""
        data = RunData(path)
        self.choice = data.nearest(self.choice)
        self.data = data

    def set(self, **values: Any) -> None:
        """Change values of the choice."""
        self.choice = replace(self.choice, **values)

    def view(self, name: str) -> Any:
        """A figure, drawing or table of the current choice; KcError when something is missing."""
        return VIEWS[name].draw(self.data, self.choice)

    def alt(self, name: str) -> str:
        """Alt text of a view."""
        return VIEWS[name].alt_text(self.data, self.choice)

    def key(self, name: str) -> tuple[Any, ...]:
        """Changes exactly when the view has to be drawn again."""
        missing = len(missing_sizes(self.data, self.choice)) if name == "curve" else 0
        return (self.data.run.path, missing, *self.choice.of(VIEWS[name].fields))

    def measure(self, progress: Callable[[int, int], None]) -> None:
        """Evaluate the sizes of the current curve that are not known yet."""
        measure(self.data, self.choice, progress)
