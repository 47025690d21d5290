"""Every primary claim again from the stored tables, with nothing of the ledger but its result."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from kc_utils import ROOT, STORED_SWEEP
from kc_utils.runs.dataset import SweepTables
from kc_utils.study.claims.ledger import ledger

STORED = ROOT / STORED_SWEEP
SEEDS = {"tiny": range(8), "tiny-llama": range(8), "smollm2": range(5)}
CELL = ["task", "kind", "band"]


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return ledger(SweepTables.open(STORED)).set_index(["profile", "id"])


def read(name: str, profile: str, seed: int) -> pd.DataFrame:
    table = pd.read_parquet(STORED / f"{name}.parquet")
    table = table[(table["profile"] == profile) & (table["seed"] == seed)]
    return table.astype(dict.fromkeys(table.select_dtypes("float32"), float))


def learned(profile: str, seed: int) -> bool:
    table = read("accuracy_read", profile, seed)
    last = table[(table["step"] == table["step"].max()) & (table["band"] == "all")]
    return last["value"].mean() >= 0.9


def known(profile: str, seed: int) -> float:
    return read("prior_knowledge", profile, seed)["accuracy"].iloc[0]


def knees(profile: str, seed: int) -> pd.DataFrame | None:
    """Cells with a decided knee of the entropy of kept edges, if they are half of all."""
    table = read("shift", profile, seed)
    table = table[table["quantity"] == "entropy_kept"]
    found = table[table["knee"].notna()]
    return found if len(found) >= len(table) / 2 else None


def curve(table: pd.DataFrame, cell: pd.Series) -> pd.DataFrame:
    same = (table[CELL] == cell[CELL]).all(axis=1)
    return table[same].sort_values("epoch")


def half_time(curve: pd.DataFrame) -> float:
    """Epoch of half of the last accuracy, first crossing of the broken line."""
    curve = curve.sort_values("epoch")
    x, y = curve["epoch"].to_numpy(), curve["value"].to_numpy()
    half = y[-1] / 2
    for (x0, y0), (x1, y1) in zip(zip(x, y), zip(x[1:], y[1:]), strict=False):  # noqa: B905
        if y0 < half <= y1:
            return float(np.interp(half, [y0, y1], [x0, x1]))
    return np.nan


def sooner(profile: str, seed: int) -> float | None:
    if not learned(profile, seed) or known(profile, seed) < 0.9:
        return None
    table = read("accuracy_read", profile, seed).query("band == 'all'")
    ours, theirs = (half_time(table[table["kind"] == kind]) for kind in ("K_rel", "K_compl"))
    return 100 * (1 - ours / theirs)


def formation(profile: str, seed: int) -> float | None:
    if not learned(profile, seed):
        return None
    control = read("control_shift", profile, seed).query("control == 'shuffled labels'")
    own = read("shift", profile, seed).query("quantity == 'entropy_kept'")
    cells = set(map(tuple, control[CELL].to_numpy()))
    own = own[[tuple(cell) in cells for cell in own[CELL].to_numpy()]]
    return 100 * (own["knee"].notna().mean() - control["knee"].notna().mean())


def optimisation(profile: str, seed: int) -> float | None:
    cells = knees(profile, seed)
    if cells is None or not learned(profile, seed):
        return None
    accuracy, entropy = (read(name, profile, seed) for name in ("accuracy_read", "topology"))
    facts, late, falls = [], [], []
    for _, cell in cells.iterrows():
        a = accuracy[(accuracy["kind"] == cell["kind"]) & (accuracy["band"] == cell["band"])]
        a, e = a.sort_values("epoch"), curve(entropy, cell)
        facts.append(1 - np.interp(cell["knee"], a["epoch"], a["value"]) / a["value"].iloc[-1])
        falls.append(e["entropy_kept"].iloc[0] - e["entropy_kept"].iloc[-1])
        knee = np.interp(cell["knee"], e["epoch"], e["entropy_kept"])
        late.append(knee - e["entropy_kept"].iloc[-1])
    return 100 * (np.mean(facts) - np.sum(late) / np.sum(falls))


def moved(points: pd.DataFrame, begin: float, end: float) -> float | None:
    """Slope of the mean source layer between two epochs, times the epochs it was fitted over."""
    points = points.dropna(subset=["source"])
    inside = points["epoch"].between(begin, end)
    if inside.sum() < 2:
        chosen = points[
            inside
            | (points["epoch"] == points["epoch"][points["epoch"] < begin].max())
            | (points["epoch"] == points["epoch"][points["epoch"] > end].min())
        ]
    else:
        chosen = points[inside]
    if len(chosen) < 2:
        return None
    fit = stats.linregress(chosen["epoch"], chosen["source"])
    return fit.slope * (chosen["epoch"].max() - chosen["epoch"].min())


def depth(forming: bool, null: bool) -> Callable[[str, int], float | None]:
    def effect(profile: str, seed: int) -> float | None:
        cells = knees(profile, seed)
        if cells is None or not learned(profile, seed):
            return None
        own = read("centre_of_mass", profile, seed)
        if null:
            control = read("centre_of_mass", f"{profile}-shuffled", seed)
        else:
            control = read("control_curves", profile, seed).query("control == 'shuffled labels'")
        if control.empty:
            return None
        pairs = []
        for _, cell in cells.iterrows():
            onset = -np.inf if np.isnan(cell["onset"]) else cell["onset"]
            window = (onset, cell["knee"]) if forming else (cell["knee"], np.inf)
            pairs.append([moved(curve(table, cell), *window) for table in (own, control)])
        pairs = [pair for pair in pairs if None not in pair]
        layers = read("graph", profile, seed)["n_layers"].iloc[0]
        return 100 * np.mean([a - b for a, b in pairs]) / layers

    return effect


BY_HAND = {
    "sooner": sooner,
    "formation": formation,
    "optimisation": optimisation,
    "depth-forming": depth(forming=True, null=False),
    "depth-after": depth(forming=False, null=False),
    "depth-null": depth(forming=False, null=True),
}


@pytest.mark.parametrize("profile", SEEDS)
@pytest.mark.parametrize("name", BY_HAND)
def test_the_ledger_says_what_the_tables_say(name: str, profile: str, rows: pd.DataFrame) -> None:
    found = [BY_HAND[name](profile, seed) for seed in SEEDS[profile]]
    found = np.array([effect for effect in found if effect is not None])
    found = found[np.isfinite(found)]
    row = rows.loc[profile, name]
    assert row["n_seeds"] == len(found)
    if len(found) < 3:
        assert row["verdict"] == "not measured" and row["note"]
        return
    low, high = stats.t.interval(0.95, len(found) - 1, found.mean(), stats.sem(found))
    assert row["effect"] == pytest.approx(found.mean(), abs=1e-9)
    assert (row["low"], row["high"]) == pytest.approx((low, high), abs=1e-9)
    assert row["effect"] == pytest.approx(row["own"] - row["control_effect"]) or name == "sooner"
    m, outside = row["margin"], not low <= 0 <= high
    if low > m or high < -m:
        said = {"beyond the margin"} if row["holm"] == "yes" else {"real, size undecided"}
    elif -m < low and high < m:
        said = {"real and negligible" if outside else "equivalent"}
    else:
        said = {"real, size undecided" if outside else "open"}
    assert row["verdict"] in said


def test_something_of_every_primary_claim_is_recomputed(rows: pd.DataFrame) -> None:
    primary = set(rows[rows["primary"]].index.get_level_values("id"))
    assert primary == set(BY_HAND) | {"sparse", "names", "elastic"}
    measured = rows[rows["primary"] & (rows["verdict"] != "not measured")]
    assert set(measured.index.get_level_values("id")) == set(BY_HAND)


@pytest.mark.parametrize("profile", SEEDS)
def test_what_is_not_measured_says_why(profile: str, rows: pd.DataFrame) -> None:
    for name in ("sparse", "names", "elastic"):
        row = rows.loc[profile, name]
        assert row["verdict"] == "not measured" and row["note"] and row["direction"] == "none"
        assert np.isnan(row["low"]) and row["holm"] == ""
    for seed in SEEDS[profile]:
        assert "other_relation" not in set(read("sizes", profile, seed)["circuit"])
        new = read("forgetting", profile, seed).query("variant == 'new_people'")
        assert new[np.isclose(new["ratio"], 0.1)]["accuracy_new"].max() < 0.8
        questions = read("relevance_known", profile, seed)
        right = questions[questions["kind_of_relevance"] == "other"]["accuracy"].mean()
        counted = rows.loc[profile, "names"]["n_seeds"]
        assert not right >= 0.9 or counted < 3
    good = [s for s in SEEDS[profile] if _knows_others(profile, s)]
    assert rows.loc[profile, "names"]["n_seeds"] == len(good) < 3


def _knows_others(profile: str, seed: int) -> bool:
    """Whether the base model answers nine in ten questions about people of kind "other"."""
    table = read("relevance_known", profile, seed)
    return bool(table[table["kind_of_relevance"] == "other"]["accuracy"].mean() >= 0.9)


def test_a_base_model_that_does_not_know_the_people_is_not_asked_for_a_lead() -> None:
    assert all(known("smollm2", seed) < 0.9 for seed in SEEDS["smollm2"])
    assert min(known("tiny", seed) for seed in SEEDS["tiny"]) >= 0.9
