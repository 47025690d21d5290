"""How much one more exposure brings: accuracy against the number of biographies, not by bands."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from statsmodels.genmod.families import Binomial
from statsmodels.genmod.generalized_linear_model import GLM

from kc_utils.analysis.stats.resample import NotMeasured, require_right, spread
from kc_utils.runs.folder import Run
from kc_utils.study.claims.acquisition import LEARNED
from kc_utils.study.claims.claim import BOOK, Claim, Finding

_FITS = 200  # bootstrap samples and permutations, each a fit


def exposure_gain(run: Run) -> Finding:
    """What doubling everybody's exposures adds to first-token accuracy, by logistic regression."""
    people = _last_answers(run)
    require_right(people["right"] / people["rows"], LEARNED, "the mean share of right answers")
    if people["frequency"].nunique() < 3:
        raise NotMeasured("people have fewer than three different numbers of biographies")
    doublings = np.log2(people["frequency"].to_numpy(float))
    kind = (people["kind"] == "K_rel").to_numpy(float)
    counts = people[["right", "wrong"]].to_numpy(float)
    gain = _gain(doublings, kind, counts)
    rng = np.random.default_rng([run.config.seed, 84])
    n = min(_FITS, run.config.analysis.bootstrap)
    drawn, null = [], []
    for _ in range(n):
        rows = rng.integers(len(people), size=len(people))
        drawn.append(_gain(doublings[rows], kind[rows], counts[rows]))
        null.append(_gain(_within(doublings, kind, rng), kind, counts))
    p_value = (1 + np.count_nonzero(np.array(null) >= gain - 1e-12)) / (1 + n)
    control = spread(float(np.mean(null)), null)
    return Finding(spread(gain, drawn), control, len(people), "people", float(p_value))


def _last_answers(run: Run) -> pd.DataFrame:
    """One row per person at the last checkpoint: kind, frequency, right, wrong, rows (answers)."""
    table = run.table("first_token")
    last = table[(table["wording"] == "trained") & (table["step"] == table["step"].max())]
    grouped = last.groupby(["person_id", "kind"], as_index=False, observed=True)["correct"]
    people = grouped.agg(right="sum", rows="size").merge(_frequencies(run), on="person_id")
    return people.assign(wrong=people["rows"] - people["right"])


def _frequencies(run: Run) -> pd.DataFrame:
    people = run.read(run.path / "data" / "people.parquet")
    return people[["person_id", "frequency"]]


def _gain(doublings: np.ndarray, kind: np.ndarray, counts: np.ndarray) -> float:
    """Mean difference of the fitted chance after one more doubling; counts [people, 2]."""

    def design(x: np.ndarray) -> np.ndarray:
        columns = [np.ones_like(x), x] + ([kind] if np.ptp(kind) else [])
        return np.column_stack(columns)

    with warnings.catch_warnings():  # perfect separation: chances of 0 and 1 are fine here
        warnings.simplefilter("ignore")
        with np.errstate(all="ignore"):
            fit = GLM(counts, design(doublings), family=Binomial()).fit()
            return float(np.mean(fit.predict(design(doublings + 1)) - fit.fittedvalues))


def _within(values: np.ndarray, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """``values`` permuted inside each group."""
    dealt = values.copy()
    for group in np.unique(groups):
        places = np.flatnonzero(groups == group)
        dealt[places] = values[rng.permutation(places)]
    return dealt


CLAIMS = (
    Claim(
        id="exposure-curve",
        topic="acquisition",
        claim="Every doubling of the exposures adds to what is known",
        claimed_by=BOOK,
        paper="three bands in the order high, medium, low; no curve",
        quantity="accuracy gained per doubling (share)",
        control="frequencies permuted in types",
        test="new texts, last checkpoint, logistic regression on log2 exposures and type; "
        "bootstrap over people, permutation of frequencies within types",
        direction="above",
        notebook="05_performance",
        measure=exposure_gain,
    ),
)
