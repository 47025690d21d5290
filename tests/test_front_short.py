"""The paper's main claims in one sentence: it says no more than all models together allow."""

from __future__ import annotations

import pandas as pd
import pytest

from kc_utils.book.front_short import CLAIMS, in_short
from kc_utils.study.claims.verdicts import HOLDS, NO_EFFECT, OPEN, OPPOSITE, SMALLER, VERDICTS


def ledger(*verdicts: str, seeds: int = 4) -> pd.DataFrame:
    rows = [
        {"id": claim.id, "profile": f"p{i}", "verdict": verdict, "n_seeds": seeds}
        for claim in CLAIMS
        for i, verdict in enumerate(verdicts)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("verdicts", "name"),
    [
        ((HOLDS, HOLDS), "holds"),
        ((HOLDS, SMALLER), "some"),
        ((SMALLER,), "smaller"),
        ((NO_EFFECT, NO_EFFECT), "none"),
        ((OPPOSITE, OPPOSITE), "opposite"),
        ((HOLDS, OPPOSITE), "mixed"),
        ((HOLDS, OPEN), "mixed"),
        ((NO_EFFECT, SMALLER), "mixed"),
        ((OPEN,), "mixed"),
    ],
)
def test_all_models_together_decide(verdicts: tuple[str, ...], name: str) -> None:
    said = in_short(ledger(*verdicts))
    assert all(getattr(claim, name) in said for claim in CLAIMS)
    assert said.startswith("**In short**") and said.endswith(".") and said.count(".") == 1


def test_no_two_outcomes_are_said_alike() -> None:
    for claim in CLAIMS:  # "open" and "not measured" are one outcome
        assert len({claim.clause({verdict}) for verdict in VERDICTS}) == 5


def test_what_runs_with_nothing_to_learn_show_as_well_is_said() -> None:
    depth = CLAIMS[2]
    said = in_short(ledger(OPPOSITE), {depth.id})
    assert "so do circuits in runs with nothing to learn" in said and depth.opposite not in said
    assert in_short(ledger(HOLDS), {depth.id}) == in_short(ledger(HOLDS))


def test_too_few_seeds_or_a_claim_that_is_missing_say_nothing() -> None:
    assert in_short(ledger(HOLDS, seeds=2)) == ""
    few = ledger(HOLDS)
    assert in_short(few[few["id"] != CLAIMS[0].id]) == ""
