"""Structural consistency: what an epoch changes in a circuit, beside what other people change.

Circuits of neighbouring checkpoints are found on the same people. If they differ as much as two
circuits of one checkpoint that were found on two samples of people, then the overlap over training
says nothing that the choice of people does not say as well.
"""

from __future__ import annotations

import functools

from kc_utils.analysis.stats.resample import NotMeasured, over_cells
from kc_utils.runs.folder import Run
from kc_utils.study.claims.claim import Claim, Finding
from kc_utils.study.claims.phase_controls import first_task
from kc_utils.study.claims.phases import CELL

MARGINS = {"edge": 0.05, "node": 0.02}
"""Smallest difference of Jaccard similarities that counts."""


def consistency(run: Run, what: str) -> Finding:
    """Mean Jaccard similarity with the checkpoint before, beside two samples of people.

    The second half of training, the first task; ``what`` is "edge" or "node".
    """
    floor = run.table("noise_floor")
    curves = first_task(run, run.table("topology")).dropna(subset=[f"{what}_jaccard_previous"])
    late = curves[curves["step"] > floor["step"].min()]
    if late.empty:
        raise NotMeasured("there is no checkpoint in the second half of training but one")
    resampling = {"n": run.config.analysis.bootstrap, "seed": run.config.seed}
    effect = over_cells(late.groupby(CELL)[f"{what}_jaccard_previous"].mean(), **resampling)
    control = over_cells(floor.groupby(CELL)[f"{what}_jaccard"].mean(), **resampling)
    if control.mean + MARGINS[what] >= 1:
        raise NotMeasured(
            f"two samples of people share {control.mean:.2f} of the {what}s, "
            "which leaves no room above"
        )
    draws = len(floor) // floor.groupby(CELL).ngroups
    note = (
        f"{late['step'].nunique()} steps from checkpoint to checkpoint, {draws} pairs of samples."
    )
    return Finding(effect, control, late.groupby(CELL).ngroups, "cells", note=note)


def _claim(what: str, paper: str) -> Claim:
    return Claim(
        id=f"consistency-{what}s",
        topic="phases",
        claim=f"Late on, an epoch changes a circuit's {what}s less than other people do",
        paper=paper,
        quantity=f"{what} Jaccard with checkpoint before",
        control="two samples of people",
        test="second half of training, first task; bootstrap over cells",
        direction="above",
        margin=MARGINS[what],
        notebook="06_topology",
        measure=functools.partial(consistency, what=what),
    )


CLAIMS = (
    _claim("edge", "edge Jaccard with the last circuit rises to 0.63; no noise floor"),
    _claim("node", "node Jaccard with the last circuit rises to 0.98; no noise floor"),
)
