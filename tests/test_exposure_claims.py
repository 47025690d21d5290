"""What exposures gave: gains, claims and figures from made-up tables."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from claims_tables import TableRun

from kc_utils.errors import KcError
from kc_utils.plots import exposure as drawn
from kc_utils.study.claims.claim import rows
from kc_utils.study.experiments.exposure import claims
from kc_utils.study.experiments.exposure import gain as exposure_gain
from kc_utils.study.experiments.exposure.groups import GROUPS, Clock

# gains and claims


def _table(effect: float = 1.0, *, people: int = 40, seed: int = 0) -> pd.DataFrame:
    """``exposure_people`` in which exposures do what the papers say (1), nothing (0), or the other
    way round (-1): only the repeated text stays."""
    rng = np.random.default_rng([seed, 3])
    clock = Clock(exposures=5, spacing=10, steps_after=96, lead_in=0)
    since = np.array([-41, -1, *clock.delays])
    after = np.clip(since - exposure_gain.PEAK, 0, None)
    best, worst = (1 + after) ** -0.1, (1 + after) ** -0.6
    shapes = {"once": 1.0 * worst, "repeated": 1.5 * worst, "varied": 3.0 * best}
    if effect < 0:  # wording helps less than the same text again, and nothing fades
        level = np.ones(len(since))
        shapes = {"once": -level, "repeated": 3.0 * best, "varied": 1.5 * worst}
    rows = []
    for group, wording in product(GROUPS, ("seen", "trained", "held_out")):
        gain = abs(effect) * np.where(since >= 0, shapes.get(group, 0.0), 0.0)
        if wording == "seen" and group == "repeated":  # what was read word by word
            gain = np.where(since >= 0, 6.0 * max(effect, 0.0), 0.0)
        level = rng.normal(-20, 2, people)[:, None]
        drift = 0.05 * np.arange(len(since))
        values = level + gain + drift + 0.1 * rng.normal(size=(people, len(since)))
        frame = pd.DataFrame(values, columns=since).rename_axis("person").reset_index()
        rows.append(frame.melt("person", var_name="since", value_name="log_prob")
                    .assign(group=group, wording=wording))  # fmt: skip
    return pd.concat(rows, ignore_index=True).astype({"since": int})


def _curves(table: pd.DataFrame) -> pd.DataFrame:
    return exposure_gain.gains(table).query("since >= 0").reset_index(drop=True)


def _ledger(table: pd.DataFrame) -> pd.DataFrame:
    run = TableRun({"exposure_people": table})
    return rows(run, claims.CLAIMS).set_index("id")


def test_gains_take_the_drift_of_the_never_shown_away():
    curves = exposure_gain.gains(_table())
    at = curves.set_index(["group", "wording", "since"])["gain"]
    assert at["once", "held_out", 8] == pytest.approx(1.0, abs=0.15)
    assert at["varied", "trained", 64] == pytest.approx(3 * 57**-0.1, abs=0.15)
    none = exposure_gain.gains(_table(0.0))
    none = none[none["since"] >= 0]
    assert none["gain"].abs().max() < 0.25
    assert ((none["low"] < 0) & (none["high"] > 0)).mean() > 0.8
    before = curves[curves["since"] == curves.groupby("group")["since"].transform("min")]
    assert (before["gain"] == 0).all() and before["since"].tolist() == [-1] * 3 + [-41] * 6
    with pytest.raises(KcError, match="no group 'once' in wording 'other'"):
        exposure_gain.changes(_table(), "other", "once", "once")


def test_fits_of_the_curves_find_the_exponents():
    table = exposure_gain.fits(_curves(_table(people=400)))
    power = table[(table["law"] == "power") & (table["wording"] == "trained")]
    shape = power.set_index("group")["shape"]
    assert shape["repeated"] == pytest.approx(0.6, abs=0.1)
    assert shape["varied"] == pytest.approx(0.1, abs=0.03)
    best = table.loc[table.groupby(["group", "wording"])["bic"].idxmin()]
    assert (best["law"] != "exponential").all()
    lines = exposure_gain.fitted_curves(table, "power", 96)
    starts = lines[lines["since"] == exposure_gain.PEAK].set_index(["group", "wording"])["gain"]
    assert starts.tolist() == pytest.approx(table[table["law"] == "power"]["scale"].tolist())


def test_claims_hold_where_the_papers_are_right():
    found = _ledger(_table())
    assert found["verdict"].to_dict() == dict.fromkeys(found.index, "holds")
    gain = found.loc["exposure-gain"]
    assert gain["value"] - gain["control_value"] == pytest.approx(1.0, abs=0.15)
    lost = found.loc["exposure-decay"]
    assert lost["value"] - lost["control_value"] == pytest.approx(1 - 57**-0.6, abs=0.1)
    assert "power" in found.loc["exposure-power-law", "note"]


def test_claims_do_not_hold_where_nothing_or_the_opposite_is_true():
    nothing = _ledger(_table(0.0))
    assert set(nothing["verdict"]) <= {"no effect", "open", "not measured"}
    assert nothing.loc["exposure-gain", "verdict"] == "no effect"
    assert "nothing to lose" in nothing.loc["exposure-decay", "note"]
    opposite = _ledger(_table(-1.0))["verdict"]
    for name in ("exposure-gain", "varied-held-out", "repeated-forgotten-faster"):
        assert opposite[name] == "opposite"


def test_shuffled_groups_support_no_claim_about_wording():
    table = _table()
    rng = np.random.default_rng(5)
    for _ in range(3):
        both = table[table["group"].isin(["repeated", "varied"])]
        keys = both[["group", "person"]].drop_duplicates()
        dealt = keys.sample(frac=1, random_state=rng)[["group"]].to_numpy()[:, 0]
        mixed = keys.assign(
            new=dealt, number=pd.Series(dealt, keys.index).groupby(dealt).cumcount()
        )
        both = both.merge(mixed, on=["group", "person"]).drop(columns=["group", "person"])
        both = both.rename(columns={"new": "group", "number": "person"})
        rest = table[table["group"].isin(["once", "never"])]
        found = _ledger(pd.concat([rest, both], ignore_index=True))
        assert found.loc["varied-held-out", "verdict"] in ("no effect", "open")


def test_short_tables_are_not_judged():
    table = _table()
    found = _ledger(table[table["since"] <= exposure_gain.PEAK])
    assert set(found["verdict"]) == {"not measured"}


# figures


def test_figures_show_every_group_and_the_spread_over_seeds():
    one = _curves(_table())
    table = exposure_gain.fits(one)
    lines = exposure_gain.fitted_curves(table, "power", 96)
    figure = drawn.exposure_curves(one, lines)
    assert len(figure.axes) == 3 and {a.get_xscale() for a in figure.axes} == {"log"}
    assert all(len(a.get_lines()) == 7 for a in figure.axes)  # zero, three curves, three fits
    labels = {t.get_text() for t in figure.legends[0].get_texts()}
    assert {"once", "repeated text", "varied wording", "fitted law"} <= labels
    several = pd.concat(
        [one.assign(profile="made", seed=s, gain=one["gain"] + s) for s in range(3)]
    )
    means = drawn.exposure_means(several)
    assert np.allclose(means["gain"], one["gain"] + 1)
    assert np.allclose(means["high"] - means["gain"], 4.3027 / np.sqrt(3), rtol=1e-3)
    assert len(drawn.exposure_retained(several).axes[0].get_lines()) > len(
        drawn.exposure_retained(one).axes[0].get_lines()
    )


def test_profiles_have_panels_of_their_own():
    one = _curves(_table())
    both = pd.concat([one.assign(profile=p, seed=s) for p, s in product("ab", (0, 1))])
    figure = drawn.exposure_curves(both)
    assert len(figure.axes) == 6
    assert [a.get_title() for a in figure.axes[::3]] == ["a\nthe text itself", "b\nthe text itself"]
    assert len(drawn.exposure_retained(both).axes) == 2


def test_figures_refuse_tables_that_repeat_a_point_or_lack_columns():
    one = _curves(_table())
    with pytest.raises(KcError, match="repeated rows"):
        drawn.exposure_curves(pd.concat([one, one]))
    with pytest.raises(KcError, match="lacks the column"):
        drawn.exposure_retained(one.drop(columns="gain"))
