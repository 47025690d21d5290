"""Aligned circuits: one checkpoint's edges, run inside every other checkpoint.

Init, Before, After and Last are the first checkpoint, the two around the bend of the entropy curve,
and the last one (paper, section 6.4). They are studied for the first task of the configuration. The
last checkpoint also has a random circuit as large as Last, and mean outputs outside of circuits.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from kc_utils import artifacts
from kc_utils.batch_evaluation import BatchEvaluation
from kc_utils.breakpoint import MIN_POINTS, fit_breakpoint
from kc_utils.circuit import Circuit, random_circuit, top_n
from kc_utils.evaluation import mean_outputs
from kc_utils.graph import Graph
from kc_utils.prompt_batch import PairBatch
from kc_utils.runs import Run
from kc_utils.stages import common
from kc_utils.topology import entropy

NAMES = ("Init", "Before", "After", "Last")


def find_phases(run: Run) -> pd.DataFrame:
    """The bend of each cell's entropy curve: epoch, and the checkpoints before and after it."""
    graph = common.graph_of_run(run)
    curve = pd.DataFrame(
        [
            {"step": int(row["step"]), "epoch": float(row["epoch"]), **cell._asdict(),
             "entropy": entropy(scores, graph.real_edges)}
            for row, cell, scores in common.each_score(run)
        ]
    )  # fmt: skip
    rows = []
    for names, part in curve.groupby(["task", "kind", "band"], sort=False):
        part = part.sort_values("step").reset_index(drop=True)
        bend = bend_epoch(part["epoch"], part["entropy"], run.config.seed)
        after = int(np.searchsorted(part["epoch"], bend, side="right"))
        after = min(max(after, 1), len(part) - 1)
        rows.append(
            dict(zip(["task", "kind", "band"], names, strict=True))
            | {
                "bend_epoch": bend,
                "Init": part["step"].iloc[0],
                "Before": part["step"].iloc[after - 1],
                "After": part["step"].iloc[after],
                "Last": part["step"].iloc[-1],
            }
        )
    return pd.DataFrame(rows)


def bend_epoch(epochs: pd.Series, values: pd.Series, seed: int) -> float:
    """Epoch of the fitted bend; with too few checkpoints, the middle of the largest step."""
    if len(epochs) >= MIN_POINTS:
        return fit_breakpoint(epochs, values, n=200, seed=seed).breakpoint
    steps = values.diff().abs().fillna(0.0)
    at = int(steps.argmax())
    return float(epochs.iloc[max(at - 1, 0) : at + 1].mean())


def evaluate_aligned(run_path: Path, step: int, phases: pd.DataFrame, out: Path) -> None:
    """Run the aligned circuits of the first task at one checkpoint, a row per pair."""
    from kc_utils.stages.circuit import pair_rows

    run = Run.open(run_path)
    graph, pairs = common.graph_of_run(run), common.read_pairs(run)
    bridge = common.open_bridge(run, step)
    at = dict(_rows(phases))
    frames = []
    for number, cell in enumerate(common.cells(run.config)):
        if cell.task != run.config.circuit.tasks[0]:
            continue
        chosen = common.select(pairs, cell, "evaluate")
        evaluation = BatchEvaluation(bridge, PairBatch.from_frame(chosen))
        ablations = ["corrupted", "zero"]
        frozen = _frozen(run, cell, at[cell], graph)
        if step == int(at[cell]["Last"]):
            evaluation.means = mean_outputs(bridge, common.batch_of(pairs, cell, "discover"))
            ablations.append("mean")
            # Another draw than the random circuits that stand beside own ones.
            seed = (run.config.seed * 1000 + number) * 100 + 99
            n_edges = frozen[-1][2].n_edges
            frozen.append(("Random", step, random_circuit(graph, n_edges, seed)))
        for name, source, circuit in frozen:
            rows = pair_rows(evaluation, chosen, circuit, ablations)
            frames.append(rows.assign(aligned=name, aligned_step=source, step=step))
    artifacts.write_parquet(out, pd.concat(frames, ignore_index=True))


def _frozen(
    run: Run, cell: common.Cell, phases: pd.Series, graph: Graph
) -> list[tuple[str, int, Circuit]]:
    """Name, step of origin and circuit of each frozen topology of a cell, Last at the end."""
    found = []
    for name in NAMES:
        step = int(phases[name])
        scores = common.load_scores(run, step)[cell.name]
        found.append((name, step, top_n(scores, graph, run.config.circuit.top_n)))
    return found


def _rows(phases: pd.DataFrame):
    for _, row in phases.iterrows():
        yield common.Cell(row["task"], row["kind"], row["band"]), row
