"""Stage ``topology``: entropy, overlap and bends of the circuits over training."""

from __future__ import annotations

import pandas as pd

from kc_utils.analysis.stats.bends import MIN_POINTS as MIN_BEND_POINTS
from kc_utils.analysis.stats.bends import ROW, fit_bends
from kc_utils.analysis.stats.breakpoint import MIN_POINTS, fit_breakpoint, rising_part
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

QUANTITIES = ("entropy", "edge_jaccard", "accuracy")


def compute(work: Workspace) -> None:
    """Tables ``topology``, ``activation_ratio``, ``centre_of_mass``, ``phase_shift``,
    ``shift`` (onset and knee), ``strongest_edges``."""
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
    work.table("phase_shift", bends(topology, run.table("accuracy"), work.config))
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
            if len(epochs) >= MIN_BEND_POINTS:
                rng = stream(settings.seed, f"bends {task} {kind} {band} {quantity}")
                found = fit_bends(epochs, values, rising=rising, rng=rng).row()
                rows.append(
                    {"task": task, "kind": kind, "band": band, "quantity": quantity} | found
                )
    return pd.DataFrame(rows, columns=["task", "kind", "band", "quantity", *ROW])


def bends(topology: pd.DataFrame, accuracy: pd.DataFrame, settings) -> pd.DataFrame:
    """One two-segment fit per cell and quantity, tested against a line and a smooth curve."""
    columns = ["task", "kind", "band", "quantity", "n_points", "breakpoint_epoch", "low", "high",
               "slope_before", "slope_after", "intercept", "delta_bic_line", "delta_bic_smooth",
               "p_value", "decision"]  # fmt: skip
    trained = accuracy[accuracy["wording"] == "trained"]
    rows = []
    for (task, kind, band), part in topology.groupby(["task", "kind", "band"], sort=False):
        known = trained[(trained["kind"] == kind) & (trained["band"] == band)]
        curves = {
            "entropy": part[["epoch", "entropy"]],
            "edge_jaccard": part[["epoch", "edge_jaccard"]].iloc[
                :-1
            ],  # the last is 1 by definition
            "accuracy": known[["epoch", "value"]],
        }
        for quantity, curve in curves.items():
            if len(curve) < MIN_POINTS:
                continue
            if quantity == "accuracy":  # an S-shaped curve: its take-off is in the rising part
                curve = curve[rising_part(*curve.to_numpy().T)]
            if len(curve) < MIN_POINTS:
                continue
            fit = fit_breakpoint(
                *curve.to_numpy().T, n=settings.analysis.bootstrap, seed=settings.seed
            )
            rows.append(
                (task, kind, band, quantity, fit.n_points, fit.breakpoint, fit.low, fit.high,
                 fit.slope_before, fit.slope_after, fit.intercept, fit.delta_bic_line,
                 fit.delta_bic_smooth, fit.p_value, fit.decision())
            )  # fmt: skip
    return pd.DataFrame(rows, columns=columns)
