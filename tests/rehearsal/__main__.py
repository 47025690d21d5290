"""A student folder in JupyterLab and Chromium, every exercise in it, and a teacher's commands.

    python -m tests.rehearsal [--run-dir runs/tiny] [--only e3_patching --only teacher] [--add]

Each exercise must refuse an empty answer in one sentence and accept its solution. Seconds are
stored as JSON, and the page for teachers shows them. It takes minutes and is not part of
``make test``.
"""

from __future__ import annotations

import argparse
import functools
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from playwright.sync_api import Browser, Error, sync_playwright

from kc_utils import ROOT, artifacts
from kc_utils.book.exercises import exercise_notebooks
from kc_utils.book.slides import write_slides
from kc_utils.book.student import write_student
from kc_utils.book.workshop_table import REPORT
from kc_utils.errors import KcError
from kc_utils.runs import machine
from kc_utils.runs.folder import Run
from kc_utils.runs.record import commit

sys.path.append(str(Path(__file__).resolve().parents[1]))  # what it shares with the tests
from .kept import added
from .lab_server import jupyter_lab
from .participant import EXPLORER, Seen, do_exercises, open_explorer
from .teacher import show_slides, try_commands

KEPT = ROOT / "book" / "reference" / REPORT
CHROMIUM = "/usr/bin/chromium"
TEACHER = "teacher"
NOTEBOOKS = {path.stem: path for path in exercise_notebooks(ROOT)}
PACKAGES = ("jupyterlab", "ipykernel", "playwright", "torch")


def main() -> int:
    """Rehearse, print what was seen, and return 1 if anything was wrong."""
    known = [*NOTEBOOKS, EXPLORER.stem, TEACHER]
    parser = argparse.ArgumentParser(
        prog="python -m tests.rehearsal", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--run-dir", type=Path, default=Path("runs/tiny"), help="a finished run")
    parser.add_argument(
        "--only", action="append", choices=known, metavar="PART",
        help=f"this part of {', '.join(known)}; may be repeated; nothing is stored",
    )  # fmt: skip
    parser.add_argument(
        "--add", action="store_true", help="store what --only rehearsed all the same"
    )
    parser.add_argument("--out", type=Path, default=KEPT, help="where the seconds go")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # servers end and folders go all the same
    run, before, parts = Run.open(chosen.run_dir), machine.load(), chosen.only or known
    faults: list[str] = []
    with tempfile.TemporaryDirectory(prefix="workshop-") as name, sync_playwright() as playwright:
        place = Path(name)
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        report = _about(run, before, chromium)
        if set(parts) != {TEACHER}:
            report |= _exercises(chromium, run.path, place, parts, faults)
        if TEACHER in parts:
            report["commands"] = _teacher(chromium, run.path, place, faults)
        chromium.close()
    print("\n".join([*faults, f"{len(faults)} faults"]), flush=True)
    if not faults and (chosen.add or not chosen.only):
        there = chosen.only and chosen.out.is_file()
        report = added(artifacts.read_json(chosen.out), report) if there else report
        artifacts.write_json(chosen.out, report)
    return int(bool(faults))


def _exercises(
    chromium: Browser, run_dir: Path, place: Path, parts: Sequence[str], faults: list[str]
) -> dict:
    """What a participant sees; what is wrong goes to ``faults``, seconds are returned."""
    handed = write_student(place / "handed-out", run_dir).path
    new_page = functools.partial(chromium.new_page, viewport={"width": 1280, "height": 900})
    everything = Seen()
    with jupyter_lab(handed, place / "jupyter") as lab:
        print(f"JupyterLab: {lab.seconds:.1f} s", flush=True)
        for part in (name for name in parts if name != TEACHER):
            seen = (
                do_exercises(new_page, lab, handed, NOTEBOOKS[part])
                if part in NOTEBOOKS
                else open_explorer(new_page, lab, handed)
            )
            print(seen.notebooks, seen.exercises, *seen.faults, flush=True)
            everything.notebooks |= seen.notebooks
            everything.exercises |= seen.exercises
            faults += seen.faults
    seconds = {"jupyter_lab": round(lab.seconds, 1)}
    return seconds | {"notebooks": everything.notebooks, "exercises": everything.exercises}


def _teacher(chromium: Browser, run_dir: Path, place: Path, faults: list[str]) -> dict[str, float]:
    """A teacher's slides and commands; what is wrong goes to ``faults``, seconds are returned."""
    there = place / "teacher"
    there.mkdir()
    faults += show_slides(chromium.new_page, write_slides(run_dir, place / "slides.html"))
    taken, wrong = try_commands(run_dir, there)
    for command, seconds in taken.items():
        print(f"{seconds:6.1f} s  {command}", flush=True)
    faults += wrong
    return taken


def _about(run: Run, load: float, chromium: Browser) -> dict:
    """Where and with what it is rehearsed; ``load`` is what others did before it began."""
    from kc_utils.cli.run_commands import install_seconds

    versions = {name: metadata.version(name) for name in PACKAGES}
    versions |= {"python": platform.python_version(), "chromium": chromium.version}
    return {
        "git": commit(),
        "profile": run.config.profile,
        "machine": f"{platform.system()} {platform.machine()}, {machine.usable_cores()} cores",
        "processor": machine.processor(),
        "cores": machine.usable_cores(),
        "load_before": round(load, 2),
        "versions": dict(sorted(versions.items())),
        "installation": install_seconds(),
    }


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (KcError, Error, subprocess.TimeoutExpired) as error:
        sys.exit(f"rehearsal: {error}")
