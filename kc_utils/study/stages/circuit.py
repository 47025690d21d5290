"""Stage ``circuit``: what the discovered circuits do, beside random ones of the same size."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path

import pandas as pd

from kc_utils import artifacts
from kc_utils.analysis.faithfulness import curve_areas, recovery_of
from kc_utils.circuits import (
    ABLATIONS,
    BatchEvaluation,
    Circuit,
    mean_outputs,
    random_circuit,
    top_n,
)
from kc_utils.circuits.pair_batch import PairBatch
from kc_utils.runs.folder import Run
from kc_utils.runs.jobs import run_jobs
from kc_utils.runs.stage import Workspace
from kc_utils.study.stages import common
from kc_utils.study.stages.aligned import aligned_circuits, find_phases
from kc_utils.study.stages.last_checkpoint import evaluate_last, minimal_path, pair_rows

#: Which queries a circuit is evaluated on: split and wording, with the ablations used there.
QUERIES = {
    ("evaluate", "trained"): ABLATIONS,
    ("discover", "trained"): ("corrupted", "zero"),
    ("evaluate", "held_out"): ("corrupted", "zero"),
}


def compute(work: Workspace) -> None:
    """Tables ``circuits``, ``circuit_pairs``, ``band_pairs`` (circuits of other bands), ``phases``,
    ``aligned_pairs``, ``transfer_pairs``, ``size_curve``, ``areas``, ``recovery``, ``minimal``."""
    run = work.run
    checkpoints = common.analysed_checkpoints(run)
    steps = [int(s) for s in checkpoints["step"]]
    phases = work.piece("phases", lambda: find_phases(run))
    own, aligned = _parts(work, "own", steps), _parts(work, "aligned", steps)
    missing = [
        (run, step, phases, path, beside)
        for (step, path), (_, beside) in zip(own, aligned, strict=True)
        if not artifacts.intact(path, beside)
    ]
    run_jobs(evaluate_checkpoint, missing, "circuits")
    cells = common.cells(run.config)
    last = _parts(work, "last", range(len(cells)))
    missing = [(run, steps[-1], i, p) for i, p in last if not _done(run, cells[i], p)]
    run_jobs(evaluate_last, missing, "size curves and transfer")

    work.table("circuits", circuit_sizes(run))
    pairs = _join(own).merge(checkpoints, on="step")
    of_band = pairs["circuit"].str.startswith("band-")
    work.table("circuit_pairs", pairs[~of_band].reset_index(drop=True))
    work.table("band_pairs", pairs[of_band].reset_index(drop=True))
    work.table("phases", phases)
    work.table("aligned_pairs", _join(aligned).merge(checkpoints, on="step"))
    _write_last(work, last)


def _write_last(work: Workspace, parts: list[tuple[int, Path]]) -> None:
    """The tables of the last checkpoint, from one part per cell."""
    rows = _join(parts)
    counts = ["n_edges_in_class", "n_kept"]
    of_curve, of_class = rows["share"].notna(), rows["reader_class"].notna()
    more = ["share", "weighted_edges", "empty_logit_diff", "reader_class", "view", *counts]
    transfer = rows[~of_curve & ~of_class].drop(columns=more)
    work.table("transfer_pairs", transfer.rename(columns={"band": "target_band"}))
    curve = rows[of_curve].drop(columns=["source_band", "reader_class", "view", *counts])
    work.table("size_curve", curve)
    work.table("areas", curve_areas(curve))
    work.table("recovery", recovery_of(rows[of_class].astype(dict.fromkeys(counts, "int64"))))
    cells = common.cells(work.config)
    minimal = [(i, minimal_path(path)) for i, path in parts if _is_first(work.run, cells[i])]
    work.table("minimal", _join(minimal))


def _done(run: Run, cell: common.Cell, part: Path) -> bool:
    """Whether everything about a cell at the last checkpoint is there and whole."""
    paths = [part, minimal_path(part)] if _is_first(run, cell) else [part]
    return artifacts.intact(*paths)


def own_circuit(run: Run, scores, graph) -> Circuit:
    """The circuit of a score matrix at the configured size."""
    return top_n(scores, graph, common.circuit_size(run))


def circuit_sizes(run: Run) -> pd.DataFrame:
    """Edges and nodes left after pruning, per checkpoint and cell."""
    graph = common.graph_of_run(run)
    rows = []
    for row, cell, scores in common.each_score(run):
        circuit = own_circuit(run, scores, graph)
        rows.append(
            {"step": int(row["step"]), "epoch": float(row["epoch"]), **cell._asdict(),
             "n": circuit.n, "n_edges": circuit.n_edges, "n_nodes": len(circuit.nodes)}
        )  # fmt: skip
    return pd.DataFrame(rows)


def evaluate_checkpoint(
    run: Run, step: int, phases: pd.DataFrame, out: Path, out_aligned: Path
) -> None:
    """Discovered and random circuits of every cell at one checkpoint, a row per pair; and
    the aligned circuits of the first task's cells."""
    graph, pairs = common.graph_of_run(run), common.read_pairs(run)
    bridge, scores_at = common.open_bridge(run, step), cache(partial(common.load_scores, run))
    scores = scores_at(step)
    frames, aligned = [], []
    for number, cell in enumerate(common.cells(run.config)):
        circuit = own_circuit(run, scores[cell.name], graph)
        seed = run.config.seed * 1000 + number
        randoms = [
            random_circuit(graph, circuit.n_edges, seed * 100 + i)
            for i in range(run.config.circuit.random_circuits)
        ]
        means = mean_outputs(bridge, common.batch_of(pairs, cell, "discover"))
        for (split, wording), ablations in QUERIES.items():
            chosen = common.select(pairs, cell, split, wording)
            evaluation = BatchEvaluation(bridge, PairBatch.from_frame(chosen), means)
            todo = [("own", circuit, ablations)]
            if (split, wording) == ("evaluate", "trained"):
                todo += [(f"random-{i}", r, ("corrupted", "zero")) for i, r in enumerate(randoms)]
                frozen = aligned_circuits(run, graph, number, step, phases, scores_at)
                for band in run.config.circuit.bands if _is_first(run, cell) else ():
                    if band != cell.band:
                        other = own_circuit(run, scores[cell._replace(band=band).name], graph)
                        todo.append((f"band-{band}", other, ("corrupted", "zero")))
                for name, source, kept, under in frozen:
                    rows = pair_rows(evaluation, chosen, kept, under)
                    aligned.append(rows.assign(aligned=name, aligned_step=source, step=step))
            for name, kept, under in todo:
                rows = pair_rows(evaluation, chosen, kept, under)
                frames.append(rows.assign(circuit=name, split=split, wording=wording, step=step))
    artifacts.write_piece(out_aligned, pd.concat(aligned, ignore_index=True))
    artifacts.write_piece(out, pd.concat(frames, ignore_index=True))


def _is_first(run: Run, cell: common.Cell) -> bool:
    """Transfer between bands over training is measured for the first task."""
    return cell.task == run.config.circuit.tasks[0]


def _parts(work: Workspace, name: str, numbers) -> list[tuple[int, Path]]:
    return [(n, work.parts / f"{name}-{n:06d}.parquet") for n in numbers]


def _join(parts: list[tuple[int, Path]]) -> pd.DataFrame:
    return pd.concat([artifacts.read_parquet(p) for _, p in parts], ignore_index=True)
