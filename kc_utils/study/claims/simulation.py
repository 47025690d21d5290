"""How often the rule errs, by simulation: families of primary claims with known true effects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from kc_utils.study.claims.claim import Claim, claims
from kc_utils.study.claims.rule import BEYOND, decide

#: True effects, in margins: none, on the margin, and beyond it.
TRUE_EFFECTS = (0.0, 1.0, 1.5, 2.0)
#: Standard deviation over training runs, in margins: what the reference sweep shows is 0.3 to 1.5.
SPREADS = (0.3, 0.6, 1.2)


def error_rates(
    runs: Sequence[int] = (5, 8),
    effects: Sequence[float] = TRUE_EFFECTS,
    spreads: Sequence[float] = SPREADS,
    families: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """What the rule says of simulated families in which every claim has the same true effect.

    Each family holds the primary claims; a training run's effects are normal and independent.

    Returns:
        n (training runs), true_effect and spread (both in margins), any_beyond (share of families
        in which some claim is called beyond the margin), beyond (share of claims).
    """
    family = [claim.model_copy(update={"margin": 1.0}) for claim in claims() if claim.primary]
    rng = np.random.default_rng(seed)
    rows = []
    for n in runs:
        for effect in effects:
            for spread in spreads:
                drawn = rng.normal(effect, spread, size=(families, len(family), n))
                called = np.array([_called(family, values) for values in drawn])
                rows.append((n, effect, spread, called.any(axis=1).mean(), called.mean()))
    return pd.DataFrame(rows, columns=["n", "true_effect", "spread", "any_beyond", "beyond"])


def _called(family: Sequence[Claim], values: np.ndarray) -> list[bool]:
    effects = {claim.id: list(map(float, v)) for claim, v in zip(family, values, strict=True)}
    return [d.verdict == BEYOND for d in decide(family, effects, leave_one_out=False).values()]
