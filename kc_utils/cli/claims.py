"""``kc claims``: the ledger over the seeds of a sweep."""

from __future__ import annotations

import json
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    import pandas as pd

REFERENCE = Path("book/reference/sweep")
_STYLES = {"holds": "green", "does not hold": "red", "undecided": "yellow"}


def claims(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list, for programs.")] = False,
    profile: Annotated[str | None, typer.Option(help="Only this profile.")] = None,
    sweep: Annotated[
        Path, typer.Option(help="Data set of a sweep; default: the tables stored with the book.")
    ] = REFERENCE,
) -> None:
    """List every claim with effect, control, interval over seeds and verdict.

    Everything is computed from the tables of the sweep when this is called.
    """
    from kc_utils.runs.dataset import SweepTables
    from kc_utils.study.claims.entries import entries, ledger_of

    table = ledger_of(SweepTables.open(sweep), profile)
    if as_json:
        typer.echo(json.dumps(entries(table), indent=1, ensure_ascii=False))
        return
    for name, part in table.groupby("profile", sort=False):
        Console().print(_shown(str(name), part))


def _shown(profile: str, ledger: pd.DataFrame) -> Table:
    """One profile's ledger, narrow enough for a terminal of 80 columns."""
    title = f"{profile}: effect minus control, 95 % interval over seeds"
    shown = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("id", "difference", "from", "to", "seeds", "verdict"):
        shown.add_column(name, no_wrap=True)
    for row in ledger.to_dict("records"):
        numbers = [row[f"difference{end}"] for end in ("", "_low", "_high")]
        style = _STYLES[row["verdict"]]
        shown.add_row(
            row["id"], *("-" if isnan(n) else f"{n:.3g}" for n in numbers),
            str(row["n_seeds"]), f"[{style}]{row['verdict']}[/{style}]",
        )  # fmt: skip
    return shown
