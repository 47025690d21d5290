"""How a gain is lost over time: decay laws fitted to a curve and compared by information criteria.

With t steps since the exposure (t >= 0) and a gain y(t):

- ``constant``: a, nothing is lost,
- ``exponential``: a exp(-t / s), the same share is lost in every step,
- ``power``: a (1 + t)^-s, the loss slows down,
- ``logarithm``: a (1 - s ln(1 + t)): equal losses over equal ratios of time, the form in which
  Chang et al. 2024 (arXiv 2406.11813) report retainability against steps. For a gain in
  log-probability it means that the probability itself falls as a power of time.

Errors are taken as Gaussian with equal variance. For a given shape s the best a is a linear
least-squares solution, so only s is searched for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar

from kc_utils.errors import KcError

LAWS = ("constant", "exponential", "power", "logarithm")
MIN_POINTS = 5
"""Fewer points than this leave too few degrees of freedom to compare laws of two parameters."""

_GRID = 40
_Shape = Callable[[np.ndarray, float], np.ndarray]
#: Relative gain at time t for a shape, and the smallest and largest shape that are tried.
_FORMS: dict[str, tuple[_Shape, float, float]] = {
    "exponential": (lambda t, s: np.exp(-t / s), 0.2, 1e4),
    "power": (lambda t, s: (1 + t) ** -s, 1e-4, 5.0),
    "logarithm": (lambda t, s: 1 - s * np.log1p(t), 1e-4, 1.0),
}


@dataclass(frozen=True)
class Fit:
    """A fitted law: ``scale`` a (gain at t = 0), ``shape`` s (NaN for a constant), and how good.

    ``aic`` and ``bic`` count the parameters of the law and the variance; lower is better.
    """

    law: str
    scale: float
    shape: float
    aic: float
    bic: float
    n: int

    def __call__(self, t: ArrayLike) -> np.ndarray:
        """The fitted gain at ``t`` steps."""
        times = np.asarray(t, dtype=float)
        if self.law == "constant":
            return np.full(times.shape, self.scale)
        return self.scale * _FORMS[self.law][0](times, self.shape)


def fit(law: str, t: ArrayLike, gain: ArrayLike) -> Fit:
    """Least-squares fit of one of :data:`LAWS`.

    Raises:
        KcError: another law, fewer than :data:`MIN_POINTS` points, a negative time, a value that is
            not finite.
    """
    if law not in LAWS:
        raise KcError(f"There is no law {law!r}; allowed are {', '.join(LAWS)}.")
    times, values = np.asarray(t, dtype=float), np.asarray(gain, dtype=float)
    if len(times) != len(values) or len(times) < MIN_POINTS:
        raise KcError(f"{len(times)} times came with {len(values)} gains; {MIN_POINTS} are needed.")
    if not np.isfinite([times, values]).all() or times.min() < 0:
        raise KcError("Times and gains must be finite, and no time may be negative.")
    if law == "constant":
        mean = float(values.mean())
        return _scored(law, mean, math.nan, values - mean, 1)
    form, low, high = _FORMS[law]

    def error(log_shape: float) -> float:
        return float(np.square(_residual(form(times, math.exp(log_shape)), values)).sum())

    shape = math.exp(_smallest(error, math.log(low), math.log(high)))
    curve = form(times, shape)
    return _scored(law, _scale(curve, values), shape, _residual(curve, values), 2)


def compare(t: ArrayLike, gain: ArrayLike) -> dict[str, Fit]:
    """All :data:`LAWS` fitted to the same points, by name; errors as :func:`fit`."""
    return {law: fit(law, t, gain) for law in LAWS}


def _smallest(error: Callable[[float], float], low: float, high: float) -> float:
    """Where ``error`` is smallest: the best of a grid, refined between its neighbours."""
    grid = np.linspace(low, high, _GRID)
    best = int(np.argmin([error(x) for x in grid]))
    bounds = (grid[max(best - 1, 0)], grid[min(best + 1, _GRID - 1)])
    found = minimize_scalar(error, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return float(found.x if found.fun <= error(grid[best]) else grid[best])


def _scale(curve: np.ndarray, values: np.ndarray) -> float:
    return float(curve @ values / max(curve @ curve, 1e-300))


def _residual(curve: np.ndarray, values: np.ndarray) -> np.ndarray:
    return values - _scale(curve, values) * curve


def _scored(law: str, scale: float, shape: float, residual: np.ndarray, n_free: int) -> Fit:
    n = len(residual)
    variance = max(float(np.square(residual).mean()), 1e-24)  # a perfect fit stays finite
    deviance = n * (math.log(2 * math.pi * variance) + 1)
    parameters = n_free + 1
    aic, bic = deviance + 2 * parameters, deviance + math.log(n) * parameters
    return Fit(law, scale, shape, aic, bic, n)
