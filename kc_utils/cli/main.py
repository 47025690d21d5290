"""The command line ``kc``."""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path
from typing import Annotated

try:
    import typer
    from rich.console import Console
    from rich.table import Table
except ImportError as error:
    print(f"kc: {error}; 'python -m kc_utils.cli.doctor' says what is missing.", file=sys.stderr)
    sys.exit(2)

from kc_utils import ROOT
from kc_utils.cli.claims import claims
from kc_utils.cli.doctor_command import doctor
from kc_utils.cli.facts import facts
from kc_utils.cli.student import student
from kc_utils.errors import KcError

app = typer.Typer(
    help="Knowledge circuits: run the study, build the book, check an implementation.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
console = Console()

ProfileOption = Annotated[str, typer.Option(help="Named configuration; see 'kc profiles'.")]
RunDirOption = Annotated[
    Path | None, typer.Option("--run-dir", help="Run folder; default runs/<profile>.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a value: section.key=value; may be repeated."),
]


@app.command()
def run(
    profile: ProfileOption = "tiny",
    overrides: SetOption = None,
    run_dir: RunDirOption = None,
    from_: Annotated[
        str | None,
        typer.Option("--from", help="Compute again from this stage on, even if it is done."),
    ] = None,
    to: Annotated[str | None, typer.Option("--to", help="Stop after this stage.")] = None,
    notebooks: Annotated[
        bool, typer.Option(help="Execute the notebooks, or compute the tables only.")
    ] = True,
) -> None:
    """Run the study: every stage, then every notebook, into the run folder.

    What is done already is kept; an interrupted run goes on where it was.
    """
    from kc_utils.config import profiles

    profiles.load(profile, overrides or [])  # most mistakes are here: say so before long imports
    from kc_utils.study.pipeline import prepare, run_study

    run_ = prepare(profile, overrides or [], run_dir, from_, to)
    run_study(run_, console, to=to, notebooks=notebooks)
    _print_seconds(run_)


@app.command()
def book(profile: ProfileOption = "tiny", run_dir: RunDirOption = None) -> None:
    """Build the Jupyter Book from the executed notebooks of a run."""
    from kc_utils.book.build import build_book
    from kc_utils.runs.folder import Run

    run_ = Run.open(run_dir or Path("runs") / profile)
    started = time.perf_counter()
    with console.status("building the book"):
        index = build_book(run_.path, ROOT)
    run_.record["other_seconds"]["book"] = round(time.perf_counter() - started, 2)
    run_.save()
    _print_seconds(run_)
    console.print(index, soft_wrap=True)


@app.command()
def status(
    run_dir: Annotated[Path, typer.Argument(help="Run folder.")] = Path("runs/tiny"),
) -> None:
    """Say which stages of a run are done, what they wrote, and what would be computed next."""
    from kc_utils.runs.folder import Run
    from kc_utils.study.stages import STAGES

    run_ = Run.open(run_dir)
    table = Table("stage", "notebook", "state", "seconds", "wrote", title=f"run {run_.name}")
    for stage in STAGES:
        record = run_.record["stages"].get(stage.name)
        if stage.group == "experiment" and record is None:
            continue  # only a sweep computes them
        state = "done" if STAGES.done(run_, stage.name) else "out of date" if record else "missing"
        seconds = f"{record['seconds']:.1f}" if record else ""
        wrote = _shorten(record["wrote"]) if record else ""
        table.add_row(stage.name, stage.notebook, state, seconds, wrote)
    console.print(table)
    console.print(f"profile {run_.config.profile}, seed {run_.config.seed}")


@app.command("profiles")
def list_profiles() -> None:
    """List the named configurations."""
    from kc_utils.config import profiles

    table = Table("profile", "what it is", "machine")
    for name, profile in profiles.PROFILES.items():
        table.add_row(name, profile.summary, profile.machine)
    console.print(table)


@app.command()
def parity(
    folder: Annotated[Path, typer.Argument(help="Folder with golden data.")],
    double: Annotated[bool, typer.Option("--double", help="Compute in float64.")] = False,
) -> None:
    """Compare scores and circuits with stored reference data; exit 0 only when all agree."""
    from kc_utils.cli.parity import check_parity

    results = check_parity(folder, double)
    for result in results:
        verdict = "ok" if result.ok else "DIFFERS"
        console.print(
            f"{result.quantity}: largest relative error {result.error:.2e}  {verdict}",
            soft_wrap=True, markup=False, highlight=False,
        )  # fmt: skip
    if not all(result.ok for result in results):
        raise typer.Exit(1)


@app.command()
def reference(
    run_dir: Annotated[Path, typer.Argument(help="Finished run folder.")],
    out: Annotated[Path, typer.Option(help="Folder for the tables and their provenance.")],
    stage: Annotated[
        str | None, typer.Option(help="Only the tables of this stage; later ones may be missing.")
    ] = None,
) -> None:
    """Export the small tables of a finished run, with provenance, for a page of the book."""
    from kc_utils.book.stored_runs import export_reference
    from kc_utils.runs.folder import Run

    for path in export_reference(Run.open(run_dir), out, stage):
        console.print(str(path), soft_wrap=True)


@app.command()
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
            help="Dask scheduler tcp://host:port; its workers must see the same folders and have "
            "this package. Default: a cluster on this machine.",
        ),
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
        raise KcError(f"--keep means --export {command.KEPT}; give only one of them.")
    request = command.Request(
        profile, profiles, seeds, seed_list, overrides or [], out, experiments, experiments_for, to,
        scheduler, workers, compute, command.KEPT if keep else export, base_of,
    )  # fmt: skip
    if not command.sweep(request, console):
        raise typer.Exit(2)


