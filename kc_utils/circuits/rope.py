"""Rotary positions whose rotation depends on how long a run is.

``longrope`` (Ding et al. 2024, arXiv 2402.13753; Phi-3.5) rotates by its short factors in a run of
up to ``original_max_position_embeddings`` tokens, and by its long ones in a longer run. ``dynamic``
stretches its rotation with the longest run so far, and does not always shrink it again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from transformers import PreTrainedConfig

LONGROPE = "longrope"
GROWING = "dynamic"


def growing_type(config: PreTrainedConfig) -> str | None:
    """The rope type that remembers the longest run, if the model has one."""
    return next((kind for kind, _ in _ropes(config) if GROWING in kind), None)


def longest_short_run(config: PreTrainedConfig) -> int | None:
    """Most tokens of a run that ``longrope`` rotates by its short factors; None without it."""
    limits = [rope["original_max_position_embeddings"] for kind, rope in _ropes(config)
              if kind == LONGROPE]  # fmt: skip
    return min(limits, default=None)


def _ropes(config: PreTrainedConfig) -> Iterator[tuple[str, dict[str, Any]]]:
    """Type and settings of the rotations: one for all layers, or one per kind of layer."""
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    for found in (rope, *rope.values()):
        if isinstance(found, dict):
            yield str(found.get("rope_type", found.get("type", "default"))), found
