"""Stage ``methods``: attribution methods against exact patching, at the last checkpoint."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from kc_utils import artifacts
from kc_utils.analysis.agreement import agreement, backward_runs, edge_table, score_all, variants
from kc_utils.circuits import evaluate_circuit
from kc_utils.circuits.ablation import references
from kc_utils.circuits.circuit import top_n
from kc_utils.runs.folder import Run
from kc_utils.runs.jobs import run_jobs
from kc_utils.runs.stage import Workspace
from kc_utils.study.stages import common

READERS = ("q", "k", "v", "mlp", "logits")
TABLES = ("method_agreement", "method_by_reader", "method_edges")


def compute(work: Workspace) -> None:
    """Tables ``method_agreement``, ``method_by_reader`` and ``method_edges``.

    Where the graph has more edges than ``analysis.exact_max_edges``, exact patching is left out:
    its columns are nan, and ``method_edges`` is empty.
    """
    run = work.run
    step = int(common.analysed_checkpoints(run)["step"].iloc[-1])
    chosen = [i for i, cell in enumerate(common.cells(run.config)) if _is_compared(run, cell)]
    folders = [work.parts / f"cell-{i:03d}" for i in chosen]
    missing = [(run, step, i, f) for i, f in zip(chosen, folders, strict=True) if not _done(f)]
    run_jobs(compare_cell, missing, "attribution methods")
    for name in TABLES:
        frames = [artifacts.read_parquet(f / f"{name}.parquet") for f in folders]
        work.table(name, pd.concat(frames, ignore_index=True))


def _is_compared(run: Run, cell: common.Cell) -> bool:
    """The first task and the most frequent band, for each type of knowledge."""
    settings = run.config.circuit
    return cell.task == settings.tasks[0] and cell.band == settings.bands[0]


def compare_cell(run: Run, step: int, number: int, out: Path) -> None:
    """Score one cell with every method, and write its part of the tables into ``out``."""
    circuit, limits = run.config.circuit, run.config.analysis
    cell, graph = common.cells(run.config)[number], common.graph_of_run(run)
    bridge, pairs = common.open_bridge(run, step), common.read_pairs(run)
    batch = common.batch_of(pairs, cell, "discover").slice(0, limits.method_pairs)
    exact = graph.n_edges <= limits.exact_max_edges
    scores = score_all(bridge, batch, circuit.steps, run.config.seed, exact)
    held_out = common.batch_of(pairs, cell, "evaluate")
    refs, known = references(bridge, held_out), variants(circuit.steps)
    rows, by_reader = [], []
    n = common.circuit_size(run)
    for name, score in scores.items():
        result = evaluate_circuit(bridge, held_out, top_n(score, graph, n), refs=refs)
        runs = backward_runs(known[name], graph) if name in known else float("nan")
        row = {**cell._asdict(), "method": name, "n_pairs": len(batch), "backward_runs": runs,
               "n": n, "faithfulness": result.faithfulness}  # fmt: skip
        nothing = dict.fromkeys(("pearson", "spearman", "overlap"), float("nan"))
        rows.append(row | (agreement(score, scores["exact"], graph, n) if exact else nothing))
        for kind in READERS if exact else ():
            found = agreement(score, scores["exact"], graph, n, kind)
            by_reader.append({**cell._asdict(), "method": name, "reader_kind": kind} | found)
    columns = [*cell._fields, "method", "reader_kind", "pearson", "spearman"]
    tables = {
        "method_agreement": pd.DataFrame(rows),
        "method_by_reader": pd.DataFrame(by_reader, columns=columns),
        "method_edges": _edges(scores, graph, cell) if exact else _edges_head(cell),
    }
    for name, table in tables.items():
        artifacts.write_piece(out / f"{name}.parquet", table)


def _done(folder: Path) -> bool:
    return artifacts.intact(*(folder / f"{name}.parquet" for name in TABLES))


def _edges(scores, graph, cell: common.Cell) -> pd.DataFrame:
    return edge_table(scores, graph).assign(**cell._asdict())


def _edges_head(cell: common.Cell) -> pd.DataFrame:
    names = ["method", "writer", "reader", "reader_kind", "score", "exact", *cell._fields]
    numbers = {"score": "float64", "exact": "float64"}
    return pd.DataFrame(columns=names).astype(numbers)
