"""Whether edges move through the layers where there is nothing to learn, too.

A run with shuffled answers has no knee, so the claims about what comes after it cannot be judged
there. Its circuits can still be followed from the epoch on at which the real runs have theirs.
"""

from __future__ import annotations

import pandas as pd

from kc_utils.book.front_panels import OWN, SHUFFLED_RUN
from kc_utils.book.sentences import enumeration
from kc_utils.book.verdict_marks import called_shortly


def without_knowledge(depth: pd.DataFrame, knees: pd.DataFrame) -> str:
    """How far edges move from the knee on, in runs with nothing to learn and in the real ones.

    Args:
        depth: profile, series ("own", "shuffled run"), x (epoch), value (mean layer in which edges
            start), n_seeds.
        knees: profile, value (epoch of the knee in the real runs).

    Returns:
        A sentence; empty where no profile has a knee and shuffled runs.
    """
    said = []
    for profile, knee in knees.set_index("profile")["value"].items():
        here = depth[(depth["profile"] == profile) & (depth["x"] >= knee)].sort_values("x")
        parts = {name: part for name, part in here.groupby("series") if len(part) > 1}
        if OWN in parts and SHUFFLED_RUN in parts:
            own, shuffled = (_moved(parts[name]["value"]) for name in (OWN, SHUFFLED_RUN))
            runs = int(parts[SHUFFLED_RUN]["n_seeds"].max())
            said.append(
                f"by {shuffled:+.2f} layers ({called_shortly(str(profile))}, {runs} "
                f"{'run' if runs == 1 else 'runs'}; real runs {own:+.2f})"
            )
    if not said:
        return ""
    return f"Where nothing could be learned, edges move after the same epoch {enumeration(said)}."


def _moved(layers: pd.Series) -> float:
    return float(layers.iloc[-1] - layers.iloc[0])
