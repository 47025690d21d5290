"""The plan of the confirmatory study, and how often its rule errs."""

from __future__ import annotations

import pandas as pd
import pytest

from kc_utils import ROOT, STORED_SWEEP
from kc_utils.book import plan_page
from kc_utils.errors import KcError
from kc_utils.runs.dataset import SweepTables
from kc_utils.study.claims import plan as plans
from kc_utils.study.claims.claim import claims
from kc_utils.study.claims.simulation import error_rates


def test_the_plan_predicts_every_primary_claim_on_seeds_that_no_run_has() -> None:
    fixed = plans.plan()
    assert fixed.seeds == tuple(range(200, 208)) and fixed.profiles == ("tiny", "tiny-llama")
    assert [p.claim for p in fixed.prediction] == [c.id for c in claims() if c.primary]
    runs = SweepTables.open(ROOT / STORED_SWEEP).runs
    assert not set(runs["seed"]) & set(fixed.seeds)


@pytest.mark.parametrize("change", [{"margin": 5.0}, {"gates": {}}, {"control": "nothing"}])
def test_a_changed_primary_claim_is_not_the_one_that_was_planned(change, monkeypatch) -> None:
    first, *others = claims()
    monkeypatch.setattr(plans, "claims", lambda: (first.model_copy(update=change), *others))
    plans.plan.cache_clear()
    with pytest.raises(KcError, match="fixed for primary claims"):
        plans.plan()
    plans.plan.cache_clear()
    secondary = others[-1].model_copy(update={"margin": 99.0})
    monkeypatch.setattr(plans, "claims", lambda: (first, *others[:-1], secondary))
    assert plans.plan().seeds, "secondary claims are not bound"


def test_the_page_has_the_digest_and_every_arm() -> None:
    page = plan_page.pages()["plan.md"]
    assert plans.digest() in page and plans.plan().date in page
    assert all(arm.name in page and arm.decision in page for arm in plans.plan().arm)


def test_the_stored_error_rates_are_those_of_the_rule() -> None:
    stored = pd.read_csv(ROOT / "book/reference/error_rates.csv")
    stored.columns = ["n", "true_effect", "spread", "any_beyond", "beyond"]
    for name in ("any_beyond", "beyond"):
        stored[name] = stored[name].str.removesuffix(" %").astype(float) / 100
    none = stored[stored["true_effect"] == 0]
    assert set(none["n"]) == {5, 8} and (none["any_beyond"] <= 0.05).all()
    on_margin = stored[stored["true_effect"] == 1]
    assert (on_margin["any_beyond"] <= 0.05).all()
    for _, part in stored.groupby(["n", "spread"]):
        assert part.sort_values("true_effect")["beyond"].is_monotonic_increasing
    again = error_rates(runs=[8], effects=[0.0, 2.0], spreads=[0.6], families=100, seed=1)
    expected = stored.query("n == 8 and spread == 0.6 and true_effect in (0, 2)")
    assert again["any_beyond"].iloc[0] <= 0.05
    assert again["beyond"].iloc[1] == pytest.approx(expected["beyond"].iloc[1], abs=0.05)
