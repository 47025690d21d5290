"""``kc sweep``, ``claims``, ``reference``: many runs, their ledger, and tables for the book."""

from __future__ import annotations

import json
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from kc_utils import STORED_SWEEP
from kc_utils.cli.given import refuse_idle
from kc_utils.cli.run_commands import SetOption
from kc_utils.errors import KcError

if TYPE_CHECKING:
    import pandas as pd

console = Console()
#: How a verdict is written in a narrow table, and its colour.
_SHORT = {
    "holds": ("holds", "green"),
    "real, perhaps too small": ("real, small?", "cyan"),
    "no effect": ("no effect", "magenta"),
    "opposite": ("opposite", "red"),
    "open": ("open", "yellow"),
    "not measured": ("not measured", "dim"),
}


def sweep(
    profile: Annotated[
        str | None, typer.Option(help="Named configuration; default tiny. See 'kc profiles'.")
    ] = None,
    profiles: Annotated[str | None, typer.Option(help="More of them, as a comma list.")] = None,
    seeds: Annotated[int, typer.Option(help="Compute the seeds 0 to N-1.", metavar="N")] = 5,
    seed_list: Annotated[
        str | None, typer.Option(help="These seeds instead, as a comma list.")
    ] = None,
    overrides: SetOption = None,
    out: Annotated[
        Path, typer.Option(help="Folder of the runs: <out>/<profile>/seed-<seed>.")
    ] = Path("runs/sweep"),
    experiments: Annotated[
        bool, typer.Option(help="Compute the experiments too; they train models of their own.")
    ] = True,
    experiments_for: Annotated[
        str | None,
        typer.Option(help="Profiles to compute them for, as a comma list; default the first."),
    ] = None,
    to: Annotated[str | None, typer.Option("--to", help="Stop after this stage.")] = None,
    base_of: Annotated[
        Path | None,
        typer.Option(help="Go on from the base model of this run, instead of one for each seed."),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            help="Dask scheduler tls://host:port (or tcp://, in a network where everybody is "
            "trusted); its workers must see the same folders and have this package. Default: a "
            "cluster on this machine.",
        ),
    ] = None,
    tls_ca_file: Annotated[
        Path | None, typer.Option(help="Certificate of who signed the scheduler's, in PEM format.")
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(help="Certificate that the scheduler is shown, in PEM format.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(help="Its key, where that is not in the same file.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes on this machine; default one per GPU or core.")
    ] = None,
    compute: Annotated[
        bool, typer.Option(help="Compute what is missing, or only join what is there.")
    ] = True,
    export: Annotated[
        Path | None,
        typer.Option(help="Write the tables of all complete runs here, beside those it has."),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Write them where the book reads them.")
    ] = False,
) -> None:
    """Run the study for several seeds and profiles over Dask, and join the tables of all runs.

    What is done already is kept. A run that fails stops, the others go on.
    """
    from kc_utils.sweep import command

    if keep and export:
        raise KcError(f"--keep means --export {STORED_SWEEP}; give only one of them.")
    if seed_list is not None:
        refuse_idle("with --seed-list", "seeds")
    if not experiments:
        refuse_idle("with --no-experiments", "experiments_for")
    if not compute:
        refuse_idle("with --no-compute", "scheduler", "workers")
    if scheduler is not None:
        refuse_idle("with --scheduler", "workers")
    request = command.Request(
        profile, profiles, seeds, seed_list, overrides or [], out, experiments, experiments_for, to,
        scheduler, workers, compute, STORED_SWEEP if keep else export, base_of,
        tls_ca_file, tls_cert, tls_key,
    )  # fmt: skip
    if not command.sweep(request, console):
        raise typer.Exit(2)


def claims(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list, for programs.")] = False,
    profile: Annotated[
        str | None, typer.Option(help="Only this profile; one with shuffled answers too.")
    ] = None,
    main: Annotated[bool, typer.Option("--main", help="Only the claims that matter most.")] = False,
    sweep: Annotated[
        Path, typer.Option(help="Data set of a sweep; default: the tables stored with the book.")
    ] = STORED_SWEEP,
) -> None:
    """List every claim with effect minus control, its interval over seeds, and the verdict.

    Everything is computed from the tables of the sweep when this is called. Runs with shuffled
    answers are the control of every line, and are listed themselves only by --profile.
    """
    from kc_utils.book.evidence_words import shuffled_sentences
    from kc_utils.book.ledger_words import without_controls
    from kc_utils.runs.dataset import SweepTables
    from kc_utils.study.sweep_ledger import entries, ledger_of

    table = ledger_of(SweepTables.open(sweep), profile)
    table = table if profile else without_controls(table)
    shown = table[table["main"].astype(bool)] if main else table
    if as_json:
        typer.echo(json.dumps(entries(shown), indent=1, ensure_ascii=False))
        return
    for name, part in shown.groupby("profile", sort=False):
        console.print(_shown(str(name), part))
    if said := shuffled_sentences(table):
        console.print(said.replace("`", "").replace("**", ""))


def _shown(profile: str, ledger: pd.DataFrame) -> Table:
    """One profile's ledger, narrow enough for a terminal of 80 columns."""
    title = f"{profile}: effect minus control, 95 % interval over n seeds; * exploratory"
    shown = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("id", "diff.", "interval", "n", "verdict"):
        shown.add_column(name, no_wrap=True)
    for row in ledger.to_dict("records"):
        mean, *ends = (row[f"difference{end}"] for end in ("", "_low", "_high"))
        verdict, style = _SHORT[row["verdict"]]
        shown.add_row(
            row["id"] + "*" * bool(row["exploratory"]),
            "-" if isnan(mean) else f"{mean:.2g}",
            "-" if isnan(ends[0]) else "{:.2g} to {:.2g}".format(*ends),
            str(row["n_seeds"]), f"[{style}]{verdict}[/{style}]",
        )  # fmt: skip
    return shown


def reference(
    run_dir: Annotated[Path, typer.Argument(help="Finished run folder.")],
    out: Annotated[Path, typer.Option(help="Folder for the tables and their provenance.")],
    stage: Annotated[
        str | None, typer.Option(help="Only the tables of this stage; later ones may be missing.")
    ] = None,
    question: Annotated[
        str | None,
        typer.Option(
            help="Only the strongest edges of one person's question about this task, by token."
        ),
    ] = None,
) -> None:
    """Export the small tables of a finished run, with provenance, for a page of the book."""
    from kc_utils.book.stored_results import export_reference
    from kc_utils.runs.folder import Run

    if stage is not None and question is not None:
        raise KcError("--stage and --question exclude each other: each chooses the tables.")
    for path in export_reference(Run.open(run_dir), out, stage, question):
        console.print(str(path), soft_wrap=True, markup=False, highlight=False)
