"""Stage ``size``: how many edges the circuits of this run keep, by a rule fixed beforehand.

The number is the smallest at which circuits of the last checkpoint restore a given share of the
logit difference (mean faithfulness over cells, corrupted values elsewhere) on the people they were
discovered on; it holds for every checkpoint and cell. People who evaluate circuits have no part in
it. Where the largest share of edges allowed does not suffice, that share is used.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from kc_utils.circuits import (
    BatchEvaluation,
    mean_outputs,
    minimal_size,
    top_n,
)
from kc_utils.runs.folder import Run
from kc_utils.runs.stage import Workspace
from kc_utils.study.stages import common

#: Sizes that are tried first, as shares of the largest one allowed; a bisection goes on from them.
FIRST = (0.1, 0.25, 0.5, 1.0)
TOLERANCE = 0.02


def compute(work: Workspace) -> None:
    """Table ``circuit_size``: one row per size that was tried.

    Columns: n (edges by |score| before pruning), share (of all edges), faithfulness (mean over
    cells), status ("found", "most allowed", "configured"), chosen (bool; one row).
    """
    run, settings = work.run, work.config.circuit
    graph = common.graph_of_run(run)
    if settings.top_n is not None:
        row = {"n": min(settings.top_n, graph.n_edges), "faithfulness": np.nan,
               "status": "configured", "chosen": True}  # fmt: skip
        table = pd.DataFrame([row])
    else:
        table = by_rule(run)
    work.table("circuit_size", table.assign(share=table["n"] / graph.n_edges))


def by_rule(run: Run) -> pd.DataFrame:
    """Sizes that the rule tried with what they restore, and the one it chose."""
    settings, graph = run.config.circuit, common.graph_of_run(run)
    step = int(common.analysed_checkpoints(run)["step"].iloc[-1])
    bridge, scores = common.open_bridge(run, step), common.load_scores(run, step)
    pairs = common.read_pairs(run)
    sides = []
    for cell in common.cells(run.config):
        batch = common.batch_of(pairs, cell, "discover")
        sides.append(
            (scores[cell.name], BatchEvaluation(bridge, batch, mean_outputs(bridge, batch)))
        )
    tried: dict[int, float] = {}

    def restored(n: int) -> float:
        if n not in tried:
            found = [evaluation.result(top_n(s, graph, n)).faithfulness for s, evaluation in sides]
            tried[n] = float(np.mean(found))
        return tried[n]

    most = max(1, int(settings.most_edges * graph.n_edges))
    known = {n: restored(n) for n in sorted({max(1, round(f * most)) for f in FIRST})}
    chosen, status = most, "most allowed"
    if max(known.values()) >= settings.restore:
        found = minimal_size(restored, settings.restore, most, known, TOLERANCE)
        chosen, status = int(found.n or most), "found"
    rows = [
        {"n": n, "faithfulness": f, "status": status, "chosen": n == chosen}
        for n, f in sorted(tried.items())
    ]
    return pd.DataFrame(rows)
