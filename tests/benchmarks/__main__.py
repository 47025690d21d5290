"""``python -m tests.benchmarks``: measure, print the ratios, write ``bench.json``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from kc_utils import artifacts
from kc_utils.book import stored_results
from kc_utils.errors import KcError

from . import report

console = Console()


def main() -> None:
    """Parse the options and measure."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("_bench"), help="folder for bench.json")
    parser.add_argument(
        "--only", action="append", metavar="NAME",
        help="measure this section only; may be repeated; writes bench-<name>.json",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="toy shapes, to try it out")
    parser.add_argument(
        "--keep", action="store_true", help="store the result as the one that the book shows"
    )
    chosen = parser.parse_args()
    if chosen.keep and (chosen.only or chosen.quick):
        raise KcError("--keep stores a whole benchmark; it goes with neither --only nor --quick.")
    with console.status("starting") as status:
        result = report.measure(chosen.only, chosen.quick, progress=status.update)
    name = f"bench-{'-'.join(chosen.only)}.json" if chosen.only else "bench.json"
    path = chosen.out / name
    for target in (path, stored_results.BENCHMARK) if chosen.keep else (path,):
        artifacts.write_json(target, result)
    for frame in (stored_results.benchmark_table(result), stored_results.methods_table(result)):
        if len(frame):
            show(frame, "toy shapes, numbers mean nothing" if chosen.quick else None)
    console.print(str(path), soft_wrap=True)


def show(frame: pd.DataFrame, title: str | None) -> None:
    """Print a table of texts."""
    shown = Table(*frame.columns, title=title)
    for row in frame.itertuples(index=False):
        shown.add_row(*row)
    console.print(shown)


if __name__ == "__main__":
    try:
        main()
    except KcError as error:
        sys.exit(f"benchmarks: {error}")
