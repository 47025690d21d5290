"""Every measure by its name in ``claims.toml``: tables of a training run in, one number out."""

from __future__ import annotations

from collections.abc import Callable

from kc_utils.study.claims import (
    acquisition,
    depth,
    experiments,
    forgetting,
    phases,
    restoring,
)
from kc_utils.study.claims.measured import Measured

MEASURES: dict[str, Callable[..., Measured]] = {
    function.__name__: function
    for function in (
        acquisition.sooner,
        acquisition.frequent_sooner,
        acquisition.relevance,
        acquisition.circuit_hits,
        acquisition.confident,
        acquisition.confident_together,
        restoring.sparse,
        restoring.held_out,
        restoring.transfer,
        restoring.aligned,
        restoring.another_way,
        phases.bent,
        phases.knee_place,
        phases.optimisation,
        phases.entropy_falls,
        phases.knee_earlier,
        phases.knees_together,
        phases.edges_stabilise,
        phases.nodes_steadier,
        depth.shift,
        depth.deeper_half,
        depth.role,
        forgetting.forgets,
        forgetting.conflict,
        forgetting.facts_return,
        forgetting.circuit_returns,
        forgetting.replay_matters,
        experiments.exposure_gain,
        experiments.exposure_lost,
        experiments.retained,
        experiments.power_law,
        experiments.strategy,
    )
}
