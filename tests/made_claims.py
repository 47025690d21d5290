"""Claims and training runs made up by hand, for tests of the rule and of the ledger."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd

from kc_utils import ROOT, STORED_SWEEP, artifacts
from kc_utils.study.claims.claim import Claim
from kc_utils.study.claims.tables import RunTables


def claim(name: str = "a", **changes: object) -> Claim:
    words = {
        "id": name, "claim": "Something is so", "topic": "phases", "notebook": "06_topology",
        "primary": True, "paper": "so", "quantity": "a", "unit": "%", "measure": "sooner",
        "control": "control", "gate": "none", "direction": "above", "margin": 1.0,
        "reason": "It is made up.",
    }  # fmt: skip
    return Claim.model_validate(words | changes)


def run(null: RunTables | None = None, **tables: pd.DataFrame) -> RunTables:
    return RunTables("made", 0, tables.get, null)


def copy_of_sweep(folder: Path, name: str, change) -> Path:
    """The stored sweep with one table changed by ``change``, and its digest with it.

    Tables that are not changed are links to the stored ones."""
    stored = ROOT / STORED_SWEEP
    for file in stored.iterdir():
        (folder / file.name).symlink_to(file)
    for file in (folder / f"{name}.parquet", folder / "sweep.json"):
        file.unlink()
        shutil.copy(stored / file.name, file)
    path = folder / f"{name}.parquet"
    change(pd.read_parquet(path)).to_parquet(path)
    record = json.loads((folder / "sweep.json").read_text())
    record["tables"][name] = artifacts.sha256(path)
    (folder / "sweep.json").write_text(json.dumps(record))
    return folder
