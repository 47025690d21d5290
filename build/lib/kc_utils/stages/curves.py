"""The last checkpoint in depth: faithfulness over circuit size, and transfer between bands."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from kc_utils import artifacts
from kc_utils.circuit import random_circuit, top_n
from kc_utils.evaluation import mean_outputs, references
from kc_utils.prompt_batch import PairBatch
from kc_utils.runs import Run
from kc_utils.stages import common

#: Shares of all edges, those that MIB (arXiv 2504.13151) uses from 0.5 % on.
SHARES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
SIZE_ABLATIONS = ("corrupted", "zero", "mean")


def evaluate_last(run_path: Path, step: int, number: int, out: Path) -> None:
    """All curves of one cell (by its number in the configuration's order), a row per pair.

    Rows with a ``share`` belong to the size curve; rows without it use the configured size and
    take the circuit of ``source_band`` to the people of ``band``.
    """
    from kc_utils.stages.circuit import pair_rows

    run = Run.open(run_path)
    settings = run.config.circuit
    cell = common.cells(run.config)[number]
    graph, pairs = common.graph_of_run(run), common.read_pairs(run)
    bridge, scores = common.open_bridge(run, step), common.load_scores(run, step)
    chosen = common.select(pairs, cell, "evaluate")
    batch = PairBatch.from_frame(chosen)
    refs = references(bridge, batch)
    means = mean_outputs(bridge, common.batch_of(pairs, cell, "discover"))
    frames = []

    def add(circuit, ablation: str, name: str, band: str, share: float | None) -> None:
        rows = pair_rows(bridge, chosen, batch, circuit, ablation, refs, means)
        frames.append(rows.assign(circuit=name, source_band=band, share=share, step=step))

    seed = run.config.seed * 1000 + number
    if cell.task == settings.tasks[0]:
        for share in SHARES:
            own = top_n(scores[cell.name], graph, max(1, round(share * graph.n_edges)))
            control = random_circuit(graph, own.n_edges, seed)
            for ablation in SIZE_ABLATIONS:
                add(own, ablation, "own", cell.band, share)
                add(control, ablation, "random", cell.band, share)
    for band in settings.bands:
        source = top_n(scores[cell._replace(band=band).name], graph, settings.top_n)
        for ablation in ("corrupted", "zero"):
            add(source, ablation, "own", band, None)
            if band == cell.band:
                control = random_circuit(graph, source.n_edges, seed)
                add(control, ablation, "random", band, None)
    frame = pd.concat(frames, ignore_index=True)
    artifacts.write_parquet(out, frame.astype({"share": "float64"}))
