r"""Least squares for continuous piecewise-linear curves whose bends have a known sign, exactly.

A hinge of height c at t, c max(0, x - t), with t between the neighbouring points x_k and x_{k+1},
equals alpha max(0, x - x_k) + beta max(0, x - x_{k+1}) at every point that was measured, with

    alpha, beta >= 0 (signs of c),    c = alpha + beta,    t = (alpha x_k + beta x_{k+1}) / c.

So a bend of known sign anywhere is a non-negative least-squares problem over two neighbouring
hinges. Its optimum has one of them or both, and the sets that qualify are few: all are solved at
once for many series, and the best solution with the right signs is the global optimum. No grid of
candidate bends is needed. (Hudson 1966 joins segments by the same case distinction.)

Curves are taken as rising: an *onset* is a growing slope (c > 0), a *knee* a shrinking one (c < 0).
At least two points lie at or before the first bend and at or after the last, and at least two
between onset and knee, their own places included; otherwise a slope is not determined.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class HingeFits:
    """Best fit of one model to each of S series.

    ``rss`` [S] is infinite where no set of hinges has the right signs; ``bends`` [S, n_bends]
    holds the places in units of x (NaN there).
    """

    rss: np.ndarray
    bends: np.ndarray


class Hinges:
    """Onset, knee, and onset before knee on fixed points x [n_points], sorted."""

    def __init__(self, x: np.ndarray) -> None:
        self._line = np.linalg.qr(np.stack([np.ones_like(x), x], axis=1))[0]
        self._knots = np.unique(x)[1:-1]
        columns = np.maximum(0, x - self._knots[:, None])
        self._hinges = columns - (columns @ self._line) @ self._line.T
        singles = [(k,) for k in range(len(self._knots))]
        places = singles + [(k, k + 1) for k in range(len(self._knots) - 1)]
        pairs = [(a, b) for a in places for b in places if b[0] > a[-1]]
        self._groups = {
            "onset": self._grouped([(place, ()) for place in places]),
            "knee": self._grouped([((), place) for place in places]),
            "onset and knee": self._grouped(pairs),
        }

    def fit(self, model: str, series: np.ndarray) -> HingeFits:
        """Fit "onset", "knee" or "onset and knee" to ``series`` [S, n_points]."""
        rest = series - (series @ self._line) @ self._line.T
        alone = rest @ self._hinges.T
        rss = np.full(len(series), np.inf)
        bends = np.full((len(series), 2 if model == "onset and knee" else 1), np.nan)
        straight = (rest**2).sum(axis=1)
        for group in self._groups[model]:
            gain, chosen, heights = group.best(rest, alone)
            better = np.flatnonzero(straight - gain < rss)
            rss[better] = straight[better] - gain[better]
            bends[better] = group.places(chosen[better], heights[better], self._knots)
        return HingeFits(rss, bends)

    def _grouped(self, sets: list[tuple[tuple[int, ...], tuple[int, ...]]]) -> list[_Group]:
        shapes = sorted({(len(up), len(down)) for up, down in sets})
        return [
            _Group.of(
                [up + down for up, down in sets if (len(up), len(down)) == shape],
                shape[0],
                self._hinges,
            )
            for shape in shapes
        ]


@dataclass(frozen=True)
class _Group:
    """Sets of equally many hinges: indices [P, d] of knots, solvers [d, P, n_points].

    The first ``ups`` of the d hinges belong to the onset, the others to the knee.
    """

    indices: np.ndarray
    solvers: np.ndarray
    ups: int

    @classmethod
    def of(cls, sets: list[tuple[int, ...]], ups: int, hinges: np.ndarray) -> _Group:
        indices = np.array(sets)
        basis, triangle = np.linalg.qr(hinges[indices].transpose(0, 2, 1))
        solvers = np.linalg.solve(triangle, basis.transpose(0, 2, 1))
        return cls(indices, np.ascontiguousarray(solvers.transpose(1, 0, 2)), ups)

    def best(
        self, rest: np.ndarray, alone: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Per series: gain [S] of the best set with the right signs, its number, its heights."""
        heights = [rest @ solver.T for solver in self.solvers]
        gain = np.zeros_like(heights[0])
        wrong = np.zeros(gain.shape, dtype=bool)
        for d, height in enumerate(heights):
            gain += height * alone[:, self.indices[:, d]]
            wrong |= height <= 0 if d < self.ups else height >= 0
        gain[wrong] = -np.inf
        chosen = gain.argmax(axis=1)
        rows = np.arange(len(rest))
        return gain[rows, chosen], chosen, np.stack([h[rows, chosen] for h in heights], axis=1)

    def places(self, chosen: np.ndarray, heights: np.ndarray, knots: np.ndarray) -> np.ndarray:
        """Where the bends of the chosen sets lie [S, n_bends]."""
        at = knots[self.indices[chosen]]
        parts = [slice(0, self.ups), slice(self.ups, None)]
        return np.stack(
            [
                (at[:, part] * heights[:, part]).sum(axis=1) / heights[:, part].sum(axis=1)
                for part in parts
                if at[:, part].shape[1]
            ],
            axis=1,
        )
