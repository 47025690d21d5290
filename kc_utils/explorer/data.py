"""What is looked at: the runs that hold circuits, what is read of one, and one choice in it.

Tables, scores, models and readings of a run are dear to read, so the last ones are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from cachetools import LRUCache
from jaxtyping import Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from kc_utils import ROOT
from kc_utils.circuits import ABLATIONS
from kc_utils.circuits.circuit import Circuit, top_n
from kc_utils.errors import KcError
from kc_utils.explorer.reading import Reading, read_prompt
from kc_utils.models.causal_lm import load_tokenizer
from kc_utils.runs.folder import Run
from kc_utils.study.stages import common
from kc_utils.study.stages.common import Cell


@dataclass(frozen=True)
class Choice:
    """One value for every control.

    ``step`` is the checkpoint (optimiser steps), ``n`` the number of edges kept before pruning,
    ``layer`` the one whose attention is shown.
    """

    task: str
    kind: str
    band: str
    step: int
    n: int
    ablation: str
    prompt: str
    layer: int

    @property
    def cell(self) -> Cell:
        """Task, type and band: whose circuit it is."""
        return Cell(self.task, self.kind, self.band)

    def of(self, names: tuple[str, ...]) -> tuple[Any, ...]:
        """The values of some controls."""
        values = asdict(self)
        return tuple(values[name] for name in names)


Value = TypeVar("Value")
NEEDED = "attribution"  # the stage without which there is no circuit to look at
_DEPTHS = ("*/run.json", "*/*/run.json", "*/*/*/run.json")  # runs/tiny, runs/sweep/tiny/seed-0
_SIZES = 48  # stops of the slider of sizes, besides those that the run has measured


def finished_runs(root: Path = ROOT / "runs") -> list[Run]:
    """Runs below ``root`` (down to three folders) that hold circuits, by their path.

    A folder that cannot be read as a run is left out.
    """
    found = []
    for path in sorted(p for depth in _DEPTHS for p in root.glob(depth)):
        try:
            run = Run.open(path.parent)
        except KcError:
            continue
        if NEEDED in run.record["stages"]:
            found.append(run)
    return found


def label(run: Run) -> str:
    """How a run is called in a list: its path below the project if it lies there, its profile."""
    inside = run.path.is_relative_to(ROOT)
    shown = run.path.relative_to(ROOT).as_posix() if inside else run.name
    return f"{shown} (profile {run.config.profile}, seed {run.config.seed})"


def open_finished(run_dir: str | Path) -> Run:
    """Open a run that holds circuits; KcError when there is no run or it holds none yet."""
    run = Run.open(run_dir)
    if NEEDED not in run.record["stages"]:
        raise KcError(
            f"Run {run.name!r} holds no circuits yet; "
            f"'{run.command(run_dir)} --to {NEEDED}' finds them."
        )
    return run


class RunData:
    """One run, opened for looking. Files are checked and read once and then kept in memory.

    Args:
        run_dir: folder of a run that holds circuits.
        models: number of checkpoints whose models are kept in memory.
        score_files: number of checkpoints whose edge scores are kept.

    Raises:
        KcError: there is no such run, it holds no circuits yet, or one of its files is damaged.
    """

    def __init__(self, run_dir: str | Path, models: int = 3, score_files: int = 32) -> None:
        self.run = open_finished(run_dir)
        self.graph = common.graph_of_run(self.run)
        self.checkpoints = common.analysed_checkpoints(self.run)
        self.models = LRUCache(models)  # checkpoint -> TransformerBridge
        self.scores = LRUCache(score_files)  # checkpoint -> cell -> Tensor
        self.tables = LRUCache(16)  # name -> DataFrame
        self.readings = LRUCache(8)  # checkpoint and prompt -> Reading
        self.curves = LRUCache(64)  # what a curve belongs to -> DataFrame, as stored
        self.measured = LRUCache(64)  # the same -> DataFrame, as measured here
        cells = self.table("attribution")
        self.values: dict[str, tuple[Any, ...]] = {
            name: tuple(cells[name].drop_duplicates()) for name in ("task", "kind", "band")
        } | {
            "step": tuple(int(step) for step in self.checkpoints["step"]),
            "n": sizes(self.graph.n_edges, common.circuit_size(self.run)),
            "ablation": ABLATIONS,
            "layer": tuple(range(self.graph.n_layers)),
        }

    def epoch(self, step: int) -> float:
        """Epoch of a checkpoint."""
        found = self.checkpoints["epoch"][self.checkpoints["step"] == step]
        if found.empty:
            steps = ", ".join(map(str, self.values["step"]))
            raise KcError(f"Run {self.run.name!r} has no checkpoint {step}; it has {steps}.")
        return float(found.iloc[0])

    def first_choice(self, **wanted: Any) -> Choice:
        """The last checkpoint's circuit at the size of the run; ``wanted`` replaces values.

        KcError for a value that the run does not hold.
        """
        defaults = {name: values[0] for name, values in self.values.items()}
        defaults |= {
            "step": self.values["step"][-1],
            "n": min(common.circuit_size(self.run), self.graph.n_edges),
            "layer": self.graph.n_layers // 2,
        }
        for name, value in wanted.items():
            if name in self.values and value not in self.values[name]:
                allowed = ", ".join(map(str, self.values[name]))
                raise KcError(
                    f"{name} = {value!r} is not in run {self.run.name!r}; allowed are {allowed}."
                )
        choice = Choice(**{"prompt": ""} | defaults | wanted)
        return choice if choice.prompt else replace(choice, prompt=self.example(choice, 0))

    def nearest(self, choice: Choice) -> Choice:
        """``choice`` with the values that this run lacks replaced: the nearest size, the default
        for the others."""
        default = self.first_choice()
        missing = {
            name: getattr(default, name)
            for name, values in self.values.items()
            if name != "n" and getattr(choice, name) not in values
        }
        n = min(self.values["n"], key=lambda n: abs(np.log(n / choice.n)))
        return replace(choice, n=n, **missing)

    def table(self, name: str) -> pd.DataFrame:
        """A table of the run; KcError when it is missing or damaged."""
        return cached(self.tables, name, lambda: self.run.table(name))

    def pairs(self) -> pd.DataFrame:
        """All clean and corrupted pairs of the run."""
        return cached(self.tables, "/pairs", lambda: common.read_pairs(self.run))

    def example(self, choice: Choice, number: int) -> str:
        """The prompt of one of the evaluation people of a cell, counted round and round."""
        found = common.select(self.pairs(), choice.cell, "evaluate")["clean"].drop_duplicates()
        return str(found.iloc[number % len(found)])

    def score(self, choice: Choice) -> Float[Tensor, "n_forward n_backward"]:
        """Stored edge scores of the chosen cell and checkpoint."""
        step = choice.step
        scores = cached(self.scores, step, lambda: common.load_scores(self.run, step))
        return scores[choice.cell.name]

    def circuit(self, choice: Choice) -> Circuit:
        """The chosen circuit, cut from the stored scores."""
        return top_n(self.score(choice), self.graph, choice.n)

    def model(self, step: int) -> TransformerBridge:
        """The model of a checkpoint; KcError when its files are missing or damaged."""
        return cached(self.models, step, lambda: common.open_bridge(self.run, step))

    def reading(self, choice: Choice) -> Reading:
        """The chosen prompt, read by the chosen checkpoint.

        KcError for a prompt that cannot be read, see :func:`kc_utils.explorer.reading.token_ids`.
        """
        key = choice.of(("step", "prompt"))
        return cached(self.readings, key, lambda: self._read(choice))

    def _read(self, choice: Choice) -> Reading:
        tokenizer = load_tokenizer(self.run.verify(self.run.path / "tokenizer"))
        return read_prompt(self.model(choice.step), tokenizer, choice.prompt)


def cached(cache: LRUCache, key: Hashable, make: Callable[[], Value]) -> Value:
    """The value of ``key``; ``make`` is called when it is not there. An error keeps nothing."""
    if key not in cache:
        cache[key] = make()
    return cache[key]


def sizes(n_edges: int, top_n: int) -> tuple[int, ...]:
    """Stops of a logarithmic slider of circuit sizes, with those that the run has measured."""
    stops = {round(n) for n in np.geomspace(1, n_edges, min(_SIZES, n_edges))}
    return tuple(sorted(stops | {min(top_n, n_edges)}))
