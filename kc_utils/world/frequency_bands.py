"""How many biographies each person gets, and the band that follows from it (paper, section 2)."""

from __future__ import annotations

import numpy as np

HIGH_ABOVE = 5  # biographies; more is the high band
LOW = 1  # biographies; exactly this is the low band, what lies between is the medium band


def draw_frequencies(n: int, mean: float, rng: np.random.Generator) -> np.ndarray:
    """``n`` frequencies (int32) of round(Exponential(``mean``)), at least 1."""
    return np.maximum(np.rint(rng.exponential(mean, size=n)), 1).astype(np.int32)


def thin(frequencies: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """``n`` evenly spaced order statistics of ``frequencies``, in random order."""
    places = np.floor((np.arange(n) + 0.5) * len(frequencies) / n).astype(np.int64)
    return rng.permutation(np.sort(frequencies)[places])


def frequencies(
    n_known: int, n_new: int, mean: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies of ``n_known`` K_rel and ``n_new`` K_compl people (either may be none)."""
    new = draw_frequencies(n_new, mean, rng)
    if n_new == 0:
        return draw_frequencies(n_known, mean, rng), new
    return (thin(new, n_known, rng) if n_known else new[:0]), new


def bands(frequency: np.ndarray) -> np.ndarray:
    """The band of each frequency: high (> 5), medium (2 to 5) or low (1), as an object array."""
    names = np.array(["low", "medium", "high"], dtype=object)
    return names[(frequency > LOW).astype(int) + (frequency > HIGH_ABOVE)]
