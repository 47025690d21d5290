"""What several stages read from a run: checkpoints, bridges, pairs, scores."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from torch import Tensor

from kc_utils.circuits.attribution import AttributionSettings
from kc_utils.circuits.bridge import boot_bridge
from kc_utils.circuits.graph import Graph
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.circuits.score_files import read_scores
from kc_utils.config import Config
from kc_utils.models.causal_lm import load_model, load_tokenizer
from kc_utils.runs.folder import Run


class Cell(NamedTuple):
    """One circuit's subject matter: a task, a type of knowledge and a frequency band."""

    task: str
    kind: str
    band: str

    @property
    def name(self) -> str:
        """How the cell is called inside score files."""
        return "|".join(self)


def cells(settings: Config) -> list[Cell]:
    """All cells of a configuration, in a fixed order."""
    return [
        Cell(*c)
        for c in product(settings.circuit.tasks, settings.world.kinds, settings.circuit.bands)
    ]


def checkpoint_path(run: Run, step: int) -> Path:
    """Folder of the checkpoint after ``step`` optimiser steps."""
    return run.path / "checkpoints" / f"step-{step:06d}"


def analysed_checkpoints(run: Run) -> pd.DataFrame:
    """step and epoch of the checkpoints whose circuits are studied: every n-th, first and last."""
    table = run.table("checkpoints")
    keep = (table.index % run.config.circuit.every == 0) | (table.index == len(table) - 1)
    return table[keep].reset_index(drop=True)


def open_bridge(run: Run, step: int):
    """The TransformerBridge of a checkpoint, after its files were checked."""
    path = run.verify(checkpoint_path(run, step))
    return boot_bridge(load_model(path), load_tokenizer(path))


def read_pairs(run: Run) -> pd.DataFrame:
    """All clean/corrupted pairs of the run."""
    return run.read(run.path / "data" / "pairs.parquet")


def select(pairs: pd.DataFrame, cell: Cell, split: str, wording: str = "trained") -> pd.DataFrame:
    """The pairs of one cell, split and wording."""
    chosen = (
        (pairs["task"] == cell.task)
        & (pairs["kind"] == cell.kind)
        & (pairs["band"] == cell.band)
        & (pairs["split"] == split)
        & (pairs["wording"] == wording)
    )
    return pairs[chosen].reset_index(drop=True)


def batch_of(pairs: pd.DataFrame, cell: Cell, split: str, wording: str = "trained") -> PairBatch:
    """The same as tensors."""
    return PairBatch.from_frame(select(pairs, cell, split, wording))


def asked_again(people: pd.DataFrame, settings: Config) -> pd.DataFrame:
    """Up to ``validation_people`` of ``people`` drawn at random: who is asked while forgetting."""
    rows = np.random.default_rng([settings.seed, 72]).permutation(len(people))
    chosen = np.sort(rows[: settings.training.validation_people])
    return people.iloc[chosen].reset_index(drop=True)


def attribution_settings(settings: Config) -> AttributionSettings:
    """How the run's configuration wants edges to be scored."""
    chosen = settings.circuit
    return AttributionSettings(
        method=chosen.method,
        metric=chosen.metric,
        steps=chosen.steps,
        path=chosen.path,
        batch_size=chosen.batch_size,
    )


def scores_path(run: Run, step: int) -> Path:
    """File with the edge scores of every cell at one checkpoint."""
    return run.path / "scores" / f"step-{step:06d}.safetensors"


def load_scores(run: Run, step: int) -> dict[str, Tensor]:
    """Edge scores by cell name, each [n_forward, n_backward]."""
    return read_scores(run.verify(scores_path(run, step)), graph_of_run(run))


def graph_of_run(run: Run) -> Graph:
    """The computational graph that all checkpoints of the run share."""
    row = run.table("graph").iloc[0]
    return Graph(int(row["n_layers"]), int(row["n_heads"]), bool(row["parallel"]))


def circuit_size(run: Run) -> int:
    """Edges that circuits of this run keep: configured, or chosen by the rule of stage ``size``."""
    table = run.table("circuit_size")
    return int(table.loc[table["chosen"], "n"].iloc[0])


def each_score(run: Run) -> Iterator[tuple[pd.Series, Cell, Tensor]]:
    """Checkpoint row, cell and score matrix, for all of them."""
    for _, row in analysed_checkpoints(run).iterrows():
        scores = load_scores(run, int(row["step"]))
        for cell in cells(run.config):
            yield row, cell, scores[cell.name]
