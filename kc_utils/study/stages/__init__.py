"""The stages of the study in their order; each belongs to one notebook."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from kc_utils.config import Config
from kc_utils.runs.stage import Stage, Stages, Workspace
from kc_utils.study.stages import stage_keys


def _stage(
    name: str,
    notebook: str,
    needs: tuple[str, ...],
    depends_on: Callable[[Config], Any],
    **more: Any,
) -> Stage:
    """A stage computed by the module of its name.

    The module is imported when the stage is computed: a notebook that only reads finished tables
    does not wait for the libraries that run models.
    """

    def compute(work: Workspace) -> None:
        if name == "claims":
            import_module("kc_utils.study.claims.ledger").compute_claims(work)
        elif more.get("group") == "experiment":
            import_module(f"kc_utils.study.experiments.{name}.stage").compute(work)
        else:
            import_module(f"kc_utils.study.stages.{name}").compute(work)

    return Stage(name, notebook, needs, depends_on, compute, **more)


STAGES = Stages(
    (
        _stage("world", "01_data_synthesis", (), stage_keys.world, version=2),
        _stage("prompts", "01_data_synthesis", ("world",), stage_keys.prompts, version=2),
        _stage("base", "02_training", ("world",), stage_keys.base),
        _stage("knowledge", "02_training", ("base",), stage_keys.knowledge),
        _stage("training", "02_training", ("world", "base"), stage_keys.training, version=2),
        _stage(
            "attribution",
            "03_circuit_discovery",
            ("prompts", "training"),
            stage_keys.attribution,
            version=2,
        ),
        _stage("size", "03_circuit_discovery", ("attribution",), stage_keys.size),
        _stage("methods", "11_methods", ("size",), stage_keys.methods),
        _stage("ways", "11_methods", ("size",), stage_keys.ways, version=2),
        _stage("circuit", "04_circuit_evaluation", ("size",), stage_keys.circuit, version=6),
        _stage("performance", "05_performance", ("circuit",), stage_keys.performance, version=3),
        _stage("unseen", "05_performance", ("training",), stage_keys.unseen),
        _stage("topology", "06_topology", ("performance",), stage_keys.circuit, version=3),
        _stage("regime", "06_topology", ("knowledge", "topology"), stage_keys.regime),
        _stage("controls", "06_topology", ("size",), stage_keys.controls, version=3),
        _stage("components", "07_components", ("size",), stage_keys.components, version=3),
        _stage("forgetting", "08_forgetting", ("size",), stage_keys.forgetting, version=3),
        _stage(
            "claims",
            "12_evidence",
            (
                "knowledge",
                "performance",
                "unseen",
                "topology",
                "ways",
                "controls",
                "components",
                "forgetting",
            ),
            stage_keys.performance,
            version=5,
        ),
        _stage("relevance", "13_relevance", ("world",), stage_keys.relevance, group="experiment"),
        _stage("exposure", "14_exposure", ("training",), stage_keys.exposure, group="experiment"),
        _stage("strategies", "15_strategies", ("base",), stage_keys.strategies, group="experiment"),
    )
)

__all__ = ["STAGES", "Stage", "Stages"]
