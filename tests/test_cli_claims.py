"""``kc claims`` reads a sweep, judges it when called, and prints it for people and programs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from claims_tables import TableRun, make
from conftest import ROOT, kc

from kc_utils import artifacts
from kc_utils.errors import KcError
from kc_utils.runs.dataset import SweepTables
from kc_utils.study.claims.entries import ledger_of
from kc_utils.study.ledger import ledger

KEPT = ROOT / "book" / "reference" / "sweep"
NEEDED = {"id", "claim", "profile", "quantity", "effect", "interval", "n_seeds", "control",
          "control_effect", "test", "verdict"}  # fmt: skip


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of three seeds in which the paper is right, and three in which nothing is so."""
    folder = tmp_path_factory.mktemp("sweep")
    frames = []
    for profile, effect in (("right", 1.0), ("nothing", 0.0)):
        for seed in range(3):
            found = ledger(TableRun(make(effect, seed=seed)))
            frames.append(found.assign(profile=profile, seed=seed))
    path = folder / "evidence.parquet"
    artifacts.write_parquet(path, pd.concat(frames, ignore_index=True))
    record = {"profiles": {}, "runs": [], "tables": {"evidence": artifacts.sha256(path)}}
    artifacts.write_json(folder / "sweep.json", record)
    return folder


@pytest.mark.slow
def test_the_ledger_of_worlds_whose_truth_is_known(sweep: Path) -> None:
    table = ledger_of(SweepTables.open(sweep))
    held = (table["verdict"] == "holds").groupby(table["profile"]).mean()
    assert held["right"] > 0.9
    differences = table[(table["profile"] == "nothing") & (table["direction"] != "equal")]
    assert (differences["verdict"] == "holds").mean() < 0.1
    with pytest.raises(KcError, match="no profile 'tiny'; allowed are right, nothing"):
        ledger_of(SweepTables.open(sweep), "tiny")


@pytest.mark.slow
def test_the_command_prints_what_the_tables_say(sweep: Path, tmp_path: Path) -> None:
    found = json.loads(kc("claims", "--json", "--sweep", sweep, "--profile", "right").stdout)
    assert all(set(entry) >= NEEDED for entry in found)
    assert {entry["n_seeds"] for entry in found} == {3}
    assert "does not hold" in kc("claims", "--sweep", sweep).stdout
    missing = kc("claims", "--sweep", tmp_path, check=False)
    assert missing.returncode == 2
    assert missing.stderr.count("\n") == 1 and "kc sweep" in missing.stderr


@pytest.mark.slow
def test_a_changed_table_changes_the_verdict_and_an_edited_one_is_refused(
    sweep: Path, tmp_path: Path
) -> None:
    table = pd.read_parquet(sweep / "evidence.parquet")
    # Nothing is stored but what the runs measured: turn the effect round and the claim falls.
    turned = table.assign(value=np.where(table["id"] == "entropy-falls", 1.0, table["value"]))
    path = tmp_path / "evidence.parquet"
    artifacts.write_parquet(path, turned)
    record = artifacts.read_json(sweep / "sweep.json")
    artifacts.write_json(tmp_path / "sweep.json", record)
    with pytest.raises(KcError, match=r"evidence\.parquet"):
        ledger_of(SweepTables.open(tmp_path))
    record["tables"]["evidence"] = artifacts.sha256(path)
    artifacts.write_json(tmp_path / "sweep.json", record)
    before, after = (
        ledger_of(SweepTables.open(folder), "right").set_index("id").loc["entropy-falls"]
        for folder in (sweep, tmp_path)
    )
    assert (before["verdict"], after["verdict"]) == ("holds", "does not hold")


def test_the_stored_sweep_is_small_whole_and_says_where_it_comes_from() -> None:
    sweep = SweepTables.open(KEPT)
    files = [p for p in KEPT.iterdir() if p.suffix == ".parquet"]
    assert sum(p.stat().st_size for p in files) <= 5_000_000
    assert {p.stem for p in files} == set(sweep.names)
    for name in sweep.names:  # digests are checked
        assert list(sweep.table(name).columns[:2]) == ["profile", "seed"]
    assert {"profile", "seed", "git", "python"} <= set(sweep.runs)
    text = (KEPT / "sweep.json").read_text()
    assert str(Path.home()) + "/" not in text and str(ROOT) not in text
