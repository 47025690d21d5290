"""Claims about who is learned sooner hold where that is so, for known people only."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from claims_tables import TableRun

from kc_utils.analysis.knowledge import time_to_knowledge
from kc_utils.study.claims import acquisition
from kc_utils.study.claims.claim import rows

EPOCHS = np.arange(0.0, 13.0)
KNOWN = pd.DataFrame([{"accuracy": 0.97, "chance": 0.05, "passed": True}])


def tables(lead: float, *, often: float = 3.0, people: int = 60, seed: int = 0) -> dict:
    """K_rel is learned ``lead`` epochs earlier, the high band ``often`` epochs before the low."""
    rng = np.random.default_rng([seed, 3])
    who = pd.DataFrame(
        [(k, b) for k in ("K_rel", "K_compl") for b in ("high", "low") for _ in range(people)],
        columns=["kind", "band"],
    ).assign(person_id=lambda t: np.arange(len(t)))
    middle = 6.0 - lead * (who["kind"] == "K_rel") - often * (who["band"] == "high")
    right = 0.98 / (1 + np.exp(-(EPOCHS[:, None] - middle.to_numpy() - 1)))
    frames = [
        who.assign(step=int(10 * epoch), epoch=epoch, correct=rng.random(len(who)) < share)
        for epoch, share in zip(EPOCHS, right, strict=True)
        for _ in range(5)
    ]
    rows_ = pd.concat(frames, ignore_index=True)
    last = 0.3 + 0.1 * lead * (who["kind"] == "K_rel") + 0.1 * often * (who["band"] == "high")
    hits = pd.concat([who] * 3, ignore_index=True)
    hit = rng.random(len(hits)) < np.tile(last.clip(0, 1), 3)
    read = rows_.assign(wording="read")
    return {
        "first_token_read": read,
        "first_token": rows_.assign(wording="trained"),
        "time_to_knowledge": time_to_knowledge(read, needed=0.6),
        "checkpoints": pd.DataFrame({"step": (10 * EPOCHS).astype(int), "epoch": EPOCHS}),
        "prior_knowledge": KNOWN,
        "circuit_pairs": hits.assign(
            rank=np.where(hit, 1, 99), circuit="own", ablation="corrupted", split="evaluate",
            wording="trained", step=120,
        ),
    }  # fmt: skip


def judge(made: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return rows(TableRun(made), acquisition.CLAIMS).set_index("id")


RELEVANT = [c.id for c in acquisition.CLAIMS if c.id.startswith("relevant")]


def test_every_claim_holds_where_it_is_true():
    said = judge(tables(2.0))
    failed = said[said["verdict"] != "holds"]
    assert failed.empty, failed[["difference", "difference_low", "difference_high", "note"]]


def test_without_a_lead_relevance_does_not_hold_and_frequency_does():
    said = judge(tables(0.0, people=150))["verdict"]
    assert not set(said[RELEVANT]) & {"holds", "opposite"}
    assert said["frequent-circuit"] == said["frequent-accuracy"] == "holds"


def test_the_other_way_round_is_the_opposite():
    said = judge(tables(-2.0, often=-3.0))["verdict"]
    assert (said == "opposite").all(), said


def test_a_base_model_that_knows_nobody_stops_every_claim_about_relevance():
    made = tables(2.0) | {"prior_knowledge": KNOWN.assign(passed=False, accuracy=0.018)}
    said = judge(made)
    assert (said.loc[RELEVANT, "verdict"] == "not measured").all()
    assert said.loc[RELEVANT, "note"].str.contains(r"0\.02 of its facts").all()
    assert said.loc["frequent-circuit", "verdict"] == "holds"
    nobody = judge(tables(2.0) | {"prior_knowledge": KNOWN.head(0)})
    assert nobody.loc[RELEVANT, "note"].str.contains("was not asked").all()


def test_the_lead_at_equal_progress_is_that_of_the_curves():
    made = tables(2.0, often=0.0, people=400)
    found = acquisition.lead(TableRun(made))
    # A logistic curve two epochs ahead of one at 0.3 (of 0.98).
    ahead = 0.98 / (1 + np.exp(-(np.log(0.3 / 0.68) + 2)))
    assert found.effect.mean == pytest.approx(ahead - 0.3, abs=0.05)
    assert found.effect.low < found.effect.mean < found.effect.high


def test_a_curve_that_never_gets_there_is_not_measured():
    made = tables(2.0)
    slow = made["first_token_read"].assign(correct=False)
    said = judge(made | {"first_token_read": slow})
    assert "never reached" in said.loc["relevant-progress", "note"]
    assert said.loc["relevant-read", "verdict"] == "not measured"


def test_dealt_out_types_hardly_ever_hold():
    found = acquisition.placebo(TableRun(tables(2.0)), n=20)
    assert len(found) == 20 and (found["verdict"] == "holds").sum() <= 1
    assert found["value"].abs().max() < 0.1


def test_one_type_or_one_band_is_not_compared():
    made = tables(2.0)
    only = {n: t[t["kind"] == "K_rel"] if "kind" in t else t for n, t in made.items()}
    said = judge(only)
    assert (said.loc[RELEVANT, "verdict"] == "not measured").all()
    high = {n: t[t["band"] == "high"] if "band" in t else t for n, t in made.items()}
    assert "no people of band low" in judge(high).loc["frequent-circuit", "note"]
