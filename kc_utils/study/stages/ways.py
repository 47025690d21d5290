"""Stage ``ways``: circuits of the last checkpoint, found in the ways in which studies differ.

Discovery can pair a prompt with a person of its own type, band and split, or with anybody whose
name has as many tokens, as the published code does; it can keep the strongest edges wherever they
are, or grow the circuit greedily from the logits. All are judged on the same held-out people at the
same number of edges, beside a random circuit.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from kc_utils import artifacts
from kc_utils.analysis.topology import jaccard, node_jaccard
from kc_utils.circuits import (
    BatchEvaluation,
    Circuit,
    PairBatch,
    attribute,
    mean_outputs,
    random_circuit,
    top_n,
)
from kc_utils.circuits.greedy import greedy
from kc_utils.runs.folder import Run
from kc_utils.runs.jobs import run_jobs
from kc_utils.runs.stage import Workspace
from kc_utils.study.stages import common

HERE, FREE, GREEDY, RANDOM = "here", "partners from everybody", "greedy", "random"
ABLATIONS = ("corrupted", "zero", "mean")


def compute(work: Workspace) -> None:
    """Table ``ways``: a row per cell of the first task, way and ablation.

    Columns: task, kind, band, way, n_edges, edge_jaccard, node_jaccard (with the circuit found
    here), ablation, faithfulness, hit (share of held-out queries), n_pairs.
    """
    run = work.run
    step = int(common.analysed_checkpoints(run)["step"].iloc[-1])
    first = run.config.circuit.tasks[0]
    numbers = [i for i, cell in enumerate(common.cells(run.config)) if cell.task == first]
    jobs = [(run, step, i, work.parts / f"{i:03d}.parquet") for i in numbers]
    run_jobs(
        compare_cell, [j for j in jobs if not artifacts.intact(j[3])], "ways to find a circuit"
    )
    work.table("ways", pd.concat([artifacts.read_parquet(j[3]) for j in jobs], ignore_index=True))


def compare_cell(run: Run, step: int, number: int, out: Path) -> None:
    """The rows of one cell."""
    cell, graph, n = (
        common.cells(run.config)[number],
        common.graph_of_run(run),
        common.circuit_size(run),
    )
    bridge, scores = common.open_bridge(run, step), common.load_scores(run, step)[cell.name]
    pairs = common.read_pairs(run)
    free = common.select(run.read(run.path / "data" / "free_pairs.parquet"), cell, "discover")
    others = attribute(bridge, PairBatch.from_frame(free), common.attribution_settings(run.config))
    here = top_n(scores, graph, n)
    circuits: dict[str, Circuit] = {
        HERE: here,
        FREE: top_n(others, graph, n),
        GREEDY: greedy(scores, graph, n),
        RANDOM: random_circuit(graph, here.n_edges, run.config.seed * 1000 + number),
    }
    held_out = common.batch_of(pairs, cell, "evaluate")
    means = mean_outputs(bridge, common.batch_of(pairs, cell, "discover"))
    evaluation = BatchEvaluation(bridge, held_out, means)
    rows = []
    for way, circuit in circuits.items():
        same = {
            "edge_jaccard": jaccard(here.edges, circuit.edges),
            "node_jaccard": node_jaccard(here.nodes, circuit.nodes),
        }
        for ablation, result in evaluation.results(circuit, ABLATIONS).items():
            rows.append(
                {**cell._asdict(), "way": way, "n_edges": circuit.n_edges, **same,
                 "ablation": ablation, "faithfulness": result.faithfulness,
                 "hit": result.hit_at(run.config.circuit.hit_k), "n_pairs": len(held_out)}
            )  # fmt: skip
    artifacts.write_piece(out, pd.DataFrame(rows))
