"""``kc sweep``, ``claims``, ``reference``: many runs, their ledger, and tables for the book."""

from __future__ import annotations

import json
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
#: The colour of each verdict.
_STYLES = {
    "beyond the margin": "green", "real, size undecided": "cyan", "real and negligible": "magenta",
    "equivalent": "magenta", "open": "yellow", "not measured": "dim",
}  # fmt: skip
_SIGNS = {"as claimed": " +", "opposite": " -", "none": ""}


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
    profile: Annotated[str | None, typer.Option(help="Only this profile.")] = None,
    main: Annotated[bool, typer.Option("--main", help="Only the primary claims.")] = False,
    sweep: Annotated[
        Path, typer.Option(help="Data set of a sweep; default: the tables stored with the book.")
    ] = STORED_SWEEP,
) -> None:
    """Judge every claim over the training runs of a sweep: effect, 95 % interval, verdict.

    Computed from the stored tables when this is called. A sign behind a verdict: + as claimed, -
    opposite. Claims with * are primary; those are corrected for their number (Holm).
    """
    from kc_utils.runs.dataset import SweepTables
    from kc_utils.study.claims.ledger import entries, ledger

    table = ledger(SweepTables.open(sweep), profile)
    shown = table[table["primary"]] if main else table
    if as_json:
        typer.echo(json.dumps(entries(shown), indent=1, ensure_ascii=False))
        return
    for name, part in shown.groupby("profile", sort=False):
        console.print(_shown(str(name), part))


def _shown(profile: str, ledger: pd.DataFrame) -> Table:
    """One profile's ledger, narrow enough for a terminal of 80 columns."""
    title = f"{profile}: effect with its control subtracted, 95 % interval over n training runs"
    shown = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("id", "effect", "interval", "n", "verdict"):
        shown.add_column(name, no_wrap=True)
    for row in ledger.to_dict("records"):
        style = _STYLES[row["verdict"]]
        measured = row["verdict"] != "not measured"
        shown.add_row(
            row["id"] + "*" * row["primary"],
            f"{row['effect']:.3g}" if measured else "-",
            f"{row['low']:.3g} to {row['high']:.3g}" if measured else "-",
            str(row["n_seeds"]),
            f"[{style}]{row['verdict']}{_SIGNS[row['direction']]}[/{style}]",
        )
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
    tables: Annotated[
        list[str] | None, typer.Option("--table", help="Only this table; may be repeated.")
    ] = None,
) -> None:
    """Export the small tables of a finished run, with provenance, for a page of the book."""
    from kc_utils.book.stored_results import export_reference
    from kc_utils.runs.folder import Run

    if sum(choice not in (None, []) for choice in (stage, question, tables)) > 1:
        raise KcError("--stage, --question and --table exclude each other: each chooses tables.")
    for path in export_reference(Run.open(run_dir), out, stage, question, tables or ()):
        console.print(str(path), soft_wrap=True, markup=False, highlight=False)
