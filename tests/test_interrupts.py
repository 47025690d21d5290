"""Ctrl-C at any moment of a command: one line, exit 130, soon, and nothing that libraries say."""

from __future__ import annotations

import inspect
import signal
import subprocess
import sys
from multiprocessing import resource_tracker

import pytest
from conftest import ROOT, environment

pytestmark = pytest.mark.slow

PATIENCE = 60
#: ``kc`` with other imports and another command, which say when Ctrl-C may come.
_KC = """
import atexit, functools, logging, signal, sys, threading, time, types
from kc_utils.cli import interrupts, main
from kc_utils.cli.outcome import outcome

def ready(seconds=60):
    print("ready", flush=True)
    time.sleep(seconds)

class App(types.ModuleType):
    def __getattr__(self, name):
        {imports}
        return start

def start():
    return outcome(command)

def command():
    {command}

sys.modules["kc_utils.cli.app"] = App("kc_utils.cli.app")
interrupts.end_in_order = functools.partial(interrupts.end_in_order, 0.5)
{entry}
"""
#: Everything that a library can do when it is interrupted.
_NOISY = """
    class Freed:
        def __del__(self):
            raise RuntimeError("freed")
    def work():
        raise RuntimeError("a thread")
    try:
        ready()
    finally:
        Freed()
        logging.getLogger("library").error("closed half-way")
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
"""
#: Python forgets an exception that is raised while an object is freed.
_LOST = """
    class Freed:
        def __del__(self):
            ready()
    Freed()
    time.sleep(60)
"""


def interrupted(
    command: str = "pass",
    imports: str = "pass",
    entry: str = "main.main()",
    how: signal.Handlers = signal.SIG_DFL,
    times: int = 1,
) -> tuple[int, str]:
    """Exit code and standard error of a command that Ctrl-C reaches where it says ``ready``."""
    code = _KC.format(command=command.strip(), imports=imports, entry=entry)
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, how),
    ) as process:  # fmt: skip
        assert process.stdout.readline() == "ready\n"
        for _ in range(times):
            process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE)
    return process.returncode, said


@pytest.mark.parametrize(
    "moment", [{"imports": "ready()"}, {"command": "ready()"}, {"command": _NOISY}],
    ids=["imports", "command", "noisy command"],
)  # fmt: skip
@pytest.mark.parametrize("times", [1, 3])
def test_an_interrupt_is_one_line(moment: dict, times: int) -> None:
    assert interrupted(**moment, times=times) == (130, "kc: interrupted.\n")


def test_libraries_would_say_more() -> None:
    _, said = interrupted(_NOISY, entry="start()")
    assert said.count("Traceback") >= 2 and "closed half-way" in said and "freed" in said


def test_an_interrupt_that_python_loses_ends_the_command_too() -> None:
    assert interrupted(_LOST) == (130, "kc: interrupted.\n")


def test_an_end_that_hangs_is_cut_short() -> None:
    slow = "try:\n        ready()\n    finally:\n        time.sleep(60)"
    assert interrupted(slow) == (130, "kc: interrupted.\n")


def test_after_its_end_a_command_has_its_own_code() -> None:
    assert interrupted("atexit.register(ready, 0.3); raise SystemExit(1)") == (1, "")


def test_a_job_in_the_background_ignores_it_as_before() -> None:
    assert interrupted("ready(0.3)", how=signal.SIG_IGN) == (0, "")


FIRST_PROCESS = """
import multiprocessing, signal
from kc_utils.runs import jobs

def tell(end):
    end.send(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, set()))

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    with jobs.interrupt_held():
        context.Process(target=tell, args=(there,)).start()
    print(here.recv())
"""


@pytest.mark.parametrize("tracked", [True, False])
def test_the_first_process_does_not_hear_ctrl_c_either(tmp_path, tracked) -> None:
    """Python's resource tracker starts with the first process, and lets Ctrl-C through again."""
    if not tracked and "SIG_UNBLOCK" not in inspect.getsource(resource_tracker):
        pytest.skip("this Python's tracker leaves the mask as it was")
    script = FIRST_PROCESS
    if not tracked:  # the control: as if nobody had thought of it
        script = script.replace(
            "    with", "    jobs.resource_tracker.ensure_running = int\n    with"
        )
    (tmp_path / "first.py").write_text(script)
    said = subprocess.run([sys.executable, tmp_path / "first.py"], capture_output=True, text=True)
    assert said.stdout.strip() == str(tracked), said.stderr
