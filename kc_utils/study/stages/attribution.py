"""Stage ``attribution``: edge scores of every cell at every checkpoint."""

from __future__ import annotations

import pandas as pd

from kc_utils import artifacts
from kc_utils.circuits.adapter import graph_of
from kc_utils.circuits.attribution import attribute
from kc_utils.circuits.score_files import write_scores
from kc_utils.runs.folder import Run
from kc_utils.runs.jobs import run_jobs
from kc_utils.runs.stage import Workspace
from kc_utils.study.stages import common


def compute(work: Workspace) -> None:
    """Score files ``scores/step-*.safetensors``; tables ``graph`` and ``attribution``."""
    run = work.run
    work.folder("scores")
    checkpoints = common.analysed_checkpoints(run)
    missing = [s for s in checkpoints["step"] if not artifacts.intact(common.scores_path(run, s))]
    run_jobs(score_checkpoint, [(run, int(s)) for s in missing], "circuit discovery")
    graph = graph_of(common.open_bridge(run, int(checkpoints["step"].iloc[0])))
    work.table(
        "graph",
        pd.DataFrame(
            [{"n_layers": graph.n_layers, "n_heads": graph.n_heads, "parallel": graph.parallel,
              "n_nodes": graph.n_forward + 1, "n_edges": graph.n_edges}]
        ),
    )  # fmt: skip
    pairs = common.read_pairs(run)
    rows = [
        {"step": step, "epoch": epoch, **cell._asdict(),
         "n_pairs": len(common.select(pairs, cell, "discover"))}
        for step, epoch in zip(checkpoints["step"], checkpoints["epoch"], strict=True)
        for cell in common.cells(run.config)
    ]  # fmt: skip
    work.table("attribution", pd.DataFrame(rows))


def score_checkpoint(run: Run, step: int) -> None:
    """Attribute every cell at one checkpoint and write the score file."""
    pairs = common.read_pairs(run)
    bridge = common.open_bridge(run, step)
    how = common.attribution_settings(run.config)
    scores = {
        cell.name: attribute(bridge, common.batch_of(pairs, cell, "discover"), how)
        for cell in common.cells(run.config)
    }
    path = common.scores_path(run, step)
    write_scores(path, scores, graph_of(bridge))
    artifacts.seal(path)
