"""Noise of a curve over checkpoints: a first-order autoregression whose correlation is uncertain.

Neighbouring checkpoints share most of a model, so their noise is not independent. The correlation
rho of neighbours, in the order of the checkpoints whatever their distance, is estimated by
restricted maximum likelihood (Patterson and Thompson 1971), which allows for the parameters that a
fit has used up. Twenty points say little about rho: its whole restricted likelihood is kept, with
a flat prior on 0 to 0.9, and every simulated series draws its own rho from it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RHOS = np.linspace(0, 0.9, 19)


@dataclass(frozen=True)
class Noise:
    """Probability of each of ``RHOS``, and the variance of the noise under each."""

    weights: np.ndarray
    variances: np.ndarray

    @property
    def rho(self) -> float:
        """Mean correlation of neighbours."""
        return float(self.weights @ RHOS)

    def draw(self, n: int, n_points: int, rng: np.random.Generator) -> np.ndarray:
        """``n`` Gaussian series [n, n_points], each with a rho of its own."""
        chosen = rng.choice(len(RHOS), size=n, p=self.weights)
        rho, series = RHOS[chosen], rng.normal(size=(n, n_points))
        fresh = np.sqrt(1 - rho**2)
        for k in range(1, n_points):
            series[:, k] = rho * series[:, k - 1] + fresh * series[:, k]
        return series * np.sqrt(self.variances[chosen])[:, None]


def estimate_noise(residuals: np.ndarray, design: np.ndarray, smallest: float) -> Noise:
    """Noise that left ``residuals`` [n_points] after a fit that is locally linear.

    Args:
        residuals: data minus fit.
        design: columns [n_points, p] of the fit and its derivatives by non-linear parameters; a
            column may be a combination of others.
        smallest: lower bound of the variance, what rounding leaves.
    """
    left, sizes, _ = np.linalg.svd(design, full_matrices=False)
    columns = left[:, sizes > 1e-9 * sizes[0]]
    free = len(residuals) - columns.shape[1]
    basis, triangle = np.linalg.qr(_whitened(columns))
    plain = _whitened(residuals[:, None])
    rest = (plain - basis @ (basis.transpose(0, 2, 1) @ plain))[..., 0]
    variances = np.maximum((rest**2).sum(axis=1) / free, smallest)
    diagonal = np.abs(np.diagonal(triangle, axis1=1, axis2=2))
    log_likelihood = -0.5 * (
        (len(residuals) - 1) * np.log(1 - RHOS**2)
        + 2 * np.log(diagonal).sum(axis=1)
        + free * np.log(variances)
    )
    weights = np.exp(log_likelihood - log_likelihood.max())
    return Noise(weights / weights.sum(), variances)


def _whitened(columns: np.ndarray) -> np.ndarray:
    """``columns`` [n_points, p] for every rho [n_rhos, n_points, p], to unit-variance noise."""
    rho = RHOS[:, None, None]
    later = (columns[1:] - rho * columns[:-1]) / np.sqrt(1 - rho**2)
    first = np.broadcast_to(columns[:1], (len(RHOS), 1, columns.shape[1]))
    return np.concatenate([first, later], axis=1)
