"""``python -m tests.benchmarks``: measure, print the ratios, write ``bench.json``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from kc_utils import artifacts
from kc_utils.book import stored_results
from kc_utils.errors import KcError

from . import keeping, on_device, report

console = Console()
TABLES = (
    stored_results.benchmark_table,
    stored_results.methods_table,
    stored_results.families_table,
    stored_results.scaling_table,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the options and measure."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("_bench"), help="folder for bench.json")
    parser.add_argument(
        "--only", action="append", metavar="NAME",
        help="measure this section only; may be repeated; writes bench-<name>.json",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="toy shapes, to try it out")
    parser.add_argument(
        "--device", default="cpu",
        help="where models are timed: cpu (default) or cuda; writes bench-cuda.json",
    )  # fmt: skip
    parser.add_argument(
        "--keep", action="store_true",
        help="store the result as the one that the book shows; with --only, in place of these "
        "sections of a benchmark of the same processor and versions",
    )  # fmt: skip
    chosen = parser.parse_args(arguments)
    device = on_device.chosen(chosen.device)
    if chosen.keep and (chosen.quick or device.type != "cpu"):
        raise KcError("--keep stores what was measured on the CPU, and goes without --quick.")
    kept_at, kept = stored_results.BENCHMARK, None
    if chosen.keep and chosen.only:  # refused before minutes are spent
        kept = keeping.to_add_to(kept_at, report.machine(device))
    with console.status("starting") as status:
        result = report.measure(chosen.only, chosen.quick, progress=status.update, device=device)
    on = [] if device.type == "cpu" else [device.type]
    path = chosen.out / f"{'-'.join(['bench', *on, *(chosen.only or [])])}.json"
    artifacts.write_json(path, result)
    if chosen.keep:
        artifacts.write_json(kept_at, keeping.merged(kept, result) if kept else result)
    for table in TABLES:
        if len(frame := table(result)):
            show(frame, "toy shapes, numbers mean nothing" if chosen.quick else None)
    console.print(str(path), soft_wrap=True)


def show(frame: pd.DataFrame, title: str | None) -> None:
    """Print a table; numbers with three digits."""
    shown = Table(*frame.columns, title=title)
    for row in frame.itertuples(index=False):
        shown.add_row(*(f"{x:.3g}" if isinstance(x, float) else str(x) for x in row))
    console.print(shown)


if __name__ == "__main__":
    try:
        main()
    except KcError as error:
        sys.exit(f"benchmarks: {error}")
