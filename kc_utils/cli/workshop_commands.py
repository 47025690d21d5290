"""``kc student``, ``kc slides``, ``kc doctor``: exercises and slides, and machines for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kc_utils.errors import KcError

if TYPE_CHECKING:
    from kc_utils.cli.doctor.examine import Report

_STYLES = {"ok": "green", "warning": "yellow", "missing": "red"}


def student(
    out: Annotated[Path, typer.Option(help="Folder to write; new, empty, or an untouched one.")],
    run_dir: Annotated[
        Path | None,
        typer.Option(
            help="Copy what is needed of this finished run, so that participants compute nothing."
        ),
    ] = None,
    all_checkpoints: Annotated[
        bool,
        typer.Option(
            "--all-checkpoints",
            help="Copy every checkpoint: exercises and chapters need the first and the last only.",
        ),
    ] = False,
) -> None:
    """Write the exercises without solutions, and a run to do them on, into one folder.

    Solutions become NotImplementedError; nothing else differs. A folder that somebody has worked in
    is never overwritten.
    """
    from kc_utils.book.student import write_student

    if all_checkpoints and run_dir is None:
        raise KcError("--all-checkpoints has no effect without --run-dir; leave it out.")
    made = write_student(out, run_dir, all_checkpoints=all_checkpoints)
    size = f", run of {made.run_mib:.1f} MiB" if run_dir else ""
    typer.echo(f"{made.path}: {len(made.exercises)} exercises{size}")


def slides(
    run_dir: Annotated[
        Path, typer.Option("--run-dir", help="Finished run whose figures are shown.")
    ] = Path("runs/tiny"),
    out: Annotated[
        Path | None, typer.Option(help="HTML file to write; default slides.html in the run folder.")
    ] = None,
) -> None:
    """Write the slides of the workshop's demonstrations: one HTML file that needs no network."""
    from kc_utils.book.slides import write_slides

    typer.echo(write_slides(run_dir, out))


def doctor(
    run_dir: Annotated[
        Path, typer.Option("--run-dir", help="Finished run that participants start from.")
    ] = Path("runs/tiny"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
) -> None:
    """Say what a workshop lacks, with the command that repairs it.

    Exit code 0 if a workshop can be held, 1 if something is missing.
    """
    from kc_utils.cli.doctor.examine import examine

    console = Console(stderr=as_json)
    with console.status("starting") as status:
        report = examine(run_dir, status.update)
    if as_json:
        typer.echo(json.dumps(report.record(), indent=1, ensure_ascii=False))
    else:
        _print(report, console)
    raise typer.Exit(0 if report.ok else 1)


def _print(report: Report, console: Console) -> None:
    table = Table("check", "state", "found", title="this machine", box=SIMPLE_HEAD)
    for finding in report.findings:
        style = _STYLES[finding.state]
        state = f"[{style}]{finding.state}[/{style}]"
        table.add_row(escape(finding.name), state, escape(finding.found))
    console.print(table)
    repairs = [f"  {f.name}: {f.repair}" for f in report.findings if f.repair]
    for line in ["to repair:", *repairs] if repairs else ():
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    verdict = "A workshop can be held here." if report.ok else "Something is missing."
    console.print(verdict)
