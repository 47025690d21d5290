"""Made-up tables for the figures of controls, strangers, exposures and the ledger over seeds."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd

EPOCHS = np.arange(9.0)


def control_curves() -> pd.DataFrame:
    """Own entropy falls, that of the controls does not."""
    names = ("own", "shuffled labels", "untrained", "random")
    rows = [(e, n, 6.0 - 0.2 * e * (n == "own")) for e, n in product(EPOCHS, names)]
    return pd.DataFrame(rows, columns=["epoch", "control", "entropy"])


def neighbours() -> pd.DataFrame:
    """Circuits of neighbouring checkpoints grow alike."""
    overlap = np.append(np.nan, 0.4 + 0.03 * EPOCHS[1:])
    return pd.DataFrame({"epoch": EPOCHS, "edge_jaccard_previous": overlap})


def noise_floor() -> pd.DataFrame:
    """Two draws at two checkpoints."""
    rows = [(e, d, 0.55 + 0.02 * d, 0.9) for e, d in product((4.0, 8.0), (0, 1))]
    return pd.DataFrame(rows, columns=["epoch", "draw", "edge_jaccard", "node_jaccard"])


def unseen() -> pd.DataFrame:
    """Entropy falls for all, accuracy rises for those who were written about."""
    groups = ("K_rel", "K_compl", "unseen")
    rows = [
        (e, g, 5.0 - 0.2 * e, 0.1 * e * (g != "unseen"), 0.05 * e * (g == "unseen"))
        for e, g in product(EPOCHS, groups)
    ]
    return pd.DataFrame(rows, columns=["epoch", "group", "entropy", "accuracy", "confident_wrong"])


def frequency_curve() -> pd.DataFrame:
    """More biographies, more right answers."""
    rows = [(kind, n, 0.1 + 0.1 * n, 20) for kind, n in product(("K_rel", "K_compl"), range(1, 9))]
    return pd.DataFrame(rows, columns=["kind", "frequency", "accuracy", "n_people"])


def exposure() -> pd.DataFrame:
    """Gains that decay."""
    groups, wordings = ("once", "repeated", "varied"), ("seen", "trained", "held_out")
    rows = [
        (g, w, t, (1 + (g != "once")) / (1 + t) ** 0.3)
        for g, w, t in product(groups, wordings, (0, 1, 4, 16, 64))
    ]
    return pd.DataFrame(rows, columns=["group", "wording", "since", "gain"])


def ledger() -> pd.DataFrame:
    """Two claims in two profiles: one holds, one does not."""
    rows = [
        ("a", "A thing is so", profile, 0.5, 0.4, 0.6, 0.1, "above", "holds")
        for profile in ("tiny", "tiny-llama")
    ]
    rows.append(("b", "Another is not", "tiny", 0.0, -0.02, 0.02, 0.1, "above", "does not hold"))
    columns = ["id", "claim", "profile", "difference", "difference_low", "difference_high",
               "margin", "direction", "verdict"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)
