"""The ledger over seeds: one verdict per claim and profile, from the ledgers of many runs.

Each run gives one number for a claim and one for its control. Both come from the same model and
the same people, so they are paired by seed, and what is judged is their difference d. Its 95 %
interval is a t interval over seeds: nothing inside a run is resampled, since people and cells of
one run share a model. The rule from interval to verdict is :mod:`.verdicts`; fewer than three seeds
decide nothing.

A t interval knows no bounds: an end that a share or a correlation cannot reach is shown at the
bound (1 or -1). The verdict is that of the interval as it was.

Two tests stand beside the interval: d beyond the margin as claimed (p_for), and d short of it
(p_against). Each kind is adjusted for the false discovery rate among the rows of a profile.

Runs with shuffled answers (:data:`SHUFFLED`) hold nothing to learn about persons. They pass the
same stages and the same rule: what "holds" there says how often the ledger says so for other
reasons.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy import stats as scipy_stats
from statsmodels.stats.multitest import multipletests

from kc_utils.analysis.stats.seeds import LEAST_SEEDS, t_interval
from kc_utils.errors import KcError
from kc_utils.study.claims.claim import WORDS
from kc_utils.study.claims.margins import margins
from kc_utils.study.claims.seeds_needed import seeds_needed
from kc_utils.study.claims.verdicts import HOLDS, NOT_MEASURED, OPEN, verdict

TEST = "t interval over seeds of effect minus control, paired by seed"
FEW = f"Fewer than {LEAST_SEEDS} seeds decide nothing."
SHUFFLED = "-shuffled"
"""End of the name of a profile whose answers are dealt out anew in every epoch."""
NEEDED = ("profile", "seed", *WORDS, "value", "control_value", "margin", "margin_reason",
          "verdict", "note")  # fmt: skip


def over_seeds(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per profile and claim, in the order of first appearance.

    Args:
        rows: ledgers of single runs (:func:`kc_utils.study.ledger.ledger`) with columns
            profile, seed.

    Returns:
        The words of the claim (:data:`kc_utils.study.claims.claim.WORDS`; ``test`` is the one over
        seeds, ``test_in_run`` the run's), profile, margin, margin_reason; effect, control_effect
        and difference, each with ``_low`` and ``_high`` (NaN with fewer than three seeds); p_for,
        q_for (d beyond the margin), p_against, q_against (d short of it; q by Benjamini and
        Hochberg 1995 among the claims of a profile); n_runs that asked for it, n_seeds of them that
        measured it; seeds_for (runs whose own verdict is "holds"); shuffled, shuffled_low,
        shuffled_high, shuffled_verdict, n_shuffled (the difference in runs with shuffled answers);
        seeds_needed and verdict_then of what is open (:func:`.seeds_needed.seeds_needed`); note,
        verdict.

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
    if table.empty:
        return table
    for kind in ("for", "against"):
        table[f"q_{kind}"] = _adjusted(table, f"p_{kind}")
    return _beside_shuffled(table)


def false_holds(table: pd.DataFrame) -> pd.DataFrame:
    """How often the ledger says "holds" where there is nothing to learn about persons.

    Returns:
        One row per profile with shuffled runs: profile (of the real runs), n_seeds (shuffled),
        judged (claims with an interval), holds, share, claims (their ids).
    """
    rows = []
    for profile, part in table[table["n_shuffled"] >= LEAST_SEEDS].groupby("profile", sort=False):
        judged = part[part["shuffled_verdict"] != NOT_MEASURED]
        holds = judged[judged["shuffled_verdict"] == HOLDS]
        rows.append((profile, int(part["n_shuffled"].max()), len(judged), len(holds),
                     len(holds) / max(len(judged), 1), ", ".join(holds["id"])))  # fmt: skip
    columns = ["profile", "n_seeds", "judged", "holds", "share", "claims"]
    return pd.DataFrame(rows, columns=columns)


def _row(profile: str, part: pd.DataFrame) -> dict[str, object]:
    used = part[np.isfinite(part["value"]) & np.isfinite(part["control_value"])]
    first = part.iloc[0]
    effect, control = used["value"].to_numpy(float), used["control_value"].to_numpy(float)
    margin, gap = float(first["margin"]), t_interval(effect - control)
    said = verdict(gap, direction=first["direction"], margin=margin)
    if len(used) and len(used) < LEAST_SEEDS:
        said = OPEN
    found = {"profile": profile} | {name: first[name] for name in WORDS}
    bound = _bound(str(first["quantity"]))
    for name, numbers in (("effect", t_interval(effect)), ("control_effect", t_interval(control)),
                          ("difference", gap)):  # fmt: skip
        low, high = np.clip((numbers.low, numbers.high), -bound, bound)
        found |= {name: numbers.mean, f"{name}_low": low, f"{name}_high": high}
    p_for, p_against = _p_values(effect - control, str(first["direction"]), margin)
    needed = math.nan, ""
    if said == OPEN:
        needed = seeds_needed(effect - control, direction=first["direction"], margin=margin)
    return found | {
        "margin": margin,
        "margin_reason": first["margin_reason"],
        "p_for": p_for,
        "p_against": p_against,
        "n_runs": len(part),
        "n_seeds": len(used),
        "seeds_for": int((used["verdict"] == HOLDS).sum()),
        "seeds_needed": needed[0],
        "verdict_then": needed[1],
        "test": TEST,
        "test_in_run": first["test"],
        "verdict": said,
        "note": " ".join(filter(None, _notes(part, used))),
    }


def _bound(quantity: str) -> float:
    """The largest absolute value that what a claim measures can have."""
    return 1.0 if quantity.endswith("(share)") or "correlation" in quantity else math.inf


def _p_values(gaps: np.ndarray, direction: str, margin: float) -> tuple[float, float]:
    """One-sided t tests: the difference beyond the margin, and short of it."""
    if len(gaps) < LEAST_SEEDS or np.allclose(gaps, gaps[0]):  # no spread to test against
        return math.nan, math.nan

    def p(values: np.ndarray, bound: float, alternative: str) -> float:
        return float(scipy_stats.ttest_1samp(values, bound, alternative=alternative).pvalue)

    if direction == "equal":
        inside = max(p(gaps, -margin, "greater"), p(gaps, margin, "less"))
        beyond = min(1.0, 2 * min(p(gaps, margin, "greater"), p(gaps, -margin, "less")))
        return inside, beyond
    turned = gaps if direction == "above" else -gaps
    return p(turned, margin, "greater"), p(turned, margin, "less")


def _notes(part: pd.DataFrame, used: pd.DataFrame) -> list[str]:
    """Why seeds are missing, what the runs say about their number, and what has changed since."""
    name, margin = part["id"].iloc[0], part["margin"].iloc[0]
    told = []
    if len(used) < len(part):
        reasons = part.loc[~part.index.isin(used.index), "note"]
        some = f" in {len(reasons)} of {len(part)} seeds" if len(used) else ""
        first = "; in the first of them" if reasons.nunique() > 1 else ""
        told.append(f"Not measured{some}{first}: {reasons.iloc[0].removeprefix('Not measured: ')}")
    elif len(notes := part["note"].unique()) == 1 and notes[0]:
        told.append(f"{notes[0][0].upper()}{notes[0][1:].removesuffix('.')}.")
    if 0 < len(used) < LEAST_SEEDS:
        told.append(FEW)
    if part["margin"].nunique() > 1:
        told.append("Runs were judged by different margins.")
    if name in margins() and not math.isclose(margins()[name].margin, margin, rel_tol=1e-5):
        told.append(f"The margin is {margins()[name].margin:g} since; these runs keep {margin:g}.")
    return told


def _beside_shuffled(table: pd.DataFrame) -> pd.DataFrame:
    """Every row with the difference and verdict of the profile's runs with shuffled answers."""
    names = {"difference": "shuffled", "difference_low": "shuffled_low",
             "difference_high": "shuffled_high", "verdict": "shuffled_verdict",
             "n_seeds": "n_shuffled"}  # fmt: skip
    of_shuffled = table["profile"].str.endswith(SHUFFLED)
    control = table[of_shuffled].rename(columns=names)
    control = control.assign(profile=control["profile"].str.removesuffix(SHUFFLED))
    joined = table.merge(control[["profile", "id", *names.values()]], on=["profile", "id"],
                         how="left")  # fmt: skip
    joined["n_shuffled"] = joined["n_shuffled"].fillna(0).astype(int)
    return joined.assign(shuffled_verdict=joined["shuffled_verdict"].fillna(NOT_MEASURED))


def _adjusted(table: pd.DataFrame, column: str) -> pd.Series:
    """Benjamini-Hochberg q-values among the tests of each profile."""
    adjusted = pd.Series(math.nan, index=table.index)
    for _, p_values in table[column].dropna().groupby(table["profile"]):
        adjusted[p_values.index] = multipletests(p_values, method="fdr_bh")[1]
    return adjusted
