"""Shared fixtures: one finished smoke run and its book, made once through the command line."""

from __future__ import annotations

import functools
import http.server
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import shape_checks

shape_checks.install()

import hypothesis  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
from fake_clock import Clock  # noqa: E402
from filelock import FileLock  # noqa: E402

if TYPE_CHECKING:
    from bs4 import BeautifulSoup
    from playwright.sync_api import Browser

    from kc_utils.explorer.app import App
    from kc_utils.explorer.state import State

torch.set_num_threads(1)
# Test workers fill the cores: jobs of a run are done in its own process. Without this, each of
# fifty runs starts processes that import PyTorch. Tests of processes give themselves two cores.
os.environ["PYTHON_CPU_COUNT"] = "1"
# The same examples everywhere: a failure on one machine can be repeated on any other.
hypothesis.settings.register_profile("kc", derandomize=True, deadline=None)
hypothesis.settings.load_profile("kc")

ROOT = Path(__file__).resolve().parent.parent


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need the smoke run are marked. One file of them comes first, the others last.

    So one worker makes the run while the other has something to do. Of those at the end, files with
    slow tests come first: no worker waits long for the last file of another.
    """
    for item in items:
        if "smoke_run" in getattr(item, "fixturenames", ()):
            item.add_marker("run")
    needing = [i.path for i in items if i.get_closest_marker("run")]
    if needing:
        largest = max(needing, key=needing.count)
        slow = {i.path for i in items if i.get_closest_marker("slow")}

        def place(item: pytest.Item) -> int:
            if item.path == largest or item.path not in needing:
                return 0 if item.path == largest else 1
            return 2 if item.path in slow else 3

        items.sort(key=place)


def environment() -> dict[str, str]:
    """Offline, and one thread a process: test workers fill the cores already."""
    return os.environ | {
        "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "200", "NO_COLOR": "1",
    }  # fmt: skip


@functools.cache
def ready() -> subprocess.Popen:
    """A process that becomes ``kc`` without importing PyTorch again; it ends with this one."""
    program = Path(__file__).with_name("ready_to_fork.py")
    return subprocess.Popen(
        [sys.executable, str(program)], cwd=ROOT, env=environment(), bufsize=0,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip


class Forked:
    """A command under way, as a process of its own that :func:`ready` forked; one at a time.

    ``session``: it leads a group of processes, which can be signalled together.
    """

    def __init__(
        self, program: str, *arguments: str | Path, cwd: Path = ROOT,
        env: dict[str, str] | None = None, session: bool = False,
    ) -> None:  # fmt: skip
        self.args, self.returncode = arguments, None
        self._folder = tempfile.TemporaryDirectory()
        self._files = [Path(self._folder.name, name) for name in ("out", "err")]
        for path in self._files:
            path.touch()
        command = {
            "program": program, "arguments": [*map(str, arguments)], "cwd": str(cwd),
            "env": environment() if env is None else env, "session": session,
            "out": str(self._files[0]), "err": str(self._files[1]),
        }  # fmt: skip
        ready().stdin.write(f"{json.dumps(command)}\n".encode())
        self.pid = int(ready().stdout.readline())

    def poll(self, timeout: float | None = 0) -> int | None:
        """Its exit code, or None if it has not ended after ``timeout`` seconds (None: wait)."""
        if self.returncode is None and select.select([ready().stdout], [], [], timeout)[0]:
            self.returncode = int(ready().stdout.readline())
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Output and errors, at its end."""
        if self.poll(timeout) is None:
            raise TimeoutError(f"{self.args} has not ended after {timeout} seconds")
        found = tuple(path.read_text() for path in self._files)
        self._folder.cleanup()
        return found


