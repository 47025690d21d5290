"""``python ready_to_fork.py``: becomes a new ``kc`` or ``python`` for every line of its input.

It imports what commands import, once, and each command is a fork of it: a process of its own, with
the arguments, the folder, the variables and the files for its output that the line says. The
answers are a line with its process id and one with its exit code. See :class:`conftest.Forked`.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import signal
import sys
import threading
import traceback

IMPORTED = (
    "kc_utils.cli.app", "kc_utils.study.pipeline", "kc_utils.study.claims.ledger",
    "kc_utils.circuits.bridge", "kc_utils.models.causal_lm", "kc_utils.benchmark.tasks",
    "kc_utils.facts.compute_study", "kc_utils.book.build", "kc_utils.book.student",
    "kc_utils.sweep.export",
    "transformers.models.gpt2.modeling_gpt2",
)  # fmt: skip


def become(command: dict) -> None:
    """Take over what the command's process has of its own."""
    if command["session"]:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, (path, mode) in enumerate(
        ((os.devnull, os.O_RDONLY), (command["out"], os.O_WRONLY), (command["err"], os.O_WRONLY))
    ):
        opened = os.open(path, mode)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(command["cwd"])
    os.environ.clear()
    os.environ.update(command["env"])
    sys.argv = [command["program"], *command["arguments"]]
    if "KC_TEST_PAUSE_AT" in os.environ:  # a new interpreter would find it by itself
        importlib.import_module("pausing.sitecustomize")


def run() -> None:
    """The program that ``sys.argv`` names: ``kc``, or ``python`` with -m, -c or a script."""
    if sys.argv[0] == "kc":
        return importlib.import_module("kc_utils.cli.main").main()
    sys.argv.pop(0)
    sys.path[:0] = [os.getcwd(), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    if sys.argv[0] == "-m":
        runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
    elif sys.argv[0] == "-c":
        exec(compile(sys.argv.pop(1), "<string>", "exec"), {"__name__": "__main__"})
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")


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
        print(process, file=answers, flush=True)
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
    code = 1
    try:
        run()
        code = 0
    except SystemExit as stop:
        code = stop.code or 0
        if isinstance(code, str):
            print(code, file=sys.stderr)
            code = 1
    except BaseException:
        traceback.print_exc()
    finally:
        last()
        os._exit(code)
