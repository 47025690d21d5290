"""The command line ``kc``: its commands in the order of their help, and how one is called."""

from __future__ import annotations

import io
import logging
import os
import sys

try:
    import typer

    from kc_utils.cli.benchmark import benchmark
    from kc_utils.cli.draw import draw
    from kc_utils.cli.given import Command
    from kc_utils.cli.model_commands import base, facts, parity
    from kc_utils.cli.outcome import outcome
    from kc_utils.cli.run_commands import book, list_profiles, run, status, train
    from kc_utils.cli.sweep_commands import claims, reference, sweep
    from kc_utils.cli.usage import Group
    from kc_utils.cli.workshop_commands import doctor, slides, student
    from kc_utils.cli.world_commands import import_world
except ImportError as error:
    print(f"kc: {error}; 'python -m kc_utils.cli.doctor' says what is missing.", file=sys.stderr)
    sys.exit(2)

app = typer.Typer(
    cls=Group,
    help="Knowledge circuits: run the study, build the book, check an implementation.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for command in (run, train, book, status):
    app.command(cls=Command)(command)
app.command("profiles", cls=Command)(list_profiles)
for command in (
    parity, draw, benchmark, reference, sweep, claims, facts, base, import_world, student, slides,
    doctor,
):  # fmt: skip
    app.command(cls=Command)(command)


def start() -> int:
    """Call the command of ``sys.argv``; its exit code, after at most one sentence."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    # A process of Python's own removes what a stopped command has left, and would report that.
    ignored = [os.environ.get("PYTHONWARNINGS"), "ignore:resource_tracker"]
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, ignored))
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files need not be text
        sys.stdout.reconfigure(errors="backslashreplace")
    return outcome(app)