def kc(*arguments: str | Path, check: bool = True, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    """Run the command line in a process of its own; the output is captured as text."""
    return ended(_done("kc", *arguments, cwd=cwd), check)


def python(
    *arguments: str | Path, cwd: Path = ROOT, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess:
    """Python with a script, ``-m`` or ``-c``, in a process of its own that has the library."""
    return _done("python", *arguments, cwd=cwd, env=env)


def _done(program: str, *arguments: str | Path, **more: Any) -> subprocess.CompletedProcess:
    command = Forked(program, *arguments, **more)
    out, err = command.communicate()
    return subprocess.CompletedProcess(arguments, command.returncode, out, err)


def installed_kc(*arguments: str | Path) -> subprocess.CompletedProcess:
    """Run the command line as a user does, by the program that is installed."""
    command = [str(Path(sys.executable).with_name("kc")), *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment())
    return ended(done, check=True)


def ended(done: subprocess.CompletedProcess, check: bool) -> subprocess.CompletedProcess:
    """The same, unless it should have succeeded and did not."""
    if check and done.returncode:
        raise AssertionError(f"kc {done.args} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return done


@pytest.fixture(scope="session")
def shared_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all test workers of this session share."""
    workers = "PYTEST_XDIST_WORKER" in os.environ
    base = tmp_path_factory.getbasetemp()
    path = (base.parent if workers else base) / "runs"
    path.mkdir(exist_ok=True)
    return path


@pytest.fixture(scope="session")
def smoke_run(shared_runs: Path) -> Path:
    """Folder of a finished run of profile smoke, notebooks executed. Do not change it."""
    if finished := os.environ.get("KC_SMOKE_RUN"):  # while working on one test
        return Path(finished)
    path = shared_runs / "smoke"
    with FileLock(shared_runs / "smoke.lock"):
        if not (shared_runs / "smoke.done").exists():
            installed_kc("run", "--profile", "smoke", "--run-dir", path)
            (shared_runs / "smoke.done").touch()
    return path


@pytest.fixture
def own_run(smoke_run: Path, tmp_path: Path) -> Path:
    """A copy of the finished smoke run that a test may change."""
    path = tmp_path / "own"
    # Other workers rewrite figures and the book of the shared run at the same time.
    ignore = shutil.ignore_patterns("book", "figures", "*.partial", ".*")
    shutil.copytree(smoke_run, path, ignore=ignore)
    return path


@pytest.fixture(scope="session")
def built_book(smoke_run: Path, shared_runs: Path) -> Path:
    """The HTML folder of the book of the smoke run."""
    with FileLock(shared_runs / "book.lock"):
        if not (shared_runs / "book.done").exists():
            installed_kc("book", "--run-dir", smoke_run)
            (shared_runs / "book.done").touch()
    return smoke_run / "book" / "_build" / "html"


@pytest.fixture(scope="session")
def pages(built_book: Path) -> dict[str, BeautifulSoup]:
    """Every page of the book, parsed: path below the book -> HTML."""
    from bs4 import BeautifulSoup

    from kc_utils.book.whole_book import NAME

    found = sorted(built_book.rglob("*.html"))
    names = [path.relative_to(built_book).as_posix() for path in found]
    apart = ("_", NAME)  # the whole book in one file has its own tests
    pairs = ((n, p) for n, p in zip(names, found, strict=True) if not n.startswith(apart))
    return {name: BeautifulSoup(path.read_text("utf-8"), "html.parser") for name, path in pairs}


@pytest.fixture(scope="session")
def address(built_book: Path) -> Iterator[str]:
    """The book behind a local web server."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            """Say nothing."""

    handler = functools.partial(Quiet, directory=str(built_book))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs go to two processes, here and in commands that the test starts."""
    monkeypatch.setenv("PYTHON_CPU_COUNT", "2")


@pytest.fixture
def drawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The explorer draws a change at once, as it does where no event loop runs.

    Playwright leaves a loop running in a worker; then a drawing waits for it.
    """
    from kc_utils.explorer.app import Throttle

    monkeypatch.setattr(Throttle, "__call__", Throttle.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that ratios of running times are measured by."""
    from benchmarks import timing

    clock = Clock()
    monkeypatch.setattr(timing, "time", clock)
    return clock


@pytest.fixture
def state(smoke_run: Path) -> State:
    """What the explorer shows of the smoke run."""
    from kc_utils.explorer.state import State

    return State(smoke_run, root=smoke_run.parent)


@pytest.fixture
def app(state: State) -> App:
    """The explorer over the smoke run."""
    from kc_utils.explorer.app import App

    return App(state)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium, one for all tests of a worker: Playwright runs only once in a thread."""
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking",
             "--disable-component-update", "--disable-sync"]  # fmt: skip
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=flags)
        yield chromium
        chromium.close()
