"""Made-up tables about onset and knee, in which the claims are true, absent or the other way."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
from claims_tables import BANDS, KINDS, TASKS

EPOCHS = np.array([1, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6, 7, 8, 10, 12, 14, 16, 18, 20, 22, 24])
STEPS = (100 * EPOCHS).astype(int)
#: Epochs that a band's knee comes after the high band's, where frequency matters.
LATER = {"high": 0.0, "medium": 1.5, "low": 3.0}


def make(effect: float = 1.0, *, seed: int = 0) -> dict[str, pd.DataFrame]:
    """Tables by name. ``effect`` 1: as claimed; 0: no knees; -1: knees in the other order."""
    rng = np.random.default_rng([seed, 9])
    cells = pd.DataFrame(list(product(TASKS, KINDS, BANDS)), columns=["task", "kind", "band"])
    later = cells["band"].map(LATER) + 1.0 * (cells["kind"] == "K_compl")
    knee = 6.0 + (effect if effect else 1.0) * (later - 2.0) + 0.1 * rng.normal(size=len(cells))
    onset = 2.0 + 0.1 * rng.normal(size=len(cells))
    bends = []
    for quantity in ("entropy", "entropy_kept", "edge_jaccard", "accuracy"):
        rows = cells.assign(quantity=quantity, onset=onset, knee=knee, sharp=effect > 0)
        if effect == 0:
            rows = rows.assign(onset=np.nan, knee=np.nan)
        bends.append(rows)
    shift = pd.concat(bends, ignore_index=True)
    at = cells.assign(knee=knee, onset=onset).merge(
        pd.DataFrame({"step": STEPS, "epoch": EPOCHS}), how="cross"
    )
    size = len(at)
    t = at["epoch"].to_numpy()
    fallen = np.clip((t - at["onset"]) / (at["knee"] - at["onset"]), 0, 1).to_numpy()
    slow = np.maximum(t - at["knee"].to_numpy(), 0) / 18
    share = 0.95 - effect * (0.25 * fallen + 0.06 * slow) + 0.003 * rng.normal(size=size)
    topology = at.drop(columns=["knee", "onset"]).assign(
        normalised_entropy_kept=share, normalised_entropy=share + 0.01, n_edges=300,
        edge_jaccard=0.5, node_jaccard=0.5 + effect * 0.3, random_edge_jaccard=0.1,
        random_node_jaccard=0.1 + 0.01 * rng.normal(size=size),
        edge_jaccard_previous=0.4 + effect * 0.01 * t + 0.02 * rng.normal(size=size),
    )  # fmt: skip
    first = at[at["task"] == "city"].drop(columns=["knee", "onset"])
    controls = first.assign(
        control="shuffled labels", entropy=7 + 0.02 * rng.normal(size=len(first))
    )
    middle = at.groupby(["kind", "band"])["knee"].transform("mean").to_numpy()
    accuracy = at.assign(value=0.95 / (1 + np.exp(-(t - middle)))).query("task == 'city'")
    people = cells[cells["task"] == "city"].assign(knee=knee[cells["task"] == "city"])
    people = people.loc[people.index.repeat(20)].reset_index(drop=True)
    known = people["knee"] + 2 + 0.5 * rng.normal(size=len(people))
    return {
        "shift": shift,
        "topology": topology,
        "control_curves": controls.assign(entropy_kept=controls["entropy"] - 2),
        "accuracy_read": accuracy[["step", "epoch", "kind", "band", "value"]],
        "checkpoints": pd.DataFrame({"step": STEPS, "epoch": EPOCHS}),
        "graph": pd.DataFrame([{"n_layers": 8, "n_heads": 8, "n_edges": 6637}]),
        "time_to_knowledge": people.assign(
            person_id=range(len(people)), epoch=known, known=True, frequency=3
        )[["person_id", "kind", "band", "frequency", "epoch", "known"]],
        "prior_knowledge": pd.DataFrame([{"accuracy": 0.97, "chance": 0.05, "passed": True}]),
    }