app.command()(claims)
app.command()(facts)
app.command()(student)
app.command()(doctor)


@app.command()
def bench(
    out: Annotated[Path, typer.Option(help="Folder for bench.json.")] = Path("_bench"),
    only: Annotated[
        list[str] | None,
        typer.Option(help="Measure this section only; may be repeated. Writes bench-<name>.json."),
    ] = None,
    quick: Annotated[bool, typer.Option(help="Toy shapes, to try the command out.")] = False,
    keep: Annotated[bool, typer.Option(help="Store the result as the one the book shows.")] = False,
) -> None:
    """Measure speed and memory against their floors; prints the ratios, writes bench.json."""
    if keep and (only or quick):
        raise KcError("--keep stores a whole benchmark; it goes with neither --only nor --quick.")
    from kc_utils import artifacts
    from kc_utils.cli.bench import report

    with console.status("starting") as status:
        result = report.measure(only or None, quick, progress=status.update)
    path = out / (f"bench-{'-'.join(only)}.json" if only else "bench.json")
    for target in (path, report.KEPT) if keep else (path,):
        artifacts.write_json(target, result)
    for frame in (report.table(result), report.methods_table(result)):
        if len(frame):
            _print_frame(frame, "toy shapes, numbers mean nothing" if quick else None)
    console.print(str(path), soft_wrap=True)


def _print_frame(frame, title: str | None) -> None:
    table = Table(*frame.columns, title=title)
    for row in frame.itertuples(index=False):
        table.add_row(*row)
    console.print(table)


def _print_seconds(run_) -> None:
    table = Table("stage", "seconds", "what it wrote", title=f"run {run_.name}")
    install = os.environ.get("KC_INSTALL_SECONDS")
    rows = ({"install": float(install)} if install else {}) | run_.seconds()
    for name, seconds in rows.items():
        record = run_.record["stages"].get(name)
        table.add_row(name, f"{seconds:.1f}", _wrote(name, record))
    table.add_row("sum", f"{sum(rows.values()):.1f}", "", style="bold")
    console.print(table)


def _wrote(name: str, record: dict | None) -> str:
    if record:
        return _shorten(record["wrote"])
    if name.startswith("notebook "):
        return f"notebooks/{name.removeprefix('notebook ')}.ipynb"
    return {"book": "book/", "install": ".venv/"}.get(name, "")


def _shorten(files: dict[str, str], most: int = 4) -> str:
    """The folders that were written, with the names of up to ``most`` tables."""
    tables = [f[len("tables/") : -len(".parquet")] for f in files if f.startswith("tables/")]
    folders = sorted({f.split("/")[0] + "/" for f in files} - {"tables/"})
    more = f" and {len(tables) - most} more" if len(tables) > most else ""
    named = [f"tables/ ({', '.join(tables[:most])}{more})"] if tables else []
    return ", ".join(folders + named)


def main() -> None:
    """Entry point: user mistakes end with one sentence and exit code 2."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        app()
    except KcError as error:
        print(f"kc: {error}", file=sys.stderr)
        sys.exit(2)
