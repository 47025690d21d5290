"""The tables of many runs as one data set: a parquet file per table, and where it comes from.

A data set is a folder with ``<table>.parquet`` and ``sweep.json``. Every table begins with the
columns ``profile`` and ``seed``; then come the columns of the run's own table. Rows are ordered by
profile (as ``kc profiles`` lists them), seed, and then as in the run, so that the same runs give
the same bytes.

``sweep.json`` names every run with its configuration, git commit, versions, machine and seconds,
and holds a digest of every table, so that a table that was edited afterwards is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from kc_utils import artifacts
from kc_utils.config.profiles import PROFILES
from kc_utils.errors import KcError, shown
from kc_utils.runs.exports import StoredTables

SWEEP_TABLES = (
    "accuracy", "query_accuracy", "hits", "model_hits", "faithfulness",
    "sizes", "transfer", "aligned", "topology", "centre_of_mass",
    "activation_ratio", "role_shares", "forgetting", "control_curves", "control_shift",
    "noise_floor", "unseen", "capacity", "frequency_curve", "relevance", "relevance_people",
    "relevance_known", "exposure",
    "strategies", "strategies_summary", "checkpoints", "graph", "prior_knowledge", "circuit_size",
    "accuracy_read", "query_curve", "time_to_knowledge", "shift", "regime", "ways",
    "role_shares_published", "transfer_curve", "real_controls",
)  # fmt: skip
PROVENANCE = "sweep.json"
SHUFFLED = "-shuffled"
"""End of the name of a profile whose answers are shuffled among people in every epoch."""
KEYS = ("profile", "seed")


@dataclass(frozen=True)
class SweepTables(StoredTables):
    """A data set that was written before: ``table(name)`` reads, ``runs`` says of which runs."""

    RECORD = PROVENANCE
    NEEDED = frozenset({"profiles", "runs"})
    WHAT = "tables of a sweep"
    MADE_BY = "kc sweep --export {folder}"

    @property
    def runs(self) -> pd.DataFrame:
        """One row per run: profile, seed, overrides, git, python, machine, device, seconds."""
        profiles = self.record["profiles"]
        rows = [
            {key: run[key] for key in KEYS}
            | {"overrides": " ".join(profiles[run["profile"]]["overrides"])}
            | {"git": run["git"], "python": run["versions"]["python"]}
            | {key: run[key] for key in ("machine", "device")}
            | {"seconds": round(sum(run["seconds"].values()), 2)}
            for run in self.record["runs"]
        ]
        return pd.DataFrame(rows)

    def require_profile(self, profile: str, *tables: str) -> None:
        """KcError unless some run of the data set has this profile, and some row of each table."""
        check_profile(profile, self.record["profiles"])
        for name in tables:
            check_profile(profile, self.table(name)["profile"], f"table {name} of the sweep")

    def table(self, name: str) -> pd.DataFrame:
        """A table of all runs that have it: profile, seed, then the run table's own columns.

        Raises:
            KcError: if no run has it, or the file is missing or was changed since.
        """
        frame = super().table(name)
        single = frame.select_dtypes("float32").columns
        return frame.astype(dict.fromkeys(single, "float64"))


def in_order(name: tuple[str, int]) -> tuple[int, str, int]:
    """Where a run (profile, seed) stands: profiles as ``kc profiles`` lists them, then by seed."""
    profile, seed = name
    places = list(PROFILES)
    return places.index(profile) if profile in places else len(places), profile, seed


def check_profile(profile: str, known: Iterable[str], where: str = "sweep") -> None:
    """KcError unless ``profile`` is one of ``known``, those that are ``where``."""
    known = list(dict.fromkeys(known))
    if profile not in known:
        allowed = ", ".join(known)
        raise KcError(f"The {where} has no profile {shown(profile)}; allowed are {allowed}.")


def real_runs(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of runs in which there is something to learn."""
    return table[~table["profile"].str.endswith(SHUFFLED)].reset_index(drop=True)


def join(tables: Mapping[tuple[str, int], pd.DataFrame]) -> pd.DataFrame:
    """The same table of several runs below one another, by profile and seed."""
    frames = []
    for (profile, seed), frame in sorted(tables.items(), key=lambda item: in_order(item[0])):
        own = frame.drop(columns=[key for key in KEYS if key in frame])
        own.insert(0, "profile", profile)
        own.insert(1, "seed", seed)
        frames.append(own)
    return pd.concat(frames, ignore_index=True)


def write_table(path: Path, frame: pd.DataFrame) -> None:
    """Store a table small: real numbers in single precision where that keeps six digits."""
    table = pa.Table.from_pandas(compact(frame), preserve_index=False)
    artifacts.write_atomically(
        path, lambda p: pq.write_table(table, p, compression="zstd", compression_level=19)
    )


def compact(frame: pd.DataFrame) -> pd.DataFrame:
    """float64 as float32, except columns with values that single precision cannot hold."""
    double = frame.select_dtypes("float64").columns
    return frame.astype({name: "float32" for name in double if _fits(frame[name].to_numpy())})


def _fits(values: np.ndarray) -> bool:
    with np.errstate(over="ignore", under="ignore"):
        single = values.astype(np.float32).astype(np.float64)
    return bool(np.allclose(single, values, rtol=1e-6, atol=0.0, equal_nan=True))
