"""Every model of a curve with or without bends, compared by BIC and by simulation.

A curve is scaled to epochs 0 to 1 and values 0 to 1 and turned so that it rises. So results don't
depend on units, and rounding has one size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kc_utils.analysis.stats.autocorrelation import Noise, estimate_noise
from kc_utils.analysis.stats.hinges import Hinges
from kc_utils.analysis.stats.smooth_curves import ONE_WAY, S_SHAPED, SmoothCurves

UNBENT = ("line", *ONE_WAY)
BENT = ("onset", "knee", "onset and knee")
MODELS = (*UNBENT, *BENT, *S_SHAPED)
N_PARAMETERS = {
    "line": 3, "quadratic": 4, "exponential": 4, "exponential with drift": 5,
    "onset": 5, "knee": 5, "onset and knee": 7,
    "cubic": 5, "logistic": 5, "logistic with drift": 6,
}  # fmt: skip
"""Coefficients, bends or shape parameters, and the noise's variance."""

_ROUNDING = 1e-14  # mean squared residual that is told apart from rounding


class BendModels:
    """All models fitted to ``values`` over ``epochs`` [n_points], sorted by epoch."""

    def __init__(self, epochs: np.ndarray, values: np.ndarray, *, rising: bool) -> None:
        self._start, self._span = float(epochs[0]), float(np.ptp(epochs))
        constant = np.ptp(values) <= 1e-12 * np.abs(values).max()
        self._height = (1.0 if constant else float(np.ptp(values))) * (1 if rising else -1)
        self._x = (epochs - self._start) / self._span
        self._y = np.zeros_like(values) if constant else (values - values[0]) / self._height
        self._smooth = SmoothCurves(self._x, self._y)
        self._hinges = Hinges(self._x)
        self._bends = {model: self._hinges.fit(model, self._y[None]).bends[0] for model in BENT}
        self.bic = {model: float(bic[0]) for model, bic in self.bics(self._y[None]).items()}

    def best(self, models: Sequence[str]) -> str:
        """The model of lowest BIC; the first of equals."""
        return min(models, key=self.bic.__getitem__)

    def epochs(self, model: str) -> np.ndarray:
        """Epochs of the bends of a model with bends; NaN if none has the right signs."""
        return self._start + self._span * self._bends[model]

    def slopes(self, model: str) -> tuple[float, float, float]:
        """Slopes before the onset, in the steep part and after the knee, NaN if there is none.

        In units of the values per epoch, and in the curve's own direction: a falling curve's steep
        slope is negative.
        """
        columns = self._design(model)[0]
        heights = np.linalg.lstsq(columns, self._y, rcond=None)[0][1:]
        slopes = list(np.cumsum(heights) * self._height / self._span)
        missing = [float("nan")]
        slopes = slopes + missing if model == "onset" else slopes
        slopes = missing + slopes if model == "knee" else slopes
        return tuple(float(slope) for slope in slopes)

    def noise(self, model: str) -> Noise:
        """Noise that ``model`` leaves."""
        columns, derivatives = self._design(model)
        residuals = self._y - self.curve(model)
        return estimate_noise(residuals, np.hstack([columns, derivatives]), _ROUNDING)

    def difference(self, rivals: Sequence[str], models: Sequence[str]) -> float:
        """BIC(best of ``rivals``) - BIC(best of ``models``)."""
        return self.bic[self.best(rivals)] - self.bic[self.best(models)]

    def curve(self, model: str) -> np.ndarray:
        """The best fit of ``model`` [n_points], scaled."""
        columns = self._design(model)[0]
        return columns @ np.linalg.lstsq(columns, self._y, rcond=None)[0]

    def bics(self, series: np.ndarray) -> dict[str, np.ndarray]:
        """BIC [S] of every model for scaled ``series`` [S, n_points]."""
        rss = self._smooth.rss(series) | {m: self._hinges.fit(m, series).rss for m in BENT}
        n = series.shape[1]
        return {
            model: n * np.log(np.maximum(rss[model] / n, _ROUNDING))
            + N_PARAMETERS[model] * np.log(n)
            for model in MODELS
        }

    def refitted(self, model: str, series: np.ndarray) -> np.ndarray:
        """Epochs [S, n_bends] of the bends of ``model`` in scaled ``series``; NaN as above."""
        return self._start + self._span * self._hinges.fit(model, series).bends

    def _design(self, model: str) -> tuple[np.ndarray, np.ndarray]:
        """Columns of a model's best fit, and derivatives by its non-linear parameters."""
        if model not in BENT:
            return self._smooth.design(model, self._y)
        away = self._x[:, None] - self._bends[model]
        columns = np.column_stack([np.ones_like(self._x), self._x, np.maximum(0, away)])
        # A bend on a point has two one-sided derivatives there; their mean is taken.
        return columns, np.where(np.abs(away) < 1e-9, 0.5, away > 0)


class Simulation:
    """Series with one set of noise [n, n_points] around the best fit of one model or another."""

    def __init__(self, models: BendModels, noise: np.ndarray) -> None:
        self._models = models
        self._noise = noise
        self._bics: dict[str, dict[str, np.ndarray]] = {}

    def p_value(self, rivals: Sequence[str], models: Sequence[str]) -> float:
        """How often series from the best rival prefer ``models`` as much as the curve does.

        (1 + hits) / (1 + n), where a hit has BIC(best of ``rivals``) - BIC(best of ``models``) at
        least as large as the curve has.
        """
        truth = self._models.best(rivals)
        if truth not in self._bics:
            self._bics[truth] = self._models.bics(self._models.curve(truth) + self._noise)
        bic = self._bics[truth]
        found = np.min([bic[m] for m in rivals], axis=0) - np.min([bic[m] for m in models], axis=0)
        hits = int((found >= self._models.difference(rivals, models)).sum())
        return (1 + hits) / (1 + len(self._noise))

    def intervals(self, model: str, level: float) -> np.ndarray:
        """Lower and upper ends [2, n_bends] of the epochs of the bends of ``model``.

        Percentiles over series from ``model``, widened to hold the curve's own bends.
        """
        found = self._models.refitted(model, self._models.curve(model) + self._noise)
        found = found[np.isfinite(found).all(axis=1)]
        own = self._models.epochs(model)
        ends = np.quantile(found, [(1 - level) / 2, (1 + level) / 2], axis=0)
        return np.stack([np.minimum(ends[0], own), np.maximum(ends[1], own)])
