"""Accuracy against the number of exposures: which curve fits?

Four curves give the chance p of a right answer about a person who was written about f times:

- none: p = a
- logarithm: p = a + b log2 f
- power: 1 - p = a f^-b, errors decay as a power law
- logistic: log(p / (1 - p)) = a + b log2 f

All are fitted by maximum binomial likelihood. Answers about one person rise and fall together, so
there are fewer independent answers than rows: the likelihood is divided by the overdispersion of
the richest model, one free level per frequency, and the curves are compared by the quasi-AIC
(Burnham & Anderson 2002, section 2.5).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from kc_utils.errors import KcError

NEEDED = ("frequency", "n_right", "n_rows")
COLUMNS = [
    "model", "intercept", "slope", "log_likelihood", "overdispersion", "qaic", "gain", "weight",
]  # fmt: skip
LEAST_FREQUENCIES = 3
"""Fewer different frequencies cannot tell curves apart."""

_EDGE = 1e-6  # chances stay this far from 0 and 1

Curve = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _none(theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    return np.full_like(x, theta[0])


def _logarithm(theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    return theta[0] + theta[1] * x


def _power(theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    return 1 - theta[0] * 2.0 ** (-theta[1] * x)


def _logistic(theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(theta[0] + theta[1] * x, -50, 50)))


#: Name, curve over x = log2 f, starts from the overall share of right answers.
MODELS: dict[str, tuple[Curve, Callable[[float], list[float]]]] = {
    "none": (_none, lambda p: [p]),
    "logarithm": (_logarithm, lambda p: [p, 0.05]),
    "power": (_power, lambda p: [1 - p, 0.2]),
    "logistic": (_logistic, lambda p: [float(np.log(p / (1 - p))), 0.2]),
}


def fit_frequency(curve: pd.DataFrame) -> pd.DataFrame:
    """Every curve of the module fitted to one set of counts.

    Args:
        curve: frequency, n_right, n_rows; several rows may share a frequency (seeds, types).
            Where there is a mean_frequency (people pooled at the largest frequency), it is f.

    Returns:
        One row per curve, the best first: model, intercept, slope (0 for "none"), log_likelihood,
        overdispersion, qaic, gain (chance at twice the mean log frequency minus there: what one
        doubling brings), weight (Akaike weights: the support for each curve, they add to 1).

    Raises:
        KcError: a column is missing, or there are fewer than three different frequencies.
    """
    level, x, right, rows = _counts(curve)
    p = float(np.clip(right.sum() / rows.sum(), 0.01, 0.99))
    fits = {name: _fit(model, start(p), x, right, rows) for name, (model, start) in MODELS.items()}
    scale = _overdispersion(level, x, right, rows)
    centre = np.average(x, weights=rows)
    found = []
    for name, (theta, value) in fits.items():
        model = MODELS[name][0]
        at = np.clip(model(theta, np.array([centre, centre + 1])), 0, 1)
        qaic = -2 * value / scale + 2 * (len(theta) + 1)
        slope = float(theta[1]) if len(theta) > 1 else 0.0
        found.append((name, float(theta[0]), slope, value, scale, qaic, float(at[1] - at[0])))
    table = pd.DataFrame(found, columns=COLUMNS[:-1]).sort_values("qaic", ignore_index=True)
    weight = np.exp(-(table["qaic"] - table["qaic"].min()) / 2)
    return table.assign(weight=weight / weight.sum())


def fit_each(curve: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """:func:`fit_frequency` in each group of ``by``; groups with too few frequencies are left out.

    Returns:
        The columns ``by`` and those of :func:`fit_frequency`, the best curve of a group first.
    """
    frames = []
    for keys, part in curve.groupby(list(by), sort=True, observed=True):
        if part["frequency"].nunique() >= LEAST_FREQUENCIES:
            frames.append(fit_frequency(part).assign(**dict(zip(by, keys, strict=True))))
    columns = [*by, *COLUMNS]
    return (
        pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)
    )


def predict(fit: pd.Series, frequency: Sequence[float] | np.ndarray) -> np.ndarray:
    """Chance of a right answer at each frequency from one row of :func:`fit_frequency`."""
    model = MODELS[str(fit["model"])][0]
    theta = np.array([fit["intercept"], fit["slope"]], dtype=float)
    return np.clip(model(theta, np.log2(np.asarray(frequency, dtype=float))), 0.0, 1.0)


def _counts(curve: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Frequency, log2 of the mean frequency, right answers, answers."""
    missing = [name for name in NEEDED if name not in curve.columns]
    if missing:
        raise KcError(f"A frequency curve needs the column {missing[0]!r}, which is missing.")
    different = curve["frequency"].nunique()
    if different < LEAST_FREQUENCIES:
        raise KcError(
            f"{different} frequencies cannot tell curves apart; at least {LEAST_FREQUENCIES} are "
            "needed."
        )
    level, right, rows = (curve[name].to_numpy(float) for name in NEEDED)
    mean = curve["mean_frequency"].to_numpy(float) if "mean_frequency" in curve else level
    return level, np.log2(mean), right, rows


def _fit(
    model: Curve, start: list[float], x: np.ndarray, right: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, float]:
    def loss(theta: np.ndarray) -> float:
        return -_log_likelihood(model(theta, x), right, rows)

    best = minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-8})
    return best.x, -float(best.fun)


def _log_likelihood(p: np.ndarray, right: np.ndarray, rows: np.ndarray) -> float:
    p = np.clip(p, _EDGE, 1 - _EDGE)
    return float((right * np.log(p) + (rows - right) * np.log(1 - p)).sum())


def _overdispersion(level: np.ndarray, x: np.ndarray, right: np.ndarray, rows: np.ndarray) -> float:
    """Pearson's chi-squared per degree of freedom of one chance per frequency, at least 1."""
    sums = pd.DataFrame({"right": right, "rows": rows}).groupby(level).transform("sum")
    p = (sums["right"] / sums["rows"]).to_numpy()
    freedom = len(level) - len(np.unique(level))
    if not freedom:  # a single set of counts: the straight line in log-odds has to do
        start = MODELS["logistic"][1](float(np.clip(right.sum() / rows.sum(), 0.01, 0.99)))
        p, freedom = _logistic(_fit(_logistic, start, x, right, rows)[0], x), max(1, len(x) - 2)
    p = np.clip(p, _EDGE, 1 - _EDGE)
    chi_squared = float(((right - rows * p) ** 2 / (rows * p * (1 - p))).sum())
    return max(1.0, chi_squared / freedom)
