"""The tables of ``kc benchmark`` on a model that nobody wired, stored with the book."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from kc_utils import artifacts
from kc_utils.runs.exports import StoredTables, check_place, write_tables
from kc_utils.runs.replaced import replace_folder

TABLES = ("curves", "areas", "pairs", "polish")  # and "draws": the areas of each draw of pairs


class BenchmarkTables(StoredTables):
    """A stored benchmark: ``table(name)`` of ``TABLES``, ``record`` says what it was made with."""

    RECORD = "benchmark.json"
    NEEDED = frozenset({"model", "settings"})
    WHAT = "benchmark"
    MADE_BY = "kc benchmark --model DIR --task ioi --out {folder}"


def check_target(out: Path) -> None:
    """KcError unless a benchmark can be stored in ``out``; asked before anything is computed."""
    check_place(out)
    check_place(out.absolute().parent)  # an earlier one is replaced by a folder beside it
    BenchmarkTables.refuse_other(out)


def store_benchmark(
    out: Path, tables: Mapping[str, pd.DataFrame], record: Mapping[str, Any]
) -> None:
    """Write tables and record into ``out``, all or nothing; an earlier benchmark is replaced.

    KcError if the folder holds something else, or the tables are larger than 5 MB together.
    """
    check_target(out)

    def fill(folder: Path) -> None:
        digests = write_tables(folder, tables, "the benchmark")
        artifacts.write_json(folder / BenchmarkTables.RECORD, {**record, "tables": digests})

    replace_folder(out, fill)
