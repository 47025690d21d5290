"""Is there a bend in a curve over checkpoints, and where? Never judged by eye.

Three models of y over x compete, all by least squares:

- line: y = a + b x;
- bend: y = a + b x + c max(0, x - t), continuous, t on a grid between the points;
- smooth: the better of a quadratic and of an exponential approach a + b exp(x / tau), which
  turn without a bend. |tau| is at least a tenth of the range of x, so that it stays smooth.

Each gets a BIC (n ln(RSS / n) + k ln n; k counts the breakpoint, tau and the noise variance). The
improvement of the bend over the line is the largest F statistic over the grid (sup-F, Andrews
1993). Its p-value and the interval of t come from a residual bootstrap. Checkpoints of one
training run are not independent: the residuals of the bend are modelled as a first-order
autoregression, whose innovations are resampled (rho is estimated between 0 and 0.9, with a
small-sample correction).

For a given t, what the hinge adds to the line is one direction q(t), so RSS(t) = RSS(line) -
(q(t) . y)^2, and a whole bootstrap is one matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.signal import lfilter

from kc_utils.errors import KcError

MIN_POINTS = 6
GRID_PER_GAP = 8
MAX_RHO = 0.9
CALIBRATION = 200  # simulated series per candidate correlation


@dataclass(frozen=True)
class BreakpointFit:
    """The bend, what speaks for it, and what speaks against it.

    ``breakpoint`` with ``low`` and ``high`` is in units of x; slopes are units of y per unit of
    x. ``delta_bic_line`` and ``delta_bic_smooth`` are BIC(line) - BIC(bend) and BIC(smooth) -
    BIC(bend): positive values favour the bend. ``p_value`` tests the straight line.
    """

    breakpoint: float
    low: float
    high: float
    slope_before: float
    slope_after: float
    intercept: float
    bic_line: float
    bic_smooth: float
    bic_bend: float
    smooth_kind: Literal["quadratic", "exponential"]
    p_value: float
    rho: float
    n_points: int

    @property
    def delta_bic_line(self) -> float:
        """BIC(line) - BIC(bend)."""
        return self.bic_line - self.bic_bend

    @property
    def delta_bic_smooth(self) -> float:
        """BIC(smooth) - BIC(bend)."""
        return self.bic_smooth - self.bic_bend

    def decision(
        self, *, alpha: float = 0.05, margin: float = 2.0
    ) -> Literal["bend", "no bend", "undecided"]:
        """Verdict on one sharp bend.

        "bend": p below ``alpha`` and both BIC differences above ``margin``. "no bend": the line
        is no worse than the bend, or the smooth curve is better by more than ``margin``.
        "undecided": everything else, such as a curve with two bends or strongly correlated noise.
        """
        if self.delta_bic_line <= 0 or self.delta_bic_smooth < -margin:
            return "no bend"
        sharp = min(self.delta_bic_line, self.delta_bic_smooth) > margin
        return "bend" if sharp and self.p_value < alpha else "undecided"

    def predict(self, x: ArrayLike) -> np.ndarray:
        """The fitted two-segment line at ``x``."""
        points = np.asarray(x, dtype=np.float64)
        hinge = np.maximum(0, points - self.breakpoint)
        change = self.slope_after - self.slope_before
        return self.intercept + self.slope_before * points + change * hinge


def fit_breakpoint(
    x: ArrayLike, y: ArrayLike, *, n: int = 1000, seed: int, level: float = 0.95
) -> BreakpointFit:
    """Fit a continuous two-segment line to y over x and test it (see the module's docstring).

    At least two points lie on either side of every candidate breakpoint. A constant or exactly
    straight y has p = 1.

    Raises:
        KcError: with fewer than 6 points or different x values, unequal lengths, or values that
            are not finite.
    """
    points, values = _checked(x, y)
    grid = _grid(points)
    line = np.linalg.qr(np.stack([np.ones_like(points), points], axis=1))[0]
    directions = _directions(np.maximum(0, points[:, None] - grid), line)
    floor = _floor(values)
    rest = values - line @ (line.T @ values)
    rss_line = max(float(rest @ rest), floor)
    best, gain = _best(directions, values[None])
    rss_bend = max(rss_line - float(gain[0]), floor)
    at = float(grid[best[0]])

    design = np.stack([np.ones_like(points), points, np.maximum(0, points - at)], axis=1)
    intercept, slope, change = np.linalg.lstsq(design, values, rcond=None)[0]
    fitted = design @ np.array([intercept, slope, change])
    rng = np.random.default_rng([seed, 21])
    residuals = values - fitted
    exact = rss_bend <= floor
    rho = 0.0 if exact else _estimated_rho(residuals, directions, line, rng)
    noise = _noise(residuals, rho, n, rng)
    reached = float(gain[0]) / rss_bend
    p_value = 1.0 if rss_line <= floor else _sup_f_p_value(directions, line, noise, reached)
    where = grid[_best(directions, fitted + noise)[0]]
    low, high = np.quantile(where, [(1 - level) / 2, (1 + level) / 2])
    smooth_kind, rss_smooth = _smooth(points, values, line, rss_line, floor)
    count = len(points)
    return BreakpointFit(
        breakpoint=at,
        low=min(float(low), at),
        high=max(float(high), at),
        slope_before=float(slope),
        slope_after=float(slope + change),
        intercept=float(intercept),
        bic_line=_bic(rss_line, count, 3),
        bic_smooth=_bic(rss_smooth, count, 4),
        bic_bend=_bic(rss_bend, count, 5),
        smooth_kind=smooth_kind,
        p_value=p_value,
        rho=rho,
        n_points=count,
    )


def _checked(x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    points = np.asarray(x, dtype=np.float64).ravel()
    values = np.asarray(y, dtype=np.float64).ravel()
    if len(points) != len(values):
        raise KcError(f"A breakpoint needs as many x as y values, not {len(points)}/{len(values)}.")
    if len(np.unique(points)) < MIN_POINTS:
        raise KcError(
            f"A breakpoint needs at least {MIN_POINTS} different x values, "
            f"not {len(np.unique(points))}."
        )
    bad = int((~np.isfinite(points)).sum() + (~np.isfinite(values)).sum())
    if bad:
        raise KcError(f"{bad} of the values given to a breakpoint fit are not finite numbers.")
    order = np.argsort(points, kind="stable")
    return points[order], values[order]


def _grid(points: np.ndarray) -> np.ndarray:
    inner = np.unique(points)[1:-1]
    steps = np.linspace(0, 1, GRID_PER_GAP, endpoint=False)
    between = inner[:-1, None] + steps * np.diff(inner)[:, None]
    return np.append(between.ravel(), inner[-1])


def _directions(columns: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Unit vectors [n_candidates, n_points]: what each column adds to the straight line."""
    rest = columns - line @ (line.T @ columns)
    return (rest / np.linalg.norm(rest, axis=0)).T


def _best(directions: np.ndarray, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    gains = (samples @ directions.T) ** 2
    return gains.argmax(axis=1), gains.max(axis=1)


def _floor(values: np.ndarray) -> float:
    """Smallest residual sum of squares told apart from rounding."""
    scale = float(np.abs(values).max()) or 1.0
    return len(values) * (1e-10 * scale) ** 2


def _bic(rss: float, count: int, parameters: int) -> float:
    return float(count * np.log(rss / count) + parameters * np.log(count))


def _noise(residuals: np.ndarray, rho: float, n: int, rng: np.random.Generator) -> np.ndarray:
    """``n`` series [n, n_points] that resample the residuals' innovations and correlate them."""
    innovations = np.append(
        residuals[0] * np.sqrt(1 - rho**2), residuals[1:] - rho * residuals[:-1]
    )
    innovations -= innovations.mean()
    innovations *= np.sqrt(len(residuals) / (len(residuals) - 4))  # the bend took 4 parameters
    drawn = rng.choice(innovations, size=(n, len(residuals)))
    return _autoregression(drawn, rho)


def _autoregression(innovations: np.ndarray, rho: float) -> np.ndarray:
    started = innovations.copy()
    started[:, 0] /= np.sqrt(1 - rho**2)
    return lfilter([1.0], [1.0, -rho], started, axis=1)


def _estimated_rho(
    residuals: np.ndarray, directions: np.ndarray, line: np.ndarray, rng: np.random.Generator
) -> float:
    """Lag-one correlation of the noise, corrected for what fitting the bend takes away.

    Few points and four fitted parameters pull the correlation of residuals far down. So known
    correlations are simulated, fitted in the same way, and the one is returned whose median
    matches.
    """
    drawn = rng.normal(size=(CALIBRATION, len(residuals)))
    known = np.linspace(0, MAX_RHO, 10)
    seen = []
    for rho in known:
        series = _autoregression(drawn, rho)
        best = directions[_best(directions, series)[0]]
        rest = series - (series @ line) @ line.T - (series * best).sum(1, keepdims=True) * best
        seen.append(np.median(_lag_one(rest)))
    return float(np.interp(_lag_one(residuals[None])[0], np.maximum.accumulate(seen), known))


def _lag_one(series: np.ndarray) -> np.ndarray:
    total = np.maximum((series**2).sum(axis=1), np.finfo(float).tiny)
    return (series[:, 1:] * series[:, :-1]).sum(axis=1) / total


def _sup_f_p_value(
    directions: np.ndarray, line: np.ndarray, noise: np.ndarray, observed: float
) -> float:
    """Share of series without a bend whose largest RSS gain / RSS(bend) reaches ``observed``."""
    rest = noise - (noise @ line) @ line.T
    gain = _best(directions, noise)[1]
    left = np.maximum((rest**2).sum(axis=1) - gain, np.finfo(float).tiny)
    return float((1 + np.count_nonzero(gain / left >= observed)) / (1 + len(noise)))


def _smooth(
    points: np.ndarray, values: np.ndarray, line: np.ndarray, rss_line: float, floor: float
) -> tuple[Literal["quadratic", "exponential"], float]:
    """The smooth curve with the lower BIC, and its residual sum of squares."""
    quadratic = _directions(((points - points.mean()) ** 2)[:, None], line)
    rss_quadratic = max(rss_line - float(_best(quadratic, values[None])[1][0]), floor)
    unit = (points - points.min()) / np.ptp(points)
    rates = 1 / np.geomspace(0.1, 2, 40)
    shapes = np.exp(unit * np.concatenate([-rates, rates])[:, None])
    shapes = shapes - shapes.mean(axis=1, keepdims=True)
    shapes /= np.linalg.norm(shapes, axis=1, keepdims=True)
    centred = values - values.mean()
    gain = float(_best(shapes, centred[None])[1][0])
    rss_exponential = max(float(centred @ centred) - gain, floor)
    count = len(points)
    if _bic(rss_exponential, count, 4) < _bic(rss_quadratic, count, 4):
        return "exponential", rss_exponential
    return "quadratic", rss_quadratic


def rising_part(x: ArrayLike, y: ArrayLike, *, share: float = 0.6) -> np.ndarray:
    """Mask of the points up to the first that has climbed ``share`` of the range of y.

    An S-shaped curve (flat, steep, flat) has two bends, and one bend fits it badly. Its take-off
    is the bend of this part, if the slope grows there: slope_after > slope_before. At least 6
    different x values are kept.

    Raises:
        KcError: as :func:`fit_breakpoint`, or if ``share`` is not between 0 and 1.
    """
    if not 0 < share <= 1:
        raise KcError(f"share={share} must lie above 0 and not above 1.")
    points, values = _checked(x, y)
    reached = values >= values.min() + share * np.ptp(values)
    end = max(points[np.argmax(reached)], np.unique(points)[MIN_POINTS - 1])
    return np.asarray(x, dtype=np.float64).ravel() <= end
