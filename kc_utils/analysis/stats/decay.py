"""How a gain is lost over time: decay laws fitted to a curve and compared by information criteria.

With t steps since the exposure (t >= 0) and a gain y(t):

- ``constant``: a, nothing is lost,
- ``exponential``: a exp(-t / s), the same share is lost in every step,
- ``power``: a (1 + t)^-s, the loss slows down,
- ``logarithm``: a (1 - s ln(1 + t)): equal losses over equal ratios of time, the form in which
  Chang et al. 2024 (arXiv 2406.11813) report retainability against steps. For a gain in
  log-probability it means that the probability itself falls as a power of time.

Errors are taken as Gaussian with equal variance. For a given shape s the best a is a linear
least-squares solution, so only s is searched for: on a logarithmic grid, then between its points.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar

from kc_utils.errors import KcError

LAWS = ("constant", "exponential", "power", "logarithm")
MIN_POINTS = 5
"""Fewer points than this leave too few degrees of freedom to compare laws of two parameters."""

_GRID = 2000
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
    times, values = _checked(law, t, np.asarray(gain, dtype=float))
    shape, error = math.nan, float(_grid_errors(law, times, values[None]).min())
    if law != "constant":
        shape, error = _refined(law, times, values)
    curve = Fit(law, 1.0, shape, math.nan, math.nan, 0)(times)
    scale = float(curve @ values / (curve @ curve))
    aic, bic = (float(x[0]) for x in _criteria(law, np.array([error]), len(times)))
    return Fit(law, scale, shape, aic, bic, len(times))


def compare(t: ArrayLike, gain: ArrayLike) -> dict[str, Fit]:
    """All :data:`LAWS` fitted to the same points, by name; errors as :func:`fit`."""
    return {law: fit(law, t, gain) for law in LAWS}


def many_bic(law: str, t: ArrayLike, gains: Float[np.ndarray, "n points"]) -> np.ndarray:
    """BIC of the law fitted to each of many curves at the same times, without refining the grid.

    Meant for resampled curves; errors as :func:`fit`. Returns [n].
    """
    times, values = _checked(law, t, gains)
    errors = _grid_errors(law, times, values).min(axis=1)
    return _criteria(law, errors, len(times))[1]


def _checked(law: str, t: ArrayLike, gains: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if law not in LAWS:
        raise KcError(f"There is no law {law!r}; allowed are {', '.join(LAWS)}.")
    times, n = np.asarray(t, dtype=float), gains.shape[-1]
    if len(times) != n or n < MIN_POINTS:
        raise KcError(f"{len(times)} times came with {n} gains; {MIN_POINTS} of each are needed.")
    if not (np.isfinite(times).all() and np.isfinite(gains).all()) or times.min() < 0:
        raise KcError("Times and gains must be finite, and no time may be negative.")
    return times, gains


def _shapes(law: str) -> np.ndarray:
    _, low, high = _FORMS[law]
    return np.geomspace(low, high, _GRID)


def _grid_errors(law: str, times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Squared errors of every curve (rows) at every shape of the grid (columns), best scales."""
    curves = np.ones((1, len(times)))
    if law != "constant":
        curves = _FORMS[law][0](times, _shapes(law)[:, None])
    return _errors(curves, values)


def _errors(curves: np.ndarray, values: np.ndarray) -> np.ndarray:
    power = np.maximum(np.square(curves).sum(axis=1), 1e-300)
    explained = np.square(values @ curves.T) / power
    return np.maximum(np.square(values).sum(axis=1, keepdims=True) - explained, 0.0)


def _refined(law: str, times: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """The best shape and its error: the best of the grid, refined between its neighbours."""
    shapes, form = _shapes(law), _FORMS[law][0]
    errors = _grid_errors(law, times, values[None])[0]
    best = int(errors.argmin())
    bounds = shapes[max(best - 1, 0)], shapes[min(best + 1, _GRID - 1)]
    found = minimize_scalar(
        lambda shape: float(_errors(form(times, shape)[None], values[None])[0, 0]),
        bounds=bounds,
        method="bounded",
        options={"xatol": 1e-7 * bounds[1]},
    )
    if found.fun < errors[best]:
        return float(found.x), float(found.fun)
    return float(shapes[best]), float(errors[best])


def _criteria(law: str, errors: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """AIC and BIC from sums of squared errors."""
    variance = np.maximum(errors / n, 1e-24)  # a perfect fit stays finite
    deviance = n * (np.log(2 * math.pi * variance) + 1)
    parameters = 2 if law == "constant" else 3
    return deviance + 2 * parameters, deviance + math.log(n) * parameters
