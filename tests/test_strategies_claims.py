"""Claims about strategies of continual pre-training follow their tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from claims_tables import TableRun

from kc_utils.analysis.stats.resample import NotMeasured
from kc_utils.study.claims.claim import rows
from kc_utils.study.experiments.strategies import claims
from kc_utils.study.experiments.strategies.plans import STRATEGIES


def tables(gain: float = 0.2, kept: float = 0.2, chance: float = 0.2, known: float = 0.9):
    """Tables in which every idea beats replay by ``gain`` and ``kept``; random choices do not."""
    rng = np.random.default_rng(0)
    levels = {"new": 0.4, "old": -0.3}
    better = {"new": gain, "old": kept}
    frames = []
    for strategy in STRATEGIES:
        for facts, level in levels.items():
            mean = level + better[facts] * (strategy in ("names first", "phase", "circuit"))
            mean -= 0.3 * (strategy == "plain" and facts == "old")
            values = mean + 0.05 * rng.normal(size=80)
            frames.append(pd.DataFrame({"strategy": strategy, "facts": facts, "value": values}))
    units = pd.concat(frames).assign(unit=lambda t: t.groupby(["strategy", "facts"]).cumcount())
    means = units.groupby(["strategy", "facts"])["value"].mean().unstack()
    summary = pd.DataFrame(
        {
            "strategy": means.index, "area_new": means["new"], "change_old": means["old"],
            "last_new": 0.7, "last_held_out": 0.5, "chance_new": chance, "base_old": known,
            "switch_step": 30.0, "detected": True, "trained_parameters": 10, "text_tokens": 10,
        }
    ).reset_index(drop=True)  # fmt: skip
    return {"strategies_units": units.reset_index(drop=True), "strategies_summary": summary}


def verdicts(tables_: dict[str, pd.DataFrame]) -> dict[str, str]:
    found = rows(TableRun(tables_), claims.CLAIMS)
    return dict(zip(found["id"], found["verdict"], strict=True))


def test_claims_follow_the_tables() -> None:
    assert set(verdicts(tables()).values()) == {"holds"}
    replay = "strategy-replay-forgetting"
    nothing = verdicts(tables(gain=-0.1, kept=-0.1))
    assert nothing.pop(replay) == "holds"
    assert set(nothing.values()) == {"opposite"}
    assert len({claim.id for claim in claims.CLAIMS}) == len(claims.CLAIMS) == 5
    none = verdicts(tables(gain=0.0, kept=0.0))
    del none[replay]
    assert set(none.values()) <= {"no effect", "open"}


def test_a_gain_that_a_random_choice_gives_too_is_none() -> None:
    made = tables()
    units = made["strategies_units"]
    for name, random in claims.RANDOM.items():
        same = units.loc[units["strategy"] == name, "value"].to_numpy()
        units.loc[units["strategy"] == random, "value"] = same + 0.03
    found = verdicts(made)
    assert found["strategy-phase-efficiency"] == "opposite"
    assert found["strategy-circuit-forgetting"] == "opposite"
    assert found["strategy-names-first-efficiency"] == "holds"


def test_claims_are_refused_where_nothing_was_known_or_learned() -> None:
    blank = verdicts(tables(chance=0.68, known=0.02))
    assert set(blank.values()) == {"not measured"}
    with pytest.raises(NotMeasured, match=r"accuracy on old facts at the start is 0\.020"):
        claims.forgetting(TableRun(tables(known=0.02)), "phase")
    half = tables()
    half["strategies_units"] = half["strategies_units"].query("strategy != 'phase random'")
    with pytest.raises(NotMeasured, match="'phase random' was not run"):
        claims.efficiency(TableRun(half), "phase")
