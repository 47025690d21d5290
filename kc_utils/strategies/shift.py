"""Is the phase shift over? Decided while training goes on, from what was seen so far."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from kc_utils.breakpoint import MIN_POINTS, fit_breakpoint

ALPHA = 0.01
"""Level of each single test. The test is repeated at every measurement, so it is strict."""

_RESAMPLES = 300


def detect_shift(steps: ArrayLike, entropy: ArrayLike, *, seed: int) -> bool:
    """Whether circuit entropy has turned from a steep fall to a slow one.

    The paper's phase shift is the bend between formation, in which entropy falls steeply, and
    optimisation, in which it falls slowly (Ou et al. 2025). A two-segment line
    (:func:`~kc_utils.breakpoint.fit_breakpoint`) is fitted to what was measured *after* the highest
    entropy so far: including the highest point, a selected one, would make noise look like a fall.
    The shift is detected when the bend is better than a line (p < 0.01 and BIC better by 2),
    entropy fell before it, and falls less than half as fast after it.

    On 25 points of independent noise about 3 of 100 curves raise a false alarm, on straight lines
    about 7; a random walk turns often by itself, and more than a third of such curves do.

    Args:
        steps: optimiser steps of the measurements.
        entropy: circuit entropy in nats at each.
        seed: of the bootstrap.
    """
    x, y = np.asarray(steps, dtype=float), np.asarray(entropy, dtype=float)
    start = int(np.argmax(y)) + 1
    if len(x) - start < MIN_POINTS:
        return False
    fit = fit_breakpoint(x[start:], y[start:], n=_RESAMPLES, seed=seed)
    bends = fit.p_value < ALPHA and fit.delta_bic_line > 2
    return bends and fit.slope_before < 0 and fit.slope_after > fit.slope_before / 2
