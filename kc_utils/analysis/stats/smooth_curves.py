r"""Curves without a bend, fitted by least squares to many series at once.

- line, quadratic, cubic;
- exponential: a + b exp(r x), with 0.5 <= |r| <= 10, so that it turns over a tenth of the range of
  x at least; with drift: + c x;
- logistic: a + b / (1 + exp(-(x - m) / s)), with m inside the range of x and 0.05 <= s <= 0.3, so
  that the middle 80 % of the rise take a fifth of the range at least; with drift: + c x.

x runs from 0 to 1. What a shape adds to the constant or the line is one direction, so its gain is a
squared projection, and the best of many shapes is one matrix product. The shapes lie on a grid of
r or (m, log s); around the best shape for one series, the observed one, the grid is refined
``ZOOMS`` times by a factor of four, so that series simulated near it are fitted as finely.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

ZOOMS = 4
ONE_WAY = ("quadratic", "exponential", "exponential with drift")
"""Smooth curves whose slope grows everywhere or shrinks everywhere."""
S_SHAPED = ("cubic", "logistic", "logistic with drift")
"""Smooth curves whose slope may grow and then shrink."""

_RATES = np.concatenate([-np.arange(10.0, 0.25, -0.25), np.arange(0.5, 10.25, 0.25)])[:, None]
_CENTRES = np.linspace(0, 1, 33)
_LOG_WIDTHS = np.linspace(np.log(0.05), np.log(0.3), 9)


class SmoothCurves:
    """All smooth models on x [n_points] in [0, 1], refined around ``observed`` [n_points]."""

    def __init__(self, x: np.ndarray, observed: np.ndarray) -> None:
        self._x = x
        self._powers = np.linalg.qr(np.vander(x, 4, increasing=True))[0]
        exponentials = (_exponential, _RATES, np.array([0.25]))
        steps = np.array([_CENTRES[1], _LOG_WIDTHS[1] - _LOG_WIDTHS[0]])
        grid = np.stack(np.meshgrid(_CENTRES, _LOG_WIDTHS, indexing="ij"), axis=-1).reshape(-1, 2)
        logistics = (_logistic, grid, steps)
        self._families = {
            name: self._refined(*family, degree, observed)
            for name, family, degree in (
                ("exponential", exponentials, 0),
                ("exponential with drift", exponentials, 1),
                ("logistic", logistics, 0),
                ("logistic with drift", logistics, 1),
            )
        }

    def rss(self, series: np.ndarray) -> dict[str, np.ndarray]:
        """Residual sum of squares [S] of every model for ``series`` [S, n_points]."""
        centred = series - series.mean(axis=1, keepdims=True)
        total = (centred**2).sum(axis=1)
        gains = np.cumsum((centred @ self._powers[:, 1:]) ** 2, axis=1)
        rss = {
            name: total - gains[:, degree]
            for degree, name in enumerate(("line", "quadratic", "cubic"))
        }
        for name, family in self._families.items():
            rest = self._without(centred, family.degree)
            rss[name] = (rest**2).sum(axis=1) - ((rest @ family.shapes.T) ** 2).max(axis=1)
        return rss

    def design(self, name: str, series: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Columns of the best fit to one series [n_points], and derivatives by its parameters.

        The first array [n_points, p] spans the fitted curve; the second [n_points, q] holds the
        curve's derivatives by r or by (m, log s), up to factors.
        """
        if name in ("line", "quadratic", "cubic"):
            degree = ("line", "quadratic", "cubic").index(name) + 1
            return self._powers[:, : degree + 1], np.empty((len(self._x), 0))
        family = self._families[name]
        rest = self._without(series[None], family.degree)
        best = int(((rest @ family.shapes.T) ** 2).argmax())
        shape, derivatives = family.function(self._x, family.parameters[best : best + 1])
        columns = np.column_stack([self._powers[:, : family.degree + 1], shape[0]])
        return columns, derivatives[0].T

    def _without(self, series: np.ndarray, degree: int) -> np.ndarray:
        base = self._powers[:, : degree + 1]
        return series - (series @ base) @ base.T

    def _refined(
        self, function: _Shape, grid: np.ndarray, step: np.ndarray, degree: int, y: np.ndarray
    ) -> _Family:
        rest = self._without(y[None], degree)[0]
        parameters, shapes = grid, self._units(function(self._x, grid)[0], degree)
        offsets = np.stack(np.meshgrid(*[np.arange(-4, 5)] * grid.shape[1]), axis=-1)
        for _ in range(ZOOMS):
            step = step / 4
            best = parameters[((shapes @ rest) ** 2).argmax()]
            near = best + offsets.reshape(-1, grid.shape[1]) * step
            near = near[((near >= grid.min(axis=0)) & (near <= grid.max(axis=0))).all(axis=1)]
            parameters = np.concatenate([parameters, near])
            shapes = np.concatenate([shapes, self._units(function(self._x, near)[0], degree)])
        return _Family(function, degree, parameters, shapes)

    def _units(self, shapes: np.ndarray, degree: int) -> np.ndarray:
        rest = self._without(shapes, degree)
        return rest / np.linalg.norm(rest, axis=1, keepdims=True)


_Shape = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class _Family:
    """Shapes [N, n_points] of unit length, beside a polynomial of ``degree``."""

    function: _Shape
    degree: int
    parameters: np.ndarray
    shapes: np.ndarray


def _exponential(x: np.ndarray, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shapes [N, n_points] and their derivatives [N, 1, n_points]; at most 1 in size."""
    rates = parameters
    shapes = np.exp(rates * x - np.maximum(rates, 0))
    return shapes, (x * shapes)[:, None]


def _logistic(x: np.ndarray, parameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shapes [N, n_points] and their derivatives [N, 2, n_points]."""
    away = (x - parameters[:, :1]) / np.exp(parameters[:, 1:])
    shapes = 1 / (1 + np.exp(-away))
    steepness = shapes * (1 - shapes)
    return shapes, np.stack([steepness, away * steepness], axis=1)
