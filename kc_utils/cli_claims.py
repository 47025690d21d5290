"""``kc claims``: the ledger over the seeds of a sweep."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

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
    from kc_utils.claims.entries import entries, ledger_of
    from kc_utils.sweep.dataset import SweepTables

    table = ledger_of(SweepTables.open(sweep), profile)
    if as_json:
        typer.echo(json.dumps(entries(table), indent=1, ensure_ascii=False))
        return
    shown = Table(title="effect minus control, 95 % interval over seeds")
    for name in ("id", "profile", "difference", "from", "to", "seeds", "verdict"):
        shown.add_column(name, no_wrap=True)
    for row in table.to_dict("records"):
        style = _STYLES[row["verdict"]]
        numbers = [row[f"difference{end}"] for end in ("", "_low", "_high")]
        shown.add_row(
            row["id"], row["profile"], *(f"{n:.3g}" if n == n else "-" for n in numbers),
            str(row["n_seeds"]), f"[{style}]{row['verdict']}[/{style}]",
        )  # fmt: skip
    Console().print(shown)
