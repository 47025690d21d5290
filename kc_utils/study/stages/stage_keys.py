"""The parts of a configuration that the result of each stage depends on: they enter its key.

A stage is computed again when one of its values changes, and so is all that needs it.
"""

from __future__ import annotations

from kc_utils.config import Config


def world(settings: Config) -> object:
    """People, texts, tokenizer."""
    base, model = settings.base, settings.model
    return {
        "seed": settings.seed,
        "world": settings.world.model_dump(mode="json"),
        "corpus": [base.relations, base.n_known, base.texts_per_person, base.sentences_per_text,
                   base.given],
        "tokenizer": [model.source, model.path, model.vocab_size, settings.circuit.bos,
                      *([model.revision] if model.revision else [])],
        "validation": settings.training.validation_people,
    }  # fmt: skip


def base(settings: Config) -> object:
    """The base model: shape, texts and optimiser, where it is made here."""
    made = settings.model.source == "made"
    values = [settings.seed, settings.model.model_dump(mode="json")]
    later = {"epochs", "validation_people", "checkpoint_every", "checkpoint_epochs"}
    optimiser = settings.training.model_dump(exclude=later)
    return [*values, settings.base.model_dump(mode="json"), optimiser] if made else values


def knowledge(settings: Config) -> object:
    """Nothing of its own: people and base model decide."""
    return []


def training(settings: Config) -> object:
    """Continued training."""
    return [settings.seed, settings.training.model_dump(mode="json")]


def prompts(settings: Config) -> object:
    """Tasks, bands and numbers of pairs."""
    chosen = settings.circuit
    return [settings.seed, chosen.tasks, chosen.bands, chosen.n_pairs, chosen.min_fellows,
            chosen.bos]  # fmt: skip


def attribution(settings: Config) -> object:
    """Which checkpoints, method, metric and steps."""
    chosen = settings.circuit
    return [chosen.every, chosen.method, chosen.metric, chosen.steps, chosen.path]


def size(settings: Config) -> object:
    """The number of edges, or the rule that chooses it."""
    chosen = settings.circuit
    return [chosen.top_n, chosen.restore, chosen.most_edges]


def circuit(settings: Config) -> object:
    """Number of random circuits."""
    return [settings.seed, settings.circuit.random_circuits]


def performance(settings: Config) -> object:
    """k of Hit@k and bootstrap draws."""
    return [settings.seed, settings.circuit.hit_k, settings.analysis.bootstrap]


def components(settings: Config) -> object:
    """Thresholds of the roles and people of the logit lens."""
    return [settings.analysis.role_ratio, settings.analysis.lens_people]


def methods(settings: Config) -> object:
    """Pairs, and the largest graph for exact patching."""
    chosen = settings.analysis
    return [settings.seed, chosen.method_pairs, chosen.exact_max_edges]


def regime(settings: Config) -> object:
    """Nothing of its own."""
    return []


def ways(settings: Config) -> object:
    """k of Hit@k."""
    return [settings.seed, settings.circuit.hit_k]


def forgetting(settings: Config) -> object:
    """How the model goes on training on other people."""
    return [settings.seed, settings.forgetting.model_dump(mode="json"),
            settings.analysis.bootstrap]  # fmt: skip


def controls(settings: Config) -> object:
    """Number of resamples."""
    return [settings.seed, settings.controls.resamples]


def unseen(settings: Config) -> object:
    """Number of people never seen."""
    return [settings.seed, settings.controls.unseen_people]


def relevance(settings: Config) -> object:
    """The experiment on kinds of relevance."""
    return [*_base_and_rate(settings), settings.relevance.model_dump(mode="json")]


def exposure(settings: Config) -> object:
    """The experiment on repeated and varied texts."""
    return [*_base_and_rate(settings), settings.exposure.model_dump(mode="json")]


def strategies(settings: Config) -> object:
    """The experiment on strategies, and how their circuits are found."""
    chosen = settings.circuit
    how = [chosen.method, chosen.metric, chosen.steps, chosen.path, chosen.top_n, chosen.most_edges]
    return [*_base_and_rate(settings), settings.strategies.model_dump(mode="json"), how]


def _base_and_rate(settings: Config) -> list[object]:
    return [base(settings), settings.training.model_dump(mode="json")]
