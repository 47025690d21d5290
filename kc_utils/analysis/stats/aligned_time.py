"""Curves of many seeds on one clock: time from onset, in units of onset to knee.

Seeds reach the steep part at different epochs, so a mean over epochs smears it. Here each curve's
own onset is time 0 and its own knee time 1:

    time = (epoch - onset) / (knee - onset)

Curves are interpolated linearly onto common times and never extended beyond what was measured.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from kc_utils.analysis.stats.seeds import seed_means
from kc_utils.errors import KcError

TIMES = np.linspace(-1, 4, 51)


def align(
    table: pd.DataFrame,
    onset: str = "onset",
    knee: str = "knee",
    *,
    curve: Sequence[str],
    times: ArrayLike = TIMES,
    value: str = "value",
) -> pd.DataFrame:
    """Each curve's values at common times.

    Args:
        table: rows of several curves, with columns ``epoch``, ``value``, ``curve``, ``onset`` and
            ``knee``; the last two, in epochs, are constant within a curve.
        onset: column with the epoch of the onset.
        knee: column with the epoch of the knee.
        curve: columns that tell curves apart, such as seed, task, kind and band.
        times: where to interpolate.
        value: column to interpolate.

    Returns:
        Columns ``curve``, time and value, one row per curve and time inside the measured range.
        Curves whose onset or knee is NaN are left out: they have no clock.

    Raises:
        KcError: a column is missing; an onset or knee changes within a curve; a knee does not come
            after its onset; an epoch occurs twice in a curve; a value is NaN.
    """
    for name in ("epoch", value, onset, knee, *curve):
        if name not in table.columns:
            raise KcError(f"Aligned curves need the column {name!r}, which the table lacks.")
    times = np.asarray(times, dtype=float)
    parts = [
        pd.DataFrame(dict(zip(curve, key, strict=True)) | at_times)
        for key, part in table.groupby(list(curve), sort=False)
        if (at_times := _at_times(part, onset, knee, value, times, key)) is not None
    ]
    columns = [*curve, "time", value]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _at_times(
    part: pd.DataFrame, onset: str, knee: str, value: str, times: np.ndarray, key: tuple
) -> dict[str, np.ndarray] | None:
    events = part[[onset, knee]].drop_duplicates()
    if len(events) > 1:
        raise KcError(f"The curve {key} has {len(events)} different onsets and knees, not one.")
    start, end = events.iloc[0].astype(float)
    if np.isnan(start) or np.isnan(end):
        return None
    if end <= start:
        raise KcError(f"The knee {end:g} of the curve {key} must come after its onset {start:g}.")
    part = part.sort_values("epoch")
    if part["epoch"].duplicated().any() or part[value].isna().any():
        raise KcError(f"The curve {key} must have one value, not NaN, at each of its epochs.")
    own = (part["epoch"].to_numpy(dtype=float) - start) / (end - start)
    inside = times[(times >= own[0]) & (times <= own[-1])]
    return {"time": inside, value: np.interp(inside, own, part[value].to_numpy(dtype=float))}


def aligned_means(
    aligned: pd.DataFrame, keys: Sequence[str] = (), *, value: str = "value"
) -> pd.DataFrame:
    """Mean over seeds at each time, of what :func:`align` returns.

    Curves of one seed with equal ``keys`` are averaged first, then each seed counts once. Which
    curves cover a time may change along the axis; ``n_seeds`` and ``n_curves`` say how many do.

    Returns:
        ``keys``, time, value, low, high (95 % t interval, NaN with fewer than three seeds),
        n_seeds and n_curves, sorted by keys and time.
    """
    by = [*keys, "time"]
    means = seed_means(aligned, by, value)
    counts = aligned.groupby(by).size().rename("n_curves").reset_index()
    return means.merge(counts, on=by).sort_values(by, ignore_index=True)
