"""What every measurement of a model begins with: eval mode, and texts of like length together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from transformers import PreTrainedModel

from kc_utils.errors import KcError


def refuse_training(model: PreTrainedModel) -> None:
    """Raise :class:`KcError` if dropout is on."""
    if model.training:
        raise KcError("The model is in training mode, so dropout is on; call model.eval() first.")


def like_length(lengths: Sequence[int] | np.ndarray, batch_size: int) -> Iterator[list[int]]:
    """Indices in batches of ``batch_size``, shortest texts first, so that little is padded."""
    order = np.argsort(np.asarray(lengths), kind="stable").tolist()
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def equal_length(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Indices in batches of texts of one length, so that nothing is padded."""
    groups: dict[int, list[int]] = {}
    for index, length in enumerate(lengths):
        groups.setdefault(length, []).append(index)
    for length in sorted(groups):
        for start in range(0, len(groups[length]), batch_size):
            yield groups[length][start : start + batch_size]
