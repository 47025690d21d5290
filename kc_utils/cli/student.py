"""``kc student``: the exercises without their solutions, in a folder to hand out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


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

    made = write_student(out, run_dir, all_checkpoints=all_checkpoints)
    size = f", run of {made.run_mib:.1f} MiB" if run_dir else ""
    typer.echo(f"{made.path}: {len(made.exercises)} exercises{size}")
