"""What exposures gave: change of log-probability against people who were never written about.

Every person is compared with themselves right before their first exposure, and the mean change of
the people who were never shown, over the same steps, is taken off: it is drift.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float

from kc_utils import decay
from kc_utils.decay import Fit
from kc_utils.errors import KcError

SHOWN = ("once", "repeated", "varied")
PEAK = 8
"""Delay (steps) from which decay is measured: Adam's running mean of gradients (0.9) goes on moving
the weights towards an exposure for several steps after it, so the gain right after is not yet
whole. Fixed beforehand: the highest of several noisy points would exaggerate what follows."""

_RUN = ["profile", "seed"]


def changes(people: pd.DataFrame, wording: str, group: str, shown: str) -> pd.DataFrame:
    """Change in log-probability (nats) since right before the first exposure of group ``shown``.

    ``people`` is the table ``exposure_people`` of one run. A row per person of ``group``, a column
    per delay from 0 on. ``group="never"`` gives the drift that ``shown`` is compared with.

    Raises:
        KcError: the table has no such rows.
    """
    chosen = people[(people["group"] == group) & (people["wording"] == wording)]
    if chosen.empty:
        raise KcError(f"The table exposure_people has no group {group!r} in wording {wording!r}.")
    curve = chosen.pivot(index="person", columns="since", values="log_prob").astype(float)
    before = -1 if shown == "once" else min(curve.columns)
    return curve.loc[:, curve.columns >= 0].sub(curve[before], axis=0)


def gains(people: pd.DataFrame) -> pd.DataFrame:
    """Gain of every group, wording and delay, with a 95 % interval over people.

    ``people``: table ``exposure_people`` of one run, or of several with columns profile and seed.

    Returns:
        (profile, seed,) group, wording, since (steps), gain, low, high (nats).
    """
    runs = [c for c in _RUN if c in people.columns]
    parts = people.groupby(runs, sort=False) if runs else [((), people)]
    frames = [_gains(part).assign(**dict(zip(runs, key, strict=True))) for key, part in parts]
    table = pd.concat(frames, ignore_index=True)
    return table[[*runs, "group", "wording", "since", "gain", "low", "high"]]


def _gains(people: pd.DataFrame) -> pd.DataFrame:
    frames = []
    for group in SHOWN:
        for wording in dict.fromkeys(people["wording"]):
            mine, drift = (changes(people, wording, g, group) for g in (group, "never"))
            gain = mine.mean() - drift.mean()
            half = 1.96 * np.sqrt(mine.sem() ** 2 + drift.sem() ** 2)
            curve = pd.DataFrame({"gain": gain, "low": gain - half, "high": gain + half})
            frames.append(
                curve.rename_axis("since").reset_index().assign(group=group, wording=wording)
            )
    return pd.concat(frames, ignore_index=True)


def tail(
    since: np.ndarray, gain: Float[np.ndarray, "... delays"]
) -> tuple[np.ndarray, Float[np.ndarray, "... kept"]]:
    """Steps since the peak, and the gains from there on."""
    kept = since >= PEAK
    return since[kept] - PEAK, gain[..., kept]


def fits(curves: pd.DataFrame) -> pd.DataFrame:
    """Decay laws fitted to each curve of :func:`gains` from the peak on.

    Returns:
        The columns of ``curves`` that name a curve, and law, scale (nats), shape, aic, bic, n.
        Curves with fewer than :data:`kc_utils.decay.MIN_POINTS` delays are left out.
    """
    keys = [c for c in (*_RUN, "group", "wording") if c in curves.columns]
    columns = [*keys, "law", "scale", "shape", "aic", "bic", "n"]
    rows = []
    for key, curve in curves.groupby(keys, sort=False):
        ordered = curve.sort_values("since")
        times, values = tail(ordered["since"].to_numpy(float), ordered["gain"].to_numpy(float))
        if len(times) < decay.MIN_POINTS:
            continue
        for law, found in decay.compare(times, values).items():
            rows.append((*key, law, found.scale, found.shape, found.aic, found.bic, found.n))
    return pd.DataFrame(rows, columns=columns)


def fit_of(row: pd.Series) -> Fit:
    """The fit that a row of :func:`fits` describes; it is called with steps since the peak."""
    return Fit(row["law"], row["scale"], row["shape"], row["aic"], row["bic"], int(row["n"]))
