"""Synthetic curves that fall or rise at known events, and times at which people are known."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd

from kc_utils.analysis.acquisition import exposure_group, known_shares
from kc_utils.analysis.events import with_bends

EPOCHS = np.arange(0, 25.0)
KINDS, BANDS = ("K_rel", "K_compl"), ("high", "low")


def _flat_steep_slow(onset: float, knee: float, epochs: np.ndarray) -> np.ndarray:
    """0 until the onset, 0.8 at the knee, 1 at the end."""
    return np.interp(epochs, [0, onset, knee, epochs[-1]], [0, 0, 0.8, 1])


def sweep(seeds: int = 4, profiles: tuple[str, ...] = ("tiny", "tiny-llama"), decided: bool = True):
    """Tables topology, accuracy_read and shift of several seeds; each cell has events of its own.

    Entropy falls from 6 to 4, edge Jaccard rises from 0.3 to 0.5, and accuracy from 0 to 1 with the
    clock of the first task.
    """
    rng = np.random.default_rng(5)
    shapes, known, bends = [], [], []
    names = ("profile", "seed", "kind", "band", "task")
    for values in product(profiles, range(seeds), KINDS, BANDS, ("city", "major")):
        key = dict(zip(names, values, strict=True))
        onset = float(rng.uniform(2, 6))
        knee = onset + float(rng.uniform(2, 6))
        rise = _flat_steep_slow(onset, knee, EPOCHS)
        jaccard = np.where(EPOCHS < EPOCHS[-1], 0.3 + 0.2 * rise, 1.0)
        shape = {"epoch": EPOCHS, "edge_jaccard": jaccard, "entropy_kept": 6 - 2 * rise}
        shapes.append(pd.DataFrame(key | shape))
        if key["task"] == "city":
            known.append(pd.DataFrame(key | {"epoch": EPOCHS, "value": rise}).drop(columns="task"))
        for quantity, late in (("entropy_kept", 0.0), ("accuracy", 1.0)):
            when = {"onset": onset + late, "knee": knee + late} if decided else {}
            bends.append({"onset": np.nan, "knee": np.nan} | key | {"quantity": quantity} | when)
    return pd.concat(shapes), pd.concat(known), pd.DataFrame(bends)


def times(n: int = 40, late: float = 0.0) -> pd.DataFrame:
    """Table time_to_knowledge: the more biographies, the sooner; K_compl ``late`` epochs later."""
    rng = np.random.default_rng(7)
    rows = []
    for kind in KINDS:
        for frequency, band in ((1, "low"), (2, "medium"), (4, "medium"), (8, "high")):
            when = np.ceil(rng.normal(23 / frequency**0.8, 1.5, n)) + late * (kind == "K_compl")
            rows.append(pd.DataFrame({"kind": kind, "band": band, "frequency": frequency,
                                      "epoch": np.clip(when, 0, EPOCHS[-1]),
                                      "known": when <= EPOCHS[-1]}))  # fmt: skip
    return pd.concat(rows, ignore_index=True).assign(person_id=lambda t: np.arange(len(t)))


def known() -> pd.DataFrame:
    """What ``known_curves`` draws."""
    grouped = times().assign(exposures=lambda t: exposure_group(t["frequency"]))
    return known_shares(grouped, ["kind", "exposures"], EPOCHS)


def events() -> pd.DataFrame:
    """What ``event_curves`` draws."""
    return with_bends(*sweep())


def whose_circuit() -> pd.DataFrame:
    """The last table of ``circuit_overview``: each kind of circuit at a level of its own."""
    levels = {"own": 0.6, "foreign": 0.5, "random": 0.1, "in_sample": 0.65}
    rows = [(epoch, name, level) for epoch in EPOCHS for name, level in levels.items()]
    return pd.DataFrame(rows, columns=["epoch", "circuit", "value"])


def transfer_curve() -> pd.DataFrame:
    """What ``transfer_curves`` draws: circuits of other bands lag by a constant."""
    keys = ("epoch", "kind", "band", "source_band")
    rows = [dict(zip(keys, at, strict=True)) for at in product(EPOCHS, KINDS, BANDS, BANDS)]
    frame = pd.DataFrame(rows)
    return frame.assign(value=frame["epoch"] / 30 - 0.1 * (frame["band"] != frame["source_band"]))
