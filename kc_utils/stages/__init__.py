"""The stages of the study in their order; each belongs to one notebook."""

from __future__ import annotations

from kc_utils.config import Config
from kc_utils.stages import (
    attribution,
    base,
    circuit,
    claims,
    components,
    controls,
    evidence,
    exposure,
    forgetting,
    methods,
    performance,
    prompts,
    relevance,
    strategies,
    topology,
    training,
    unseen,
    world,
)
from kc_utils.stages.engine import Stage, Stages


def _base(settings: Config) -> object:
    made = settings.model.source == "made"
    values = [settings.seed, settings.model.model_dump(mode="json")]
    optimiser = settings.training.model_dump(exclude={"epochs", "validation_people"})
    return [*values, settings.base.model_dump(mode="json"), optimiser] if made else values


def _training(settings: Config) -> object:
    return [settings.seed, settings.training.model_dump(mode="json")]


def _prompts(settings: Config) -> object:
    chosen = settings.circuit
    return [settings.seed, chosen.tasks, chosen.bands, chosen.n_pairs, chosen.min_fellows]


def _attribution(settings: Config) -> object:
    chosen = settings.circuit
    return [chosen.every, chosen.method, chosen.metric, chosen.steps, chosen.path]


def _circuit(settings: Config) -> object:
    return [settings.seed, settings.circuit.top_n, settings.circuit.random_circuits]


def _performance(settings: Config) -> object:
    return [settings.seed, settings.circuit.hit_k, settings.analysis.bootstrap]


def _components(settings: Config) -> object:
    return [settings.circuit.top_n, settings.analysis.role_ratio, settings.analysis.lens_people]


def _methods(settings: Config) -> object:
    chosen = settings.analysis
    return [settings.seed, chosen.method_pairs, chosen.exact_max_edges, settings.circuit.top_n]


def _forgetting(settings: Config) -> object:
    return [settings.seed, settings.forgetting.model_dump(mode="json"), settings.circuit.top_n,
            settings.analysis.bootstrap]  # fmt: skip


def _controls(settings: Config) -> object:
    return [settings.seed, settings.controls.resamples, settings.circuit.top_n]


def _unseen(settings: Config) -> object:
    return [settings.seed, settings.controls.unseen_people]


def _relevance(settings: Config) -> object:
    return [*_base_and_rate(settings), settings.relevance.model_dump(mode="json")]


def _exposure(settings: Config) -> object:
    return [*_base_and_rate(settings), settings.exposure.model_dump(mode="json")]


def _strategies(settings: Config) -> object:
    chosen = settings.circuit
    how = [chosen.method, chosen.metric, chosen.steps, chosen.path]
    return [*_base_and_rate(settings), settings.strategies.model_dump(mode="json"), how]


def _base_and_rate(settings: Config) -> list[object]:
    return [_base(settings), settings.training.model_dump(mode="json")]


STAGES = Stages(
    (
        Stage("world", "01_data_synthesis", (), world.settings_of, world.compute),
        Stage("prompts", "01_data_synthesis", ("world",), _prompts, prompts.compute),
        Stage("base", "02_training", ("world",), _base, base.compute),
        Stage("training", "02_training", ("world", "base"), _training, training.compute),
        Stage("attribution", "03_circuit_discovery", ("prompts", "training"), _attribution,
              attribution.compute, version=2),
        Stage("methods", "11_circuit_engine", ("attribution",), _methods, methods.compute),
        Stage("circuit", "04_circuit_evaluation", ("attribution",), _circuit, circuit.compute,
              version=3),
        Stage("performance", "05_performance", ("circuit",), _performance, performance.compute),
        Stage("unseen", "05_performance", ("training",), _unseen, unseen.compute),
        Stage("topology", "06_topology", ("performance",), _circuit, topology.compute,
              version=2),
        Stage("controls", "06_topology", ("attribution",), _controls, controls.compute),
        Stage("components", "07_components", ("attribution",), _components, components.compute),
        Stage("forgetting", "08_forgetting", ("attribution",), _forgetting, forgetting.compute),
        Stage("claims", "09_claims",
              ("performance", "unseen", "topology", "controls", "components", "forgetting"),
              _performance, claims.compute, version=3),
        Stage("relevance", "13_relevance", ("world",), _relevance, relevance.compute,
              group="experiment"),
        Stage("exposure", "14_exposure", ("training",), _exposure, exposure.compute,
              group="experiment"),
        Stage("strategies", "15_strategies", ("base",), _strategies, strategies.compute,
              group="experiment"),
        Stage("evidence", "12_evidence", ("claims", "relevance", "exposure", "strategies"),
              _performance, evidence.compute, group="experiment"),
    )
)  # fmt: skip

__all__ = ["STAGES", "Stage", "Stages"]
