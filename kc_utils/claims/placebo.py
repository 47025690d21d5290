"""The ledger's own control: judge a claim on labels that were shuffled, many times over."""

from __future__ import annotations

import numpy as np
import pandas as pd

from kc_utils.claims.acquisition import RELEVANCE_MARGIN, compare, relevance_people
from kc_utils.claims.verdict import verdict
from kc_utils.runs import Run


def placebo(run: Run, n: int = 20) -> pd.DataFrame:
    """Verdicts on "K_rel leads" when types are dealt out at random inside each band.

    Columns: draw, value, low, high, p_value, verdict. None of the verdicts should be "holds".
    """
    people = relevance_people(run, "trained")
    rng = np.random.default_rng([run.config.seed, 59])
    rows = []
    for draw in range(n):
        kinds = people.groupby("band")["kind"].transform(lambda k: rng.permutation(k.to_numpy()))
        found = compare(run, people.assign(kind=kinds), "kind", "K_rel", ["band"])
        said = verdict(
            found.effect, found.control, direction="above", margin=RELEVANCE_MARGIN,
            p_value=found.p_value,
        )  # fmt: skip
        effect = found.effect
        rows.append((draw, effect.mean, effect.low, effect.high, found.p_value, said))
    return pd.DataFrame(rows, columns=["draw", "value", "low", "high", "p_value", "verdict"])
