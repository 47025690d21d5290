"""Whether edges move through the layers where there is nothing to learn, too.

A run with shuffled answers has no knee, so the claims about what comes after it cannot be judged
there. Its circuits can still be followed from the epoch on at which the real runs have theirs.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from kc_utils.book import front_figure, front_panels
from kc_utils.book.evidence_words import ALIKE
from kc_utils.book.front_panels import OWN, SHUFFLED_RUN
from kc_utils.book.sentences import enumeration
from kc_utils.book.verdict_marks import called_shortly
from kc_utils.runs.dataset import SweepTables


def moves_of(sweep: SweepTables, told: pd.DataFrame) -> pd.DataFrame:
    """:func:`moves_from` of a sweep's profiles in the ledger ``told``."""
    bends = front_figure.bends(sweep)
    knees = bends[bends["bend"].eq("knee") & bends["profile"].isin(told["profile"])]
    if not sweep.has("centre_of_mass"):
        knees = knees.iloc[:0]
    return moves_from(front_panels.depth(sweep) if len(knees) else pd.DataFrame(), knees)


def moves_from(depth: pd.DataFrame, knees: pd.DataFrame) -> pd.DataFrame:
    """How far edges move from the knee on, in runs with nothing to learn and in the real ones.

    Args:
        depth: profile, series ("own", "shuffled run"), x (epoch), value (mean layer in which edges
            start), n_seeds.
        knees: profile, value (epoch of the knee in the real runs).

    Returns:
        profile, own, shuffled (layers, last checkpoint minus the first one from the knee on), runs
        (with nothing to learn); a row for each profile that has a knee and both kinds of runs.
    """
    rows = []
    for profile, knee in knees.set_index("profile")["value"].items():
        here = depth[(depth["profile"] == profile) & (depth["x"] >= knee)].sort_values("x")
        parts = {name: part for name, part in here.groupby("series") if len(part) > 1}
        if OWN in parts and SHUFFLED_RUN in parts:
            own, shuffled = (_moved(parts[name]["value"]) for name in (OWN, SHUFFLED_RUN))
            rows.append((str(profile), own, shuffled, int(parts[SHUFFLED_RUN]["n_seeds"].max())))
    return pd.DataFrame(rows, columns=["profile", "own", "shuffled", "runs"])


def without_knowledge(moves: pd.DataFrame) -> str:
    """:func:`moves_from` as a sentence; empty where it has no rows."""
    if moves.empty:
        return ""
    said = [
        f"{row['shuffled']:+.2f} layers ({called_shortly(row['profile'])}, {row['runs']} "
        f"{'run' if row['runs'] == 1 else 'runs'}; real runs {row['own']:+.2f})"
        for row in moves.to_dict("records")
    ]
    need = "This need not be about facts: where" if as_without_knowledge(moves) else "Where"
    return (
        f"{need} nothing could be learned, edges move from the epoch of the knee on by "
        f"{enumeration(said)}, as the mean layer of all circuits."
    )


def as_without_knowledge(moves: pd.DataFrame) -> bool:
    """Whether edges move the same way in runs with nothing to learn, in every profile that has
    them, by a third of the real runs' way or more."""
    share = moves["shuffled"] / moves["own"].where(moves["own"] != 0, np.nan)
    return len(moves) > 0 and bool((share > ALIKE).all())


def _moved(layers: pd.Series) -> float:
    return float(layers.iloc[-1] - layers.iloc[0])
