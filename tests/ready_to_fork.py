"""``python ready_to_fork.py``: becomes a new ``kc`` for every line of its input.

It imports what commands import, once, and each command is a fork of it: a process of its own, with
the arguments, the folder, the variables and the files for its output that the line says. The answer
is a line with its exit code. See :func:`conftest.kc`.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import sys
import threading

IMPORTED = (
    "kc_utils.cli.app", "kc_utils.study.pipeline", "kc_utils.study.claims.entries",
    "kc_utils.circuits.bridge", "kc_utils.models.causal_lm", "kc_utils.benchmark.tasks",
    "kc_utils.facts.compute_study", "kc_utils.book.build", "kc_utils.book.student",
    "kc_utils.sweep.export",
    "transformers.models.gpt2.modeling_gpt2",
)  # fmt: skip


def become(command: dict) -> None:
    """Take over what the command's process has of its own."""
    for number, (path, mode) in enumerate(
        ((os.devnull, os.O_RDONLY), (command["out"], os.O_WRONLY), (command["err"], os.O_WRONLY))
    ):
        opened = os.open(path, mode)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(command["cwd"])
    os.environ.clear()
    os.environ.update(command["env"])
    sys.argv = ["kc", *command["arguments"]]


def serve() -> None:
    """Fork for every line; returns in a fork only."""
    for name in IMPORTED:
        importlib.import_module(name)
    assert threading.active_count() == 1, "a process with threads cannot be forked"
    gc.freeze()  # else a fork would copy all that it looks at when it collects
    answers = os.fdopen(os.dup(1), "w")
    while line := sys.stdin.readline():
        if not (process := os.fork()):
            answers.close()
            return become(json.loads(line))
        _, status = os.waitpid(process, 0)
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)
    sys.exit()


def last() -> None:
    """What a process does at its end, but for taking all apart that it has from before the fork."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()


if __name__ == "__main__":
    serve()
    from kc_utils.cli.main import main

    code = 1
    try:
        main()
    except SystemExit as stop:
        code = stop.code or 0
    finally:
        last()
        os._exit(code)
