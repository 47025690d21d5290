"""Made-up ledgers of single runs, and data sets of a sweep that hold them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kc_utils import artifacts
from kc_utils.study.claims.over_seeds import over_seeds
from kc_utils.study.claims.verdicts import OPEN

WORDS = {
    "profile": "tiny", "id": "a", "topic": "phases", "claim": "A", "claimed_by": "the paper",
    "paper": "B", "quantity": "c", "control": "d", "test": "e", "direction": "above",
    "notebook": "06_topology", "main": False, "exploratory": False, "margin": 0.1,
    "margin_reason": "It is made up.", "verdict": OPEN, "note": "",
}  # fmt: skip


def ledgers(values: Any, beside: Any = 0.0, /, **words: Any) -> pd.DataFrame:
    """Ledgers of runs that judge one claim, a row per seed, with effects and what stands beside.

    ``words`` replace those of the row.
    """
    values = np.asarray(values, dtype=float)
    control = np.broadcast_to(np.asarray(beside, dtype=float), values.shape)
    rows = pd.DataFrame({"seed": range(len(values)), "value": values, "control_value": control})
    return rows.assign(**(WORDS | words))


def main_ledgers(margins: float, seeds: int = 4, profile: str = "tiny") -> pd.DataFrame:
    """The main claims of the study, each with an effect of so many margins as claimed.

    Claims of equality are true where ``margins`` is small.
    """
    from kc_utils.study.ledger import CLAIMS  # slow: only where it is needed

    frames = []
    for claim in (c for c in CLAIMS if c.main):
        sign, margin = (-1 if claim.direction == "below" else 1), 0.1
        values = sign * margin * (margins + 0.01 * (np.arange(seeds) % 2))
        words = {name: getattr(claim, name) for name in WORDS if hasattr(claim, name)}
        frames.append(ledgers(values, **words, margin=margin, profile=profile))
    return pd.concat(frames, ignore_index=True)


def judged(*frames: pd.DataFrame) -> pd.DataFrame:
    """The ledger over seeds of all these rows."""
    return over_seeds(pd.concat(frames, ignore_index=True))


def write_sweep(folder: Path, **tables: pd.DataFrame) -> Path:
    """A data set with these tables, as ``kc sweep --export`` would have left it."""
    digests = {}
    for name, table in tables.items():
        path = folder / f"{name}.parquet"
        artifacts.write_parquet(path, table)
        digests[name] = artifacts.sha256(path)
    profiles: Mapping[str, Any] = {p: {} for t in tables.values() for p in t["profile"].unique()}
    record = {"profiles": dict(profiles), "runs": [], "tables": digests}
    artifacts.write_json(folder / "sweep.json", record)
    return folder
