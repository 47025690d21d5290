"""The ledger over seeds: one verdict per claim and profile, from the ledgers of many runs.

Each run gives one number for a claim and one for its control. Both come from the same model and
the same people, so they are paired by seed, and what is judged is their difference d. Its 95 %
interval is a t interval over seeds: nothing inside a run is resampled, since people and cells of
one run share a model. A claim "above" holds if the mean of d reaches the margin and the whole
interval lies above 0; it does not hold if the interval ends below the margin
(:mod:`kc_utils.study.claims.claim` with a control of 0). Where parts of a run are undecided
themselves
(``at_most``, a share), the interval's upper end counts them for the claim, and the note says so.
Fewer than three seeds decide nothing.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy import stats as scipy_stats
from statsmodels.stats.multitest import multipletests

from kc_utils.analysis.stats.intervals import Interval
from kc_utils.analysis.stats.seeds import LEAST_SEEDS, t_interval
from kc_utils.errors import KcError
from kc_utils.study.claims.claim import point, verdict

TEST = "t interval over seeds of effect minus control, paired by seed"
UNDECIDED = "The upper end counts what is undecided inside the runs for the claim."
NEEDED = (
    "profile", "seed", "id", "topic", "claim", "paper", "quantity", "value", "at_most", "control",
    "control_value", "test", "direction", "margin", "verdict", "note", "notebook",
)  # fmt: skip
_WORDS = ("id", "topic", "claim", "paper", "quantity", "control", "direction", "notebook")


def over_seeds(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per profile and claim, in the order of first appearance.


    Args:
        rows: ledgers of single runs (:func:`kc_utils.study.ledger.ledger`) with columns
            profile, seed.

    Returns:
        id, topic, claim, paper, profile, quantity, direction, margin; effect, control_effect and
        difference, each with ``_low`` and ``_high`` (NaN with fewer than three seeds); p_value
        (one-sided t test; two one-sided tests for "equal") and q_value (Benjamini-Hochberg among
        the claims of a profile); n_seeds that measured it; seeds_for and seeds_against (verdicts
        of single runs); control, test (over seeds), test_in_run, note, notebook, verdict.

    Raises:
        KcError: a column is missing, or a run judges a claim twice.
    """
    missing = [name for name in NEEDED if name not in rows.columns]
    if missing:
        raise KcError(f"The ledgers of a sweep need the column {missing[0]!r}, which is missing.")
    twice = rows[rows.duplicated(["profile", "seed", "id"])]
    if len(twice):
        one = twice.iloc[0]
        raise KcError(f"Seed {one['seed']} of {one['profile']} judges {one['id']!r} twice.")
    groups = rows.groupby(["profile", "id"], sort=False)
    table = pd.DataFrame([_row(profile, part) for (profile, _), part in groups])
    return table if table.empty else table.assign(q_value=_adjusted(table))


def _row(profile: str, part: pd.DataFrame) -> dict[str, object]:
    used = part[np.isfinite(part["value"]) & np.isfinite(part["control_value"])]
    first = part.iloc[0]
    effect, control = used["value"].to_numpy(float), used["control_value"].to_numpy(float)
    margin = float(used["margin"].mean()) if len(used) else float(first["margin"])
    gap = t_interval(effect - control)
    at_most = used["at_most"].to_numpy(float)
    if some_undecided := len(used) >= LEAST_SEEDS and bool((at_most > effect).any()):
        # They cannot refute: the upper end counts them for the claim. A share ends at 1.
        most = min(t_interval(at_most - control).high, 1.0)
        gap = Interval(gap.mean, gap.low, max(gap.high, most))
    said = verdict(gap, point(0.0), direction=first["direction"], margin=margin)
    found = {"profile": profile} | {name: first[name] for name in _WORDS}
    for name, numbers in (("effect", t_interval(effect)), ("control_effect", t_interval(control)),
                          ("difference", gap)):  # fmt: skip
        found |= {name: numbers.mean, f"{name}_low": numbers.low, f"{name}_high": numbers.high}
    return found | {
        "margin": margin,
        "p_value": _p_value(effect - control, str(first["direction"]), margin),
        "n_seeds": len(used),
        "seeds_for": int((used["verdict"] == "holds").sum()),
        "seeds_against": int((used["verdict"] == "does not hold").sum()),
        "test": TEST,
        "test_in_run": first["test"],
        "verdict": said,
        "note": " ".join(filter(None, [_note(part, used), UNDECIDED if some_undecided else ""])),
    }


def _p_value(gaps: np.ndarray, direction: str, margin: float) -> float:
    if len(gaps) < LEAST_SEEDS or np.allclose(gaps, gaps[0]):  # no spread to test against
        return math.nan
    if direction == "equal":
        above = scipy_stats.ttest_1samp(gaps, -margin, alternative="greater").pvalue
        below = scipy_stats.ttest_1samp(gaps, margin, alternative="less").pvalue
        return float(max(above, below))
    alternative = "greater" if direction == "above" else "less"
    return float(scipy_stats.ttest_1samp(gaps, 0.0, alternative=alternative).pvalue)


def _note(part: pd.DataFrame, used: pd.DataFrame) -> str:
    """Why seeds are missing, or what the runs say about their number."""
    if len(used) == len(part):
        notes = part["note"].unique()
        return str(notes[0]) if len(notes) == 1 else ""
    reasons = part.loc[~part.index.isin(used.index), "note"]
    return f"{len(part) - len(used)} of {len(part)} seeds: {reasons.iloc[0]}"


def _adjusted(table: pd.DataFrame) -> pd.Series:
    """Benjamini-Hochberg q-values among the tests of each profile."""
    adjusted = pd.Series(math.nan, index=table.index)
    for _, p_values in table["p_value"].dropna().groupby(table["profile"]):
        adjusted[p_values.index] = multipletests(p_values, method="fdr_bh")[1]
    return adjusted
