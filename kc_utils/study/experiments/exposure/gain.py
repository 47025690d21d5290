"""What exposures gave: change of log-probability against people who were never written about.

Every person is compared with themselves right before their first exposure, and the mean change of
the people who were never shown, over the same steps, is taken off: it is drift.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float

from kc_utils.analysis.stats import decay
from kc_utils.analysis.stats.decay import Fit
from kc_utils.errors import KcError

SHOWN = ("once", "repeated", "varied")
SEEN = "seen"
"""The wording of a person's last biography, read from its start (of people never shown: a text that
is not shown either). The other wordings are those of the queries, trained and held_out."""

PEAK = 8
"""Delay (steps) from which decay is measured: Adam's running mean of gradients (0.9) goes on moving
the weights towards an exposure for several steps after it, so the gain right after is not yet
whole. Fixed beforehand: the highest of several noisy points would exaggerate what follows."""

_RUN = ["profile", "seed"]


def changes(people: pd.DataFrame, wording: str, group: str, shown: str) -> pd.DataFrame:
    """Change in log-probability (nats) since right before the first exposure of group ``shown``.

    ``people`` is the table ``exposure_people`` of one run. A row per person of ``group``, a column
    per delay from that moment on. ``group="never"`` gives the drift that ``shown`` is compared
    with.

    Raises:
        KcError: the table has no such rows.
    """
    chosen = people[(people["group"] == group) & (people["wording"] == wording)]
    if chosen.empty:
        raise KcError(f"The table exposure_people has no group {group!r} in wording {wording!r}.")
    curve = chosen.pivot(index="person", columns="since", values="log_prob").astype(float)
    before = -1 if shown == "once" else min(curve.columns)
    return curve.loc[:, curve.columns >= before].sub(curve[before], axis=0)


def gains(people: pd.DataFrame) -> pd.DataFrame:
    """Gain of every exposed group, wording and delay, with a 95 % interval over people.

    ``people``: a row per person of one run, as in the table ``exposure_people``.

    Returns:
        group, wording, since (steps), gain, low, high (nats).
    """
    frames = []
    for group in SHOWN:
        for wording in dict.fromkeys(people["wording"]):
            mine, drift = (changes(people, wording, g, group) for g in (group, "never"))
            gain = mine.mean() - drift.mean()
            half = 1.96 * np.sqrt(mine.sem() ** 2 + drift.sem() ** 2)
            curve = pd.DataFrame({"gain": gain, "low": gain - half, "high": gain + half})
            named = curve.rename_axis("since").reset_index()
            frames.append(named.assign(group=group, wording=wording))
    table = pd.concat(frames, ignore_index=True)
    return table[["group", "wording", "since", "gain", "low", "high"]]


def tail(
    since: np.ndarray, gain: Float[np.ndarray, "... delays"]
) -> tuple[np.ndarray, Float[np.ndarray, "... kept"]]:
    """Steps since the peak, and the gains from there on."""
    kept = since >= PEAK
    return since[kept] - PEAK, gain[..., kept]


def fits(curves: pd.DataFrame) -> pd.DataFrame:
    """Decay laws fitted to each curve of :func:`gains` (of one run or several) from the peak on.

    Returns:
        The columns of ``curves`` that name a curve, and law, scale (nats), shape, aic, bic, n.
        Curves with fewer than :data:`kc_utils.analysis.stats.decay.MIN_POINTS` delays are left out.
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


def fitted_curves(table: pd.DataFrame, law: str, last: int) -> pd.DataFrame:
    """Curves of one law of :func:`fits` from the peak to ``last`` steps, as rows for a figure.

    Returns:
        (profile, seed,) group, wording, since (steps), gain (nats).
    """
    keys = [c for c in (*_RUN, "group", "wording") if c in table.columns]
    since = np.linspace(PEAK, last, 60)
    frames = [
        pd.DataFrame({"since": since, "gain": _fit_of(row)(since - PEAK)}).assign(
            **{key: row[key] for key in keys}
        )
        for _, row in table[table["law"] == law].iterrows()
    ]
    return pd.concat(frames, ignore_index=True)[[*keys, "since", "gain"]]


def _fit_of(row: pd.Series) -> Fit:
    return Fit(row["law"], row["scale"], row["shape"], row["aic"], row["bic"], int(row["n"]))
