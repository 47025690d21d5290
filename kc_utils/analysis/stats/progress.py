"""Is one curve ahead of another at the same progress?

K_rel and K_compl are compared at the epoch where K_compl reaches a given accuracy: the same
progress, whatever the speed of training. In the curves of Ou et al. (2025), lead of K_rel in
first-token accuracy, where K_compl is at 0.3 / the largest at any checkpoint:
GPT-2 0.22 / 0.22, GPT-2 Medium 0.22 / 0.23, phi-1.5 0.23 / 0.24, TinyLlama - / 0.15, whose K_compl
starts at 0.37.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from kc_utils.errors import KcError

LEVEL = 0.3


@dataclass(frozen=True)
class Lead:
    """How far the first curve is ahead where the second reaches a level.

    ``lead`` is in units of the values, ``epoch`` is where the level is reached. Both are NaN where
    there is no such epoch, and ``reason`` says why.
    """

    lead: float
    epoch: float
    reason: str


def lead_at_progress(
    epochs: ArrayLike, ahead: ArrayLike, behind: ArrayLike, *, level: float = LEVEL
) -> Lead:
    """Value of ``ahead`` minus ``level`` at the epoch where ``behind`` first reaches ``level``.

    Between checkpoints both curves are straight lines. A noisy curve may fall back below the level
    afterwards; the first crossing counts.

    Args:
        epochs: increasing epochs at which both were measured.
        ahead: the curve whose lead is asked for, K_rel.
        behind: the curve that measures progress, K_compl.
        level: progress at which they are compared.

    Raises:
        KcError: unequal lengths, no value, values that are not finite, epochs that don't increase.
    """
    x, first, second = _checked(epochs, ahead, behind)
    reached = np.flatnonzero(second >= level)
    if not len(reached):
        return Lead(math.nan, math.nan, f"{level:g} is never reached, {second.max():.3g} at most")
    k = int(reached[0])
    if k == 0 and second[0] > level:
        return Lead(math.nan, math.nan, f"above {level:g} from the start, at {second[0]:.3g}")
    share = 1.0 if k == 0 else (level - second[k - 1]) / (second[k] - second[k - 1])
    before = max(k - 1, 0)
    lead = (1 - share) * first[before] + share * first[k] - level
    return Lead(float(lead), float((1 - share) * x[before] + share * x[k]), "")


def _checked(*arrays: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, first, second = (np.asarray(array, dtype=float).ravel() for array in arrays)
    if not len(x) or not len(x) == len(first) == len(second):
        raise KcError(
            f"A lead needs equally many epochs and values, at least one, "
            f"not {len(x)}, {len(first)} and {len(second)}."
        )
    bad = sum(int((~np.isfinite(array)).sum()) for array in (x, first, second))
    if bad:
        raise KcError(f"{bad} of the epochs and values given to a lead are not finite numbers.")
    if (np.diff(x) <= 0).any():
        raise KcError(f"Epochs of a lead must increase; {x[:-1][np.diff(x) <= 0][0]:g} does not.")
    return x, first, second
