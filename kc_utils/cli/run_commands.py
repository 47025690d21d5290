"""``kc run``, ``book``, ``status``, ``profiles``: one run, from its configuration to its book."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kc_utils import ROOT
from kc_utils.cli.given import refuse_idle, typed_without
from kc_utils.errors import in_shell

console = Console()

ProfileOption = Annotated[str, typer.Option(help="Named configuration; see 'kc profiles'.")]
RunDirOption = Annotated[
    Path | None, typer.Option("--run-dir", help="Run folder; default runs/<profile>.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a value: section.key=value; may be repeated."),
]


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
    minutes: Annotated[
        float | None,
        typer.Option(
            "--patience",
            min=0.01,
            max=1_000_000,
            help="Minutes after which a stage or notebook that hangs is given up.",
        ),
    ] = None,
) -> None:
    """Run the study: every stage, then every notebook, into the run folder.

    What is done already is kept; an interrupted run goes on where it was.
    """
    from kc_utils.book.checkout import need_checkout
    from kc_utils.config import profiles
    from kc_utils.models.folders import check_folder

    # Most mistakes are here: say so before long imports.
    settings = profiles.load(profile, overrides or [])
    if settings.model.source == "folder":
        check_folder(settings.model.path or "", name="model.path")
    if notebooks:
        need_checkout("kc run with notebooks (without them: --no-notebooks)")
    from kc_utils.runs.jobs import patience
    from kc_utils.study.pipeline import prepared, run_study, steps_to_do

    asked = (profile, overrides or [], run_dir, from_, to)
    with prepared(*asked, typed_without("--from")) as run_, patience(minutes):
        steps = steps_to_do(run_, to=to, notebooks=notebooks)
        run_study(run_, console, to=to, notebooks=notebooks)
        if not steps:  # which is known when all files have been looked at
            console.print("Everything is done already.", highlight=False)
    _print_seconds(run_)


def train(
    run_dir: Annotated[Path, typer.Argument(help="Run folder with its base model.")],
) -> None:
    """Train a run's checkpoints in all processes that 'accelerate launch' has started.

    First 'kc run --to knowledge'; afterwards 'kc run' goes on from the checkpoints.
    """
    from kc_utils.models.devices import is_first
    from kc_utils.study.launched import train_together

    result, n = train_together(run_dir)
    if is_first():
        console.print(
            f"{result.final}: step {result.checkpoints['step'].iloc[-1]}, {n} "
            f"{'process' if n == 1 else 'processes'}",
            soft_wrap=True, markup=False, highlight=False,
        )  # fmt: skip


def book(profile: ProfileOption = "tiny", run_dir: RunDirOption = None) -> None:
    """Build the Jupyter Book from the executed notebooks of a run."""
    from kc_utils.config import profiles

    if run_dir is not None:
        refuse_idle("with --run-dir", "profile")
    profiles.load(profile)
    from kc_utils.book.build import build_book
    from kc_utils.runs.folder import Run
    from kc_utils.runs.lock import locked

    target = run_dir or Path("runs") / profile
    start = f"kc run --profile {profile} --run-dir {in_shell(target)}"
    path = Run.open(target, start).path
    with locked(path):
        run_ = Run.open(path)
        started = time.perf_counter()
        with console.status("building the book"):
            index = build_book(path, ROOT)
        run_.record["other_seconds"]["book"] = round(time.perf_counter() - started, 2)
        run_.save()
    _print_seconds(run_)
    console.print(str(index), soft_wrap=True, markup=False, highlight=False)


def status(
    run_dir: Annotated[Path, typer.Argument(help="Run folder.")] = Path("runs/tiny"),
) -> None:
    """Say which stages of a run are done, what they wrote, and which of their files are gone.

    Whether a file holds what was written is checked when it is read, and by 'kc run'.
    """
    from kc_utils.runs.folder import Run
    from kc_utils.study.stages import STAGES

    run_ = Run.open(run_dir)
    table = Table(
        "stage", "notebook", "state", "seconds", "wrote", title=f"run {escape(run_.name)}"
    )
    gone = {name: files for name in run_.record["stages"] if (files := run_.gone(name))}
    for stage in STAGES:
        record = run_.record["stages"].get(stage.name)
        if stage.group == "experiment" and record is None:
            continue  # only a sweep computes them
        state = "done" if STAGES.done(run_, stage.name) else "out of date" if record else "missing"
        state = "files are gone" if state == "done" and stage.name in gone else state
        seconds = f"{record['seconds']:.1f}" if record else ""
        wrote = _shorten(record["wrote"]) if record else ""
        table.add_row(stage.name, stage.notebook, state, seconds, escape(wrote))
    console.print(table)
    for name, files in gone.items():
        more, (are, them) = "", ("is", "it")
        if len(files) > 1:
            more, (are, them) = f" and {len(files) - 1} more", ("are", "them")
        command = f"{run_.command(run_dir)} --from {name}"
        console.print(
            f"{files[0]}{more} of stage {name} {are} gone; '{command}' computes {them} again.",
            soft_wrap=True, markup=False, highlight=False,
        )  # fmt: skip
    console.print(f"profile {escape(run_.config.profile)}, seed {run_.config.seed}")


def list_profiles() -> None:
    """List the named configurations."""
    from kc_utils.config import profiles

    table = Table("profile", "what it is", "machine")
    for name, profile in profiles.PROFILES.items():
        table.add_row(name, profile.summary, profile.machine)
    console.print(table)


def _print_seconds(run_) -> None:
    table = Table("stage", "seconds", "what it wrote", title=f"run {escape(run_.name)}")
    rows = run_.seconds()
    for name, seconds in rows.items():
        record = run_.record["stages"].get(name)
        table.add_row(escape(name), f"{seconds:.1f}", escape(_wrote(name, record)))
    table.add_row("sum", f"{sum(rows.values()):.1f}", "", style="bold")
    console.print(table)


def _wrote(name: str, record: dict | None) -> str:
    if record:
        return _shorten(record["wrote"])
    if name.startswith("notebook "):
        return f"notebooks/{name.removeprefix('notebook ')}.ipynb"
    return {"book": "book/"}.get(name, "")


def _shorten(files: dict[str, str], most: int = 4) -> str:
    """The folders that were written, with the names of up to ``most`` tables."""
    tables = [f[len("tables/") : -len(".parquet")] for f in files if f.startswith("tables/")]
    folders = sorted({f.split("/")[0] + "/" for f in files} - {"tables/"})
    more = f" and {len(tables) - most} more" if len(tables) > most else ""
    named = [f"tables/ ({', '.join(tables[:most])}{more})"] if tables else []
    return ", ".join(folders + named)
