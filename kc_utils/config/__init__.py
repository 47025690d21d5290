"""One frozen, validated configuration per run, and the named profiles.

:func:`build` makes a configuration from nested values and dotted overrides such as
``training.epochs=5``; :func:`kc_utils.config.profiles.load` starts from a profile.
"""

from kc_utils.config.overrides import build
from kc_utils.config.run import (
    ATTRIBUTES,
    BANDS,
    CELL,
    KINDS,
    STRANGE,
    Attribute,
    Band,
    Config,
    ExposureConfig,
    Kind,
    ModelConfig,
    StrategyConfig,
    WorldConfig,
)
from kc_utils.config.training import TrainingConfig

__all__ = [
    "ATTRIBUTES",
    "BANDS",
    "CELL",
    "KINDS",
    "STRANGE",
    "Attribute",
    "Band",
    "Config",
    "ExposureConfig",
    "Kind",
    "ModelConfig",
    "StrategyConfig",
    "TrainingConfig",
    "WorldConfig",
    "build",
]
