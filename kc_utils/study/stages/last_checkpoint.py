"""The last checkpoint in depth: circuits of every size, missing edges by class, other bands.

One row per pair: how the tables of circuits hold what a circuit does.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from kc_utils import artifacts
from kc_utils.circuits import (
    ABLATIONS,
    BatchEvaluation,
    Circuit,
    curve_circuits,
    mean_outputs,
    minimal_size,
    random_circuit,
    size_curve,
    top_n,
)
from kc_utils.circuits.circuit import top_sizes
from kc_utils.circuits.circuit_size import SHARES, TARGETS, sizes_of
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.circuits.recovery import recovery
from kc_utils.config import CELL
from kc_utils.runs.folder import Run
from kc_utils.study.stages import common

#: A minimal size is searched to this share of itself: nearer is finer than one run's noise.
TOLERANCE = 0.02
#: Circuits of the second task's relation, cut to the same sizes: the control of the first task's.
OTHER_RELATION = "other_relation"


def evaluate_last(run: Run, step: int, number: int, out: Path) -> None:
    """All circuits of one cell (by its number in the configuration's order), a row per pair.

    Rows with a ``share`` belong to the size curve, rows with a ``reader_class`` to the recovery
    per class; the others use the configured size and take the circuit of ``source_band`` to the
    people of ``band``. The first task has all of these and a table of minimal sizes beside
    ``out``, other tasks only the last.
    """
    settings = run.config.circuit
    cell = common.cells(run.config)[number]
    graph, pairs, n = common.graph_of_run(run), common.read_pairs(run), common.circuit_size(run)
    bridge, scores = common.open_bridge(run, step), common.load_scores(run, step)
    chosen = common.select(pairs, cell, "evaluate")
    means = mean_outputs(bridge, common.batch_of(pairs, cell, "discover"))
    evaluation = BatchEvaluation(bridge, PairBatch.from_frame(chosen), means)
    seed = run.config.seed * 1000 + number
    frames = []
    if cell.task == settings.tasks[0]:
        circuits = curve_circuits(scores[cell.name], graph, seed)
        for other in settings.tasks[1:2]:  # what a circuit of this size does, whatever is asked
            foreign = top_sizes(scores[cell._replace(task=other).name], graph, sizes_of(graph))
            circuits |= {(share, OTHER_RELATION): found
                         for share, found in zip(SHARES, foreign, strict=True)}  # fmt: skip
        own = top_n(scores[cell.name], graph, n)
        frames.append(size_curve(evaluation, circuits))
        frames.append(recovery(evaluation, own).assign(circuit="own"))
        sizes = [circuit.n for (_, name), circuit in circuits.items() if name == "own"]
        found = minimal_sizes(evaluation, scores[cell.name], graph, sizes)
        artifacts.write_piece(minimal_path(out), found.assign(**cell._asdict(), step=step))
    for band in settings.bands:
        source = top_n(scores[cell._replace(band=band).name], graph, n)
        sides = [("own", source)]
        if band == cell.band:
            sides.append(("random", random_circuit(graph, source.n_edges, seed)))
        for _, circuit in sides:
            evaluation.results(circuit)  # all ablations in one go
        for ablation in ABLATIONS:
            for name, circuit in sides:
                table = evaluation.table(circuit, ablation)
                frames.append(table.assign(circuit=name, source_band=band))
    columns = [*CELL, "pair_id", "person_id"]
    frame = pd.concat(frames, ignore_index=True)
    frame = frame.join(chosen[columns], on="pair").drop(columns="pair").assign(step=step)
    artifacts.write_piece(out, frame[[*columns, *frame.columns.drop(columns)]])


def minimal_path(out: Path) -> Path:
    """Where the minimal sizes of a cell lie, beside its other results."""
    return out.with_name(f"minimal-{out.name}")


def minimal_sizes(
    evaluation: BatchEvaluation, scores, graph, sizes: list[int], targets=TARGETS
) -> pd.DataFrame:
    """The minimal size for each target with corrupted values, a row per target.

    ``sizes`` were evaluated before and narrow the search. Columns: ablation, target, status, n and
    share (before pruning), n_edges (after pruning), faithfulness, the largest tested size below
    with its faithfulness, and the number of further evaluations.
    """

    def evaluate(n: int) -> float:
        return evaluation.result(top_n(scores, graph, n)).faithfulness

    known = {n: evaluate(n) for n in sizes}
    rows = []
    for target in targets:
        found = minimal_size(evaluate, target, graph.n_edges, known, TOLERANCE)
        kept = None if found.n is None else top_n(scores, graph, found.n).n_edges
        share = float("nan") if found.n is None else found.n / graph.n_edges
        rows.append(
            {"ablation": "corrupted", "target": target, "status": found.status, "n": found.n,
             "share": share, "n_edges": kept, "faithfulness": found.faithfulness,
             "below": found.below, "faithfulness_below": found.faithfulness_below,
             "n_evaluations": found.n_evaluations}
        )  # fmt: skip
    return pd.DataFrame(rows).astype({"n": "Int64", "n_edges": "Int64", "below": "Int64"})


def pair_rows(
    evaluation: BatchEvaluation, chosen: pd.DataFrame, circuit: Circuit, ablations: Sequence[str]
) -> pd.DataFrame:
    """One row per ablation and pair: logit differences and ranks (1 = best, ties count as half) of
    circuit and plain runs. ``chosen`` are the pairs of ``evaluation``, in their order."""
    keys = chosen[["task", "kind", "band", "pair_id", "person_id"]]
    return pd.concat(
        [
            keys.assign(
                ablation=ablation,
                n_edges=circuit.n_edges,
                logit_diff=result.logit_diff,
                rank=result.rank + 1,
                clean_logit_diff=result.clean_logit_diff,
                clean_rank=result.clean_rank + 1,
                corrupted_logit_diff=result.corrupted_logit_diff,
            )
            for ablation, result in evaluation.results(circuit, ablations).items()
        ],
        ignore_index=True,
    )
