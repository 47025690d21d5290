"""When people are known: by number of exposures, and whether their group's circuit follows.

Who is not known at the last checkpoint is censored there. As nobody is censored earlier, the
Kaplan-Meier estimate is the share of all people who are known by an epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from kc_utils.analysis.stats.intervals import Interval
from kc_utils.analysis.stats.seeds import seed_means
from kc_utils.config import BANDS, KINDS, STRANGE

#: Largest number of biographies of each group of people but the last.
_MOST = (1, 2, 5)
EXPOSURES = ("1", "2", "3 to 5", "6 and more")


def exposure_group(frequency: pd.Series) -> pd.Categorical:
    """Group of each person by number of biographies: one of :data:`EXPOSURES`, in that order."""
    codes = np.searchsorted(_MOST, frequency.to_numpy(), side="left")
    return pd.Categorical.from_codes(codes, list(EXPOSURES), ordered=True)


def known_shares(times: pd.DataFrame, by: Sequence[str], epochs: ArrayLike) -> pd.DataFrame:
    """Share of the people of each group who are known by each epoch.

    Args:
        times: table ``time_to_knowledge``: epoch, known (False: censored), and the columns ``by``.
        by: columns that define the groups.
        epochs: where the share is wanted.

    Returns:
        ``by``, epoch, value (share), n_people, n_censored (people not known at the end).
    """
    rows, at = [], np.asarray(epochs, dtype=float)
    for key, part in times.groupby(list(by), sort=True, observed=True):
        when = part["epoch"].where(part["known"], np.inf).to_numpy(float)
        group = dict(zip(by, key, strict=True))
        more = {"n_people": len(when), "n_censored": int(np.isinf(when).sum())}
        rows += [group | {"epoch": e, "value": float((when <= e).mean())} | more for e in at]
    return pd.DataFrame(rows, columns=[*by, "epoch", "value", "n_people", "n_censored"])


def leads(times: pd.DataFrame) -> pd.DataFrame:
    """By how many epochs K_rel is known before each other kind, over the seeds of one profile.

    Kinds are compared within a seed, where they are equally many people with the same frequencies.

    Args:
        times: seed, kind, epoch (from which on a person is known; the last one if never).

    Returns:
        kind, value (mean over seeds, in epochs), low, high (95 % t interval; NaN with fewer than
        three seeds), n_seeds.
    """
    per_seed = times.pivot_table(index="seed", columns="kind", values="epoch", sort=False)
    ahead = per_seed.drop(columns="K_rel").sub(per_seed["K_rel"], axis=0)
    long = ahead.melt(ignore_index=False, var_name="kind").reset_index()
    return seed_means(long, ["kind"])


def time_until_half(times: pd.DataFrame, rng: np.random.Generator, n: int = 1000) -> Interval:
    """Epoch by which half of the people are known, with a 95 % bootstrap interval over people.

    Infinite where the half is not reached before the last checkpoint.
    """
    when = times["epoch"].where(times["known"], np.inf).to_numpy(float)
    drawn = when[rng.integers(len(when), size=(n, len(when)))]
    # "lower" keeps the result an epoch that was measured: no mean of an epoch and infinity.
    low, high = np.quantile(_half(drawn), [0.025, 0.975], method="lower")
    return Interval(float(_half(when[None])[0]), float(low), float(high))


def _half(when: np.ndarray) -> np.ndarray:
    return np.quantile(when, 0.5, axis=1, method="lower")


def groups_and_knees(
    times: pd.DataFrame, shift: pd.DataFrame, *, n: int, seed: int
) -> pd.DataFrame:
    """Time to knowledge of each type and band beside the knee of its circuits.

    Args:
        times: table ``time_to_knowledge``.
        shift: table ``shift``; it may have no rows.
        n: bootstrap samples of people.
        seed: of these.

    Returns:
        kind, band, n_people, known (share at the end), half, half_low, half_high (epoch by which
        half are known, infinite where it isn't reached), knee (median over relations of the knee of
        the entropy of kept edges, epoch; NaN without one), n_knees, n_circuits.
    """
    kept = shift[shift["quantity"] == "entropy_kept"]
    rng = np.random.default_rng([seed, 91])
    rows = []
    groups = dict(list(times.groupby(["kind", "band"], observed=True)))
    for kind, band in (group for group in product((*KINDS, STRANGE), BANDS) if group in groups):
        part = groups[kind, band]
        half = time_until_half(part, rng, n)
        here = kept[(kept["kind"] == kind) & (kept["band"] == band)]["knee"]
        rows.append(
            {"kind": kind, "band": band, "n_people": len(part), "known": part["known"].mean(),
             "half": half.mean, "half_low": half.low, "half_high": half.high,
             "knee": here.median(), "n_knees": int(here.notna().sum()), "n_circuits": len(here)}
        )  # fmt: skip
    return pd.DataFrame(rows)
