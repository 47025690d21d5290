"""Stage ``topology``: entropy, overlap and bends of the circuits over training."""

from __future__ import annotations

import pandas as pd

from kc_utils.analysis.stats.bends import MIN_POINTS, ROW, fit_bends
from kc_utils.analysis.topology import (
    centre_of_mass,
    chance_centre_of_mass,
    edge_activation_ratio,
    shape,
)
from kc_utils.circuits.circuit import Circuit, strongest_edges, top_n
from kc_utils.config import Config
from kc_utils.runs.stage import Workspace
from kc_utils.study.stages import common
from kc_utils.world import stream


def compute(work: Workspace) -> None:
    """Tables ``topology``, ``activation_ratio``, ``centre_of_mass``, ``shift`` (onset and knee),
    ``strongest_edges``."""
    run, top = work.run, common.circuit_size(work.run)
    graph = common.graph_of_run(run)
    found = [
        (int(row["step"]), float(row["epoch"]), cell, scores, top_n(scores, graph, top))
        for row, cell, scores in common.each_score(run)
    ]
    last = {cell: circuit for _, _, cell, _, circuit in found}  # the last one stays
    before: dict[common.Cell, Circuit] = {}
    shapes, ratios, centres, edges = [], [], [], []
    for step, epoch, cell, scores, circuit in found:
        at = {"step": step, "epoch": epoch, **cell._asdict()}
        shapes.append(at | shape(scores, circuit, last[cell], before.get(cell), work.config.seed))
        before[cell] = circuit
        ratios.append(edge_activation_ratio(circuit.edges, graph).assign(**at))
        centres.append(at | _centre(circuit, work.config.seed))
        edges.append(strongest_edges(scores, circuit, 60).assign(**at))
    topology = pd.DataFrame(shapes)
    work.table("topology", topology)
    work.table("activation_ratio", pd.concat(ratios, ignore_index=True))
    work.table("centre_of_mass", pd.DataFrame(centres))
    work.table("strongest_edges", pd.concat(edges, ignore_index=True))
    work.table("shift", shifts(topology, run.table("accuracy_read"), work.config))


def _centre(circuit: Circuit, seed: int) -> dict[str, float]:
    own = centre_of_mass(circuit.edges, circuit.graph)
    if circuit.n_edges == 0:
        chance = [float("nan")] * 3
    else:
        source, _ = chance_centre_of_mass(circuit.n_edges, circuit.graph, seed=seed, n=50)
        chance = [source.mean, source.low, source.high]
    return {"source": own.source, "destination": own.destination} | dict(
        zip(("random_source", "random_low", "random_high"), chance, strict=True)
    )


def shifts(topology: pd.DataFrame, read: pd.DataFrame, settings: Config) -> pd.DataFrame:
    """Onset and knee of every cell's curves (:func:`kc_utils.analysis.stats.bends.fit_bends`).

    Quantities: entropy (over all edges) and entropy_kept, which fall; edge_jaccard with the last
    checkpoint (without that one, where it is 1 by definition) and accuracy on the texts that
    training read, which rise. Formation is onset to knee, optimisation what follows. Columns:
    task, kind, band, quantity, and those of :meth:`~kc_utils.analysis.stats.bends.Bends.row`.
    """
    rows = []
    for cell, part in topology.groupby(["task", "kind", "band"], sort=False):
        task, kind, band = (str(name) for name in cell)
        known = read[(read["kind"] == kind) & (read["band"] == band)]
        curves = {
            "entropy": (part["epoch"], part["entropy"], False),
            "entropy_kept": (part["epoch"], part["entropy_kept"], False),
            "edge_jaccard": (part["epoch"].iloc[:-1], part["edge_jaccard"].iloc[:-1], True),
            "accuracy": (known["epoch"], known["value"], True),
        }
        for quantity, (epochs, values, rising) in curves.items():
            finite = values.notna().to_numpy()
            epochs, values = epochs[finite], values[finite]
            if len(epochs) >= MIN_POINTS:
                rng = stream(settings.seed, f"bends {task} {kind} {band} {quantity}")
                found = fit_bends(epochs, values, rising=rising, rng=rng).row()
                rows.append(
                    {"task": task, "kind": kind, "band": band, "quantity": quantity} | found
                )
    return pd.DataFrame(rows, columns=["task", "kind", "band", "quantity", *ROW])
